// SPDX-License-Identifier: Apache-2.0
#include <map>
#include <string>

#include "procfs/mount_views.h"
#include "procfs/proc_root.h"

namespace defused {

namespace {

// Processes of one mount namespace by PID, and by what path their mounts are read.
using Group = std::map<pid_t, std::string>;

// Each process once for each namespace that a thread of it is in.
std::map<NamespaceId, Group> group(const std::vector<ThreadPlace>& places, const OwnProcesses& own,
                                   const std::vector<ProcessBrief>& processes) {
  std::map<NamespaceId, Group> groups;
  for (const ThreadPlace& place : places) {
    const ProcessBrief* brief = find_process(processes, place.pid);
    // Who came after the walk is seen at the next one.
    if (brief == nullptr || !is_candidate(*brief, own)) continue;
    groups[place.mount_namespace].emplace(place.pid,
                                          std::to_string(place.pid) + "/task/" + std::to_string(place.tid) + "/");
  }
  return groups;
}

}  // namespace

Surroundings read_viewers(const ProcRoot& proc, const ReadLimits& limits, const OwnProcesses& own,
                          const std::vector<ThreadPlace>& places, Snapshot& snapshot) {
  constexpr int kAsked = 2;
  const Stopwatch watch;
  Surroundings out;
  MountViews views(proc, limits, [&](pid_t pid, const Error& error) {
    const ProcessBrief* process = find_process(snapshot.processes, pid);
    add_gap(snapshot.gaps, "mountinfo", error.kind);
    add_gap_process(out.gap_processes, {"mountinfo", error.kind}, {pid, process == nullptr ? "" : process->name});
    out.with_gaps.insert(pid);
  });
  for (const auto& [id, processes] : group(places, own, snapshot.processes)) {
    int seen = 0;
    for (const auto& [pid, base] : processes) {
      if (proc.files().is_put_off(base + "mountinfo", watch.elapsed() > limits.surroundings_budget)) {
        add_gap(snapshot.gaps, "mountinfo", ErrorKind::timeout);
        views.set_incomplete();
        break;
      }
      if (seen == kAsked) {
        views.add_same(pid);
      } else if (views.add(pid, base) == MountViews::Look::seen) {
        ++seen;
      }
    }
  }
  out.viewers_complete = views.complete() && snapshot.processes_complete();
  out.viewers = views.take();
  return out;
}

}  // namespace defused
