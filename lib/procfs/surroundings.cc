// SPDX-License-Identifier: Apache-2.0
// The index of who holds /dev/fuse, who has files open and who sees which mounts; safe files only, but for
// device_links.
#include <fcntl.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>

#include "base/text.h"
#include "procfs/bounded_read.h"
#include "procfs/device_links.h"
#include "procfs/parse.h"
#include "procfs/proc_root.h"

namespace defused {

namespace {

class SurroundingsReader {
 public:
  SurroundingsReader(const ProcRoot& proc, const ReadLimits& limits, const OwnProcesses& own, const Clock& clock,
                     Snapshot& snapshot)
      : proc_(proc), limits_(limits), own_(own), clock_(clock), snapshot_(snapshot), start_(clock.now().boottime) {}

  Surroundings read() {
    for (const ProcessBrief& process : snapshot_.processes) {
      if (is_candidate(process)) bases_.emplace_back(&process, base_of(process));
    }
    read_viewers();
    collect_fuse_mounts();
    read_descriptors();
    read_start_times();
    return std::move(out_);
  }

 private:
  bool is_candidate(const ProcessBrief& process) const {
    if (process.kernel_thread || process.is_finished()) return false;
    const bool ours = own_.self != 0 && (process.pid == own_.self || process.pid == own_.parent ||
                                         (own_.parent > 1 && process.ppid == own_.parent));
    return !ours;
  }

  // Where the process's own files are: "4711/", or those of a living thread where the leader is a zombie.
  std::string base_of(const ProcessBrief& process) const {
    const std::string base = std::to_string(process.pid) + "/";
    if (process.state != 'Z' && process.state != 'X') return base;
    bool truncated = false;
    const auto tids = proc_.files().list(base + "task", limits_.max_threads, truncated);
    if (!tids) return base;
    for (const std::string& tid : *tids) {
      const auto file = proc_.files().read_file(base + "task/" + tid + "/status", 65'536);
      const auto status = file ? parse_status(file->text) : Result<StatusFields>(Failure(file.error()));
      if (status && status->state != 'Z' && status->state != 'X') return base + "task/" + tid + "/";
    }
    return base;
  }

  bool out_of_time() const { return clock_.now().boottime - start_ > limits_.surroundings_budget; }

  // A failure to read makes the answer incomplete, unless the process just ended.
  void note(const char* file, const Error& error, bool& complete) {
    if (error.kind == ErrorKind::gone) return;
    add_gap(snapshot_.gaps, file, error.kind);
    complete = false;
  }

  void read_viewers() {
    std::map<std::pair<int, int>, std::size_t> known;
    for (const auto& [process, base] : bases_) {
      if (out_of_time()) {
        add_gap(snapshot_.gaps, "mountinfo", ErrorKind::timeout);
        out_.viewers_complete = false;
        return;
      }
      constexpr std::size_t kFirstLine = 64;  // "22 27 0:21 /": the two ids are within
      const auto head = proc_.files().read_file(base + "mountinfo", kFirstLine);
      if (!head) {
        // EINVAL: a process past exit_task_namespaces sees nothing any more.
        if (head.error().kind != ErrorKind::unsupported) note("mountinfo", head.error(), out_.viewers_complete);
        continue;
      }
      if (head->text.empty()) continue;  // a root outside of its namespace: it sees no mount
      const auto key = parse_first_mount(head->text);
      if (!key) {
        note("mountinfo", key.error(), out_.viewers_complete);
        continue;
      }
      const auto [entry, added] = known.emplace(*key, out_.viewers.size());
      if (added) {
        out_.viewers.emplace_back();
        read_table(base, out_.viewers.back().mounts);
      }
      out_.viewers[entry->second].pids.push_back(process->pid);
    }
  }

  void read_table(const std::string& base, MountTable& table) {
    const auto file = proc_.files().read_file(base + "mountinfo", limits_.max_mount_bytes);
    if (!file) return note("mountinfo", file.error(), out_.viewers_complete);
    auto parsed = parse_mountinfo(file->text, limits_.max_mount_lines);
    if (!parsed) return note("mountinfo", parsed.error(), out_.viewers_complete);
    table = *std::move(parsed);
    if (file->truncated || !table.complete) {
      add_gap(snapshot_.gaps, "mountinfo", ErrorKind::unsupported);
      out_.viewers_complete = false;
    }
  }

  void collect_fuse_mounts() {
    const auto add = [&](const MountTable& table) {
      for (const FuseMount& mount : table.fuse_mounts) fuse_mounts_.insert(mount.mount_id);
    };
    for (const Viewer& viewer : out_.viewers) add(viewer.mounts);
    for (const ProcessSample& suspect : snapshot_.suspects) {
      for (const ThreadSample& thread : suspect.threads) {
        if (thread.mounts) add(*thread.mounts);
      }
    }
  }

  void read_descriptors() {
    for (const auto& [process, base] : bases_) {
      if (out_of_time()) {
        add_gap(snapshot_.gaps, "fdinfo", ErrorKind::timeout);
        out_.holders_complete = out_.users_complete = false;
        break;
      }
      read_process_descriptors(*process, base);
    }
    if (snapshot_.kernel.fdinfo_names_connection || candidates_.empty()) return;
    const DeviceLinks links = read_device_links(proc_, limits_, candidates_, snapshot_.gaps);
    if (!links.complete) out_.holders_complete = false;
    for (const auto& [pid, count] : links.found) holder(pid).unattributed += count;
  }

  void read_process_descriptors(const ProcessBrief& process, const std::string& base) {
    bool complete = true;
    FileUser user;
    user.id.pid = process.pid;
    const std::vector<std::string> names = list_descriptors(base, complete);
    for (const std::string& name : names) read_descriptor(process, base, name, user, complete);
    if (process.threads > 1 && limits_.thread_tables) read_thread_tables(process, names, user, complete);
    auto& ids = user.mount_ids;
    std::sort(ids.begin(), ids.end());
    ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
    if (!ids.empty()) out_.users.push_back(std::move(user));
    if (!complete) out_.holders_complete = out_.users_complete = false;
  }

  std::vector<std::string> list_descriptors(const std::string& base, bool& complete) {
    bool truncated = false;
    auto names = proc_.files().list(base + "fdinfo", limits_.max_descriptors, truncated);
    if (!names) {
      note("fdinfo", names.error(), complete);
      return {};
    }
    if (truncated) note("fdinfo", Error{ErrorKind::unsupported, "too many descriptors", 0}, complete);
    return *std::move(names);
  }

  // A thread may have a table of its own (unshare(CLONE_FILES)). Nothing in the safe class says so, but other numbers
  // do; with the same numbers it is the same table, or a copy that was not changed since.
  void read_thread_tables(const ProcessBrief& process, std::vector<std::string> known, FileUser& user, bool& complete) {
    std::sort(known.begin(), known.end());
    const std::string task = std::to_string(process.pid) + "/task";
    bool truncated = false;
    const auto tids = proc_.files().list(task, limits_.max_threads, truncated);
    if (!tids) return note("task", tids.error(), complete);
    if (truncated) note("task", Error{ErrorKind::unsupported, "too many threads", 0}, complete);
    for (const std::string& tid : *tids) {
      std::string base = task;
      base.append("/").append(tid).append("/");
      if (out_of_time()) return note("fdinfo", Error{ErrorKind::timeout, "budget", 0}, complete);
      std::vector<std::string> names = list_descriptors(base, complete);
      std::sort(names.begin(), names.end());
      if (names == known) continue;
      for (const std::string& name : names) read_descriptor(process, base, name, user, complete);
    }
  }

  void read_descriptor(const ProcessBrief& process, const std::string& base, const std::string& name, FileUser& user,
                       bool& complete) {
    const auto file = proc_.files().read_file(base + "fdinfo/" + name, 4096);
    if (!file) return note("fdinfo", file.error(), complete);
    const auto info = parse_fdinfo(file->text);
    if (!info) return note("fdinfo", info.error(), complete);
    if (info->fuse_connection) {
      holder(process.pid).connections.push_back(*info->fuse_connection);
    } else if (!snapshot_.kernel.fdinfo_names_connection && (info->flags & O_ACCMODE) == O_RDWR) {
      candidates_.push_back({process.pid, base + "fd/" + name, info->mount_id});
    }
    if (fuse_mounts_.count(info->mount_id) > 0) user.mount_ids.push_back(info->mount_id);
  }

  // A PID alone is no identity, and what is remembered of a user outlives the reading. `stat` of a live process may
  // block, so it comes last and is bounded; who does not answer stays without.
  void read_start_times() {
    std::map<pid_t, std::uint64_t> starts;
    for (const ProcessSample& suspect : snapshot_.suspects) starts[suspect.id.pid] = suspect.id.start_ticks;
    std::vector<BoundedRequest> requests;
    std::vector<pid_t> pids;
    const auto ask = [&](pid_t pid) {
      if (!starts.emplace(pid, 0).second) return;
      requests.push_back({std::to_string(pid) + "/stat", false});
      pids.push_back(pid);
    };
    for (const FileUser& user : out_.users) ask(user.id.pid);
    for (const DeviceHolder& holder : out_.holders) ask(holder.pid);
    if (!requests.empty()) {
      const BoundedReads reads = read_bounded(proc_.files(), requests, limits_.hazard_timeout, limits_.hazard_budget);
      for (std::size_t i = 0; i < pids.size(); ++i) {
        const auto stat = reads.results[i] ? parse_stat(*reads.results[i]) : Result<StatFields>(Failure(Error{}));
        if (stat) starts[pids[i]] = stat->start_ticks;
      }
    }
    for (FileUser& user : out_.users) user.id.start_ticks = starts[user.id.pid];
    for (DeviceHolder& holder : out_.holders) holder.start_ticks = starts[holder.pid];
  }

  DeviceHolder& holder(pid_t pid) {
    for (DeviceHolder& known : out_.holders) {
      if (known.pid == pid) return known;
    }
    DeviceHolder added;
    added.pid = pid;
    for (const auto& [process, base] : bases_) {
      if (process->pid == pid) added.name = process->name;
    }
    return out_.holders.emplace_back(std::move(added));
  }

  const ProcRoot& proc_;
  const ReadLimits& limits_;
  const OwnProcesses& own_;
  const Clock& clock_;
  Snapshot& snapshot_;
  Nanoseconds start_;
  Surroundings out_;
  std::vector<std::pair<const ProcessBrief*, std::string>> bases_;
  std::set<int> fuse_mounts_;
  std::vector<LinkCandidate> candidates_;
};

bool may_wait_for_fuse(const ThreadSample& thread) {
  if (thread.state == 'Z' || thread.state == 'X' || thread.state == 'R') return false;
  return !thread.has_memory || thread.sigkill_pending || thread.core_dumping;
}

}  // namespace

bool needs_surroundings(const Snapshot& snapshot) {
  const bool waiting = std::any_of(snapshot.connections.begin(), snapshot.connections.end(),
                                   [](const ConnectionSample& c) { return !c.waiting || *c.waiting > 0; });
  if (!waiting) return false;
  return std::any_of(snapshot.suspects.begin(), snapshot.suspects.end(), [](const ProcessSample& suspect) {
    return std::any_of(suspect.threads.begin(), suspect.threads.end(), may_wait_for_fuse);
  });
}

Surroundings read_surroundings(const ProcRoot& proc, const ReadLimits& limits, const OwnProcesses& own,
                               const Clock& clock, Snapshot& snapshot) {
  return SurroundingsReader(proc, limits, own, clock, snapshot).read();
}

}  // namespace defused
