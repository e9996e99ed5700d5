// SPDX-License-Identifier: Apache-2.0
// The index of who holds /dev/fuse, who has files open and who sees which mounts; safe files only, but for
// device_links.
#include <fcntl.h>

#include <algorithm>
#include <deque>
#include <map>
#include <set>
#include <string>
#include <tuple>

#include "base/text.h"
#include "procfs/bounded_read.h"
#include "procfs/device_links.h"
#include "procfs/mount_views.h"
#include "procfs/parse.h"
#include "procfs/proc_root.h"
#include "procfs/read_parsed.h"

namespace defused {

namespace {

// Room for a thousand locks, which stand before the line that counts (parse_fdinfo).
constexpr std::size_t kMaxDescriptorText = 65'536;

class SurroundingsReader {
 public:
  SurroundingsReader(const ProcRoot& proc, const ReadLimits& limits, const OwnProcesses& own, const Clock& clock,
                     Snapshot& snapshot)
      : proc_(proc),
        limits_(limits),
        own_(own),
        clock_(clock),
        snapshot_(snapshot),
        views_(proc, limits, [this](pid_t pid, const Error& error) { miss_mounts(pid, error); }),
        start_(clock.now().boottime) {}

  Surroundings read() {
    for (const ProcessBrief& process : snapshot_.processes) add(process);
    read_from(0);
    // A server may hand its descriptors to a child that is not in the walk, and end: whoever came since is read too.
    // Twice, since the child may have done the same.
    for (int round = 0; round < 2; ++round) {
      const std::size_t first = bases_.size();
      add_newcomers();
      read_from(first);
    }
    read_device_candidates();
    read_start_times();
    // A process without status is in nothing of this.
    if (!snapshot_.processes_complete()) forget_completeness();
    out_.viewers_complete = views_.complete();
    out_.viewers = views_.take();
    return std::move(out_);
  }

 private:
  void add(const ProcessBrief& process) {
    if (is_candidate(process, own_)) bases_.emplace_back(&process, base_of(process));
  }

  void miss_mounts(pid_t pid, const Error& error) {
    bool complete = true;
    current_ = pid;
    note("mountinfo", error, complete);
  }

  void forget_completeness() {
    out_.holders_complete = out_.users_complete = false;
    views_.set_incomplete();
  }

  void add_newcomers() {
    const auto pids = proc_.list_processes(limits_.max_processes);
    if (!pids) {
      add_gap(snapshot_.gaps, "proc", pids.error().kind);
      return forget_completeness();
    }
    for (const ProcessBrief& process : snapshot_.processes) seen_.insert(process.pid);
    for (const NumberedEntry& entry : *pids) {
      const auto pid = static_cast<pid_t>(entry.number);
      if (!seen_.insert(pid).second) continue;
      if (auto brief = read_brief(proc_, pid, snapshot_.gaps)) add(newcomers_.emplace_back(*std::move(brief)));
    }
  }

  void read_from(std::size_t first) {
    for (std::size_t i = first; i < bases_.size(); ++i) {
      if (is_put_off(bases_[i].second + "mountinfo")) {
        add_gap(snapshot_.gaps, "mountinfo", ErrorKind::timeout);
        views_.set_incomplete();
        break;
      }
      views_.add(bases_[i].first->pid, bases_[i].second);
    }
    collect_fuse_mounts();
    for (std::size_t i = first; i < bases_.size(); ++i) {
      if (is_put_off(bases_[i].second + "fdinfo")) {
        add_gap(snapshot_.gaps, "fdinfo", ErrorKind::timeout);
        out_.holders_complete = out_.users_complete = false;
        break;
      }
      read_process_descriptors(*bases_[i].first, bases_[i].second);
    }
    // Last, since a verdict needs them least.
    for (std::size_t i = first; i < bases_.size(); ++i) read_thread_views(*bases_[i].first, bases_[i].second);
  }

  // Where the process's own files are: "4711/", or those of a living thread where the leader is a zombie.
  std::string base_of(const ProcessBrief& process) const {
    const std::string base = std::to_string(process.pid) + "/";
    if (process.state != 'Z' && process.state != 'X') return base;
    bool truncated = false;
    const auto tids = proc_.files().list(base + "task", limits_.max_threads, truncated);
    if (!tids) return base;
    for (const std::string& tid : *tids) {
      std::string own = base;
      own.append("task/").append(tid).append("/");
      const auto status = read_status(proc_.files(), own);
      if (status && status->state != 'Z' && status->state != 'X') return own;
    }
    return base;
  }

  // Whether the time is over before `path` is read.
  [[nodiscard]] bool is_put_off(const std::string& path) const {
    return proc_.files().is_put_off(path, clock_.now().boottime - start_ > limits_.surroundings_budget);
  }

  // A failure to read makes the answer incomplete, unless the process just ended.
  void note(const char* file, const Error& error, bool& complete) {
    if (error.kind == ErrorKind::gone) return;
    add_gap(snapshot_.gaps, file, error.kind);
    add_gap_process(out_.gap_processes, {file, error.kind}, {current_, name_of(current_)});
    out_.with_gaps.insert(current_);
    complete = false;
  }

  [[nodiscard]] std::string name_of(pid_t pid) const {
    const auto found = std::find_if(bases_.begin(), bases_.end(), [&](const auto& it) { return it.first->pid == pid; });
    return found == bases_.end() ? std::string() : found->first->name;
  }

  // A thread may have entered or made a mount namespace of its own.
  void read_thread_views(const ProcessBrief& process, const std::string& base) {
    if (process.threads <= 1) return;
    current_ = process.pid;
    const auto missed = [&](const char* file, const Error& error) {
      bool complete = true;
      note(file, error, complete);
      if (!complete) views_.set_incomplete();
    };
    const std::string task = std::to_string(process.pid) + "/task";
    bool truncated = false;
    const auto tids = proc_.files().list(task, limits_.max_threads, truncated);
    if (!tids) return missed("task", tids.error());
    if (truncated) missed("task", Error{ErrorKind::unsupported, "too many threads", 0});
    for (const std::string& tid : *tids) {
      std::string own = task;
      own.append("/").append(tid).append("/");
      if (own == base || tid == std::to_string(process.pid)) continue;
      if (is_put_off(own + "mountinfo")) return missed("mountinfo", Error{ErrorKind::timeout, "budget", 0});
      views_.add(process.pid, own);
    }
  }

  void collect_fuse_mounts() {
    const auto add = [&](const MountTable& table) {
      for (const FuseMount& mount : table.fuse_mounts) fuse_mounts_.insert(mount.mount_id);
    };
    for (const Viewer& viewer : views_.all()) add(viewer.mounts);
    for (const ProcessSample& suspect : snapshot_.suspects) {
      for (const ThreadSample& thread : suspect.threads) {
        if (thread.mounts) add(*thread.mounts);
      }
    }
  }

  void read_device_candidates() {
    if (snapshot_.kernel.fdinfo_names_connection || candidates_.empty()) return;
    const DeviceLinks links = read_device_links(proc_, limits_, candidates_, snapshot_.gaps);
    if (!links.complete) out_.holders_complete = false;
    for (const auto& [pid, count] : links.found) holder(pid).unattributed += count;
  }

  void read_process_descriptors(const ProcessBrief& process, const std::string& base) {
    current_ = process.pid;
    bool complete = true;
    FileUser user;
    user.id.pid = process.pid;
    const auto names = list_descriptors(base, complete);
    // Where one thread stood for a process whose leader is dead, its end is not that of the process.
    if (!names && is_of_thread(base) && !is_there(base) && is_there(std::to_string(process.pid) + "/"))
      complete = false;
    Names known;
    for (const std::string& name : names.value_or(Names())) {
      if (read_descriptor(process, base, name, user, complete)) known.push_back(name);
    }
    if (process.threads > 1 && limits_.thread_tables) read_thread_tables(process, base, known, user, complete);
    auto& ids = user.mount_ids;
    std::sort(ids.begin(), ids.end());
    ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
    if (!ids.empty()) out_.users.push_back(std::move(user));
    if (!complete) out_.holders_complete = out_.users_complete = false;
  }

  using Names = std::vector<std::string>;

  std::optional<Names> list_descriptors(const std::string& base, bool& complete) {
    bool truncated = false;
    auto names = proc_.files().list(base + "fdinfo", limits_.max_descriptors, truncated);
    if (!names) {
      note("fdinfo", names.error(), complete);
      return std::nullopt;
    }
    if (truncated) note("fdinfo", Error{ErrorKind::unsupported, "too many descriptors", 0}, complete);
    return *std::move(names);
  }

  static bool is_of_thread(const std::string& base) { return base.find("/task/") != std::string::npos; }

  [[nodiscard]] bool is_there(const std::string& base) const {
    return proc_.files().read_file(base + "status", 64).has_value();
  }

  // A thread may have a table of its own (unshare(CLONE_FILES)). Nothing in the safe class says so, but other numbers
  // do; with the same numbers it is the same table, or a copy that was not changed since.
  void read_thread_tables(const ProcessBrief& process, const std::string& leader, const Names& known, FileUser& user,
                          bool& complete) {
    const std::string task = std::to_string(process.pid) + "/task";
    bool truncated = false;
    const auto tids = proc_.files().list(task, limits_.max_threads, truncated);
    if (!tids) return note("task", tids.error(), complete);
    if (truncated) note("task", Error{ErrorKind::unsupported, "too many threads", 0}, complete);
    for (const std::string& tid : *tids) {
      std::string base = task;
      base.append("/").append(tid).append("/");
      if (is_put_off(base + "fdinfo")) return note("fdinfo", Error{ErrorKind::timeout, "budget", 0}, complete);
      const auto names = list_descriptors(base, complete);
      if (!names || has_table_of(leader, base, *names, known, complete)) continue;
      for (const std::string& name : *names) read_descriptor(process, base, name, user, complete);
    }
  }

  // Whether the thread below `base` shares the table of `leader`, of which `known` was read. In a busy process a
  // descriptor comes or goes between two listings, so a difference is looked at again.
  bool has_table_of(const std::string& leader, const std::string& base, Names names, const Names& known,
                    bool& complete) {
    if (known.empty()) return names.empty();
    std::optional<Names> of_leader = known;
    for (int tries = 0; tries < 3; ++tries) {
      std::sort(of_leader->begin(), of_leader->end());
      std::sort(names.begin(), names.end());
      if (names == *of_leader) return true;
      of_leader = list_descriptors(leader, complete);
      auto again = list_descriptors(base, complete);
      if (!of_leader || !again) return false;
      names = *std::move(again);
    }
    return false;
  }

  // False: it was not read.
  bool read_descriptor(const ProcessBrief& process, const std::string& base, const std::string& name, FileUser& user,
                       bool& complete) {
    const auto file = proc_.files().read_file(base + "fdinfo/" + name, kMaxDescriptorText);
    const auto info = file ? parse_fdinfo(file->text, file->truncated) : Result<DescriptorInfo>(Failure(file.error()));
    if (!info) {
      note("fdinfo", info.error(), complete);
      return false;
    }
    if (info->fuse_connection) {
      holder(process.pid).connections.push_back(*info->fuse_connection);
    } else if (!snapshot_.kernel.fdinfo_names_connection && (info->flags & O_ACCMODE) == O_RDWR) {
      // The same number on the same mount is one descriptor, whichever thread shows it.
      const bool is_new = asked_.emplace(process.pid, name, info->mount_id).second;
      if (is_new) candidates_.push_back({process.pid, base + "fd/" + name, info->mount_id});
    }
    if (fuse_mounts_.count(info->mount_id) > 0) user.mount_ids.push_back(info->mount_id);
    return true;
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
    const auto results = read_hazardous(proc_, limits_, requests);
    for (std::size_t i = 0; i < pids.size(); ++i) {
      const auto stat = results[i] ? parse_stat(*results[i]) : Result<StatFields>(Failure(Error{}));
      if (stat) starts[pids[i]] = stat->start_ticks;
      if (results[i] || results[i].error().kind == ErrorKind::gone) continue;
      bool unused = true;  // it is still known who it is
      current_ = pids[i];
      note("stat", results[i].error(), unused);
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
  MountViews views_;
  Nanoseconds start_;
  pid_t current_ = 0;  // whose files are being read: for the gaps
  Surroundings out_;
  std::vector<std::pair<const ProcessBrief*, std::string>> bases_;
  std::deque<ProcessBrief> newcomers_;
  std::set<pid_t> seen_;
  std::set<int> fuse_mounts_;
  std::vector<LinkCandidate> candidates_;
  std::set<std::tuple<pid_t, std::string, int>> asked_;
};

}  // namespace

Surroundings read_surroundings(const ProcRoot& proc, const ReadLimits& limits, const OwnProcesses& own,
                               const Clock& clock, Snapshot& snapshot) {
  return SurroundingsReader(proc, limits, own, clock, snapshot).read();
}

}  // namespace defused
