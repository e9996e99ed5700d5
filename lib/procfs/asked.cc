// SPDX-License-Identifier: Apache-2.0
// What is read only because somebody asked about it.
#include <algorithm>

#include "procfs/bounded_read.h"
#include "procfs/read_parsed.h"
#include "procfs/task_reader.h"

namespace defused {

void add_asked(const ProcRoot& proc, const ReadLimits& limits, const std::set<pid_t>& asked, Snapshot& snapshot) {
  std::set<pid_t> left = asked;
  for (ProcessSample& suspect : snapshot.suspects) {
    if (left.erase(suspect.id.pid) > 0) suspect.asked = true;
  }
  if (left.empty()) return;
  SuspectReader reader(proc, limits);
  std::size_t added = 0;
  for (const ProcessBrief& process : snapshot.processes) {
    if (left.count(process.pid) == 0 || process.kernel_thread) continue;
    if (++added > kMaxAskedProcesses) break;
    auto sample = reader.read(process, SuspectKind::asked, nullptr);
    if (sample) snapshot.suspects.push_back(*std::move(sample));
  }
  std::sort(snapshot.suspects.begin(), snapshot.suspects.end(),
            [](const ProcessSample& a, const ProcessSample& b) { return a.id.pid < b.id.pid; });
}

std::optional<pid_t> read_owner(const ProcRoot& proc, pid_t tid) {
  const auto status = read_status(proc.files(), std::to_string(tid) + "/");
  return status ? std::optional(status->tgid) : std::nullopt;
}

void read_init_namespaces(const ProcRoot& proc, const ReadLimits& limits, Snapshot& snapshot) {
  std::vector<BoundedRequest> requests = {{"self/ns/pid", true}};
  std::vector<pid_t> pids = {0};
  for (const ProcessBrief& process : snapshot.processes) {
    if (!process.is_init() || !process.has_memory) continue;
    requests.push_back({std::to_string(process.pid) + "/ns/pid", true});
    pids.push_back(process.pid);
  }
  const auto results = read_hazardous(proc, limits, requests);
  for (std::size_t i = 0; i < pids.size(); ++i) {
    const auto id =
        results[i] ? parse_namespace_link(*results[i], "pid") : Result<NamespaceId>(Failure(results[i].error()));
    if (id) {
      snapshot.init_namespaces[pids[i]] = *id;
    } else if (id.error().kind != ErrorKind::gone) {
      add_gap(snapshot.gaps, "ns/pid", id.error().kind);
    }
  }
}

}  // namespace defused
