// SPDX-License-Identifier: Apache-2.0
#include "daemon/concerned_processes.h"

#include <algorithm>
#include <limits>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/text.h"

namespace defused {

namespace {

constexpr pid_t kHostInit = 1;

class Choice {
 public:
  Choice(const Snapshot& snapshot, const History& history, const OwnProcesses& own, const ReadRecorder& record)
      : snapshot_(snapshot), history_(history), own_(own), record_(record) {}

  std::set<pid_t> make() {
    add(kHostInit);
    for (const ProcessBrief& process : snapshot_.processes) {
      if (process.is_init() || is_flusher(process) || is_ours(process)) add(process.pid);
    }
    add_suspects();
    add_around();
    add_remembered();
    add_troubled();
    add_relatives();
    return std::move(chosen_);
  }

 private:
  void add(pid_t pid) {
    if (pid > 0 && chosen_.insert(pid).second) todo_.push_back(pid);
  }

  static bool is_flusher(const ProcessBrief& process) {
    return process.kernel_thread && process.name.find("+flush-") != std::string::npos;
  }

  [[nodiscard]] bool is_ours(const ProcessBrief& process) const {
    return own_.self != 0 && (process.pid == own_.self || process.pid == own_.parent || process.ppid == own_.self ||
                              (own_.parent > 1 && process.ppid == own_.parent));
  }

  void add_suspects() {
    for (const ProcessSample& suspect : snapshot_.suspects) {
      add(suspect.id.pid);
      suspects_.insert(suspect.id.pid);
      add(suspect.brief.tracer);
      for (const ThreadSample& thread : suspect.threads) add(thread.tracer);
    }
    for (const auto& [tid, pid] : snapshot_.thread_owners) add(pid);
  }

  void add_around() {
    if (snapshot_.open_files) {
      for (const FileUser& user : *snapshot_.open_files) add(user.id.pid);
    }
    if (!snapshot_.surroundings) return;
    const Surroundings& around = *snapshot_.surroundings;
    for (const DeviceHolder& holder : around.holders) add(holder.pid);
    for (const FileUser& user : around.users) add(user.id.pid);
    for (const pid_t pid : around.with_gaps) add(pid);
    for (const Viewer& viewer : around.viewers) {
      if (!viewer.mounts.fuse_mounts.empty() || viewer.mounts.has_virtiofs) add_viewer(viewer);
    }
  }

  // Whose mounts were read in full comes first. Whether anybody outside sees them, the first one that lives tells;
  // suspects, who may be dying, are there anyway.
  void add_viewer(const Viewer& viewer) {
    if (viewer.pids.empty()) return;
    add(viewer.pids.front());
    const auto outside = std::find_if(viewer.pids.begin(), viewer.pids.end(), [&](pid_t pid) {
      if (suspects_.count(pid) > 0) return false;
      const ProcessBrief* process = find_process(snapshot_.processes, pid);
      return process == nullptr || (process->has_memory && !process->is_doomed());
    });
    if (outside != viewer.pids.end()) add(*outside);
  }

  // What is remembered of a process holds as long as that one, or its parent, is there.
  void add_remembered() {
    for (const auto& [pid, container] : history_.containers) {
      add(pid);
      add(container.ppid);
    }
    for (const auto& [process, files] : history_.open_files) add(process.pid);
  }

  // Of whom something could not be read, or read and not understood: then the walk does not have it.
  void add_troubled() {
    for (const auto& [path, why] : record_.errors()) add_owner_of(path);
    for (const auto& [path, entry] : record_.entries()) {
      constexpr std::string_view kStatus = "/status";
      const std::size_t slash = path.find('/');
      if (slash == std::string::npos || std::string_view(path).substr(slash) != kStatus) continue;
      const auto pid = parse_u64(std::string_view(path).substr(0, slash));
      if (pid && find_process(snapshot_.processes, static_cast<pid_t>(*pid)) == nullptr) add_owner_of(path);
    }
  }

  void add_owner_of(std::string_view path) {
    const auto pid = parse_u64(path.substr(0, path.find('/')));
    if (pid && *pid <= static_cast<std::uint64_t>(std::numeric_limits<pid_t>::max())) add(static_cast<pid_t>(*pid));
  }

  // Who is below whom decides who is a suspect, and whose container it is. Of a mount namespace one process was read in
  // full, of the others only that they are in the same one.
  void add_relatives() {
    std::map<pid_t, std::vector<pid_t>> stand_for;
    if (snapshot_.surroundings) {
      for (const Viewer& viewer : snapshot_.surroundings->viewers) {
        for (const pid_t pid : viewer.pids) stand_for[pid].push_back(viewer.pids.front());
      }
    }
    while (!todo_.empty()) {
      const pid_t pid = todo_.back();
      todo_.pop_back();
      if (const ProcessBrief* process = find_process(snapshot_.processes, pid)) add(process->ppid);
      if (const auto found = stand_for.find(pid); found != stand_for.end()) {
        for (const pid_t other : found->second) add(other);
      }
    }
  }

  const Snapshot& snapshot_;
  const History& history_;
  const OwnProcesses& own_;
  const ReadRecorder& record_;
  std::set<pid_t> chosen_;
  std::vector<pid_t> todo_;  // chosen, and their relatives not yet
  std::set<pid_t> suspects_;
};

}  // namespace

std::set<pid_t> concerned_processes(const Snapshot& snapshot, const History& history, const OwnProcesses& own,
                                    const ReadRecorder& record) {
  return Choice(snapshot, history, own, record).make();
}

}  // namespace defused
