// SPDX-License-Identifier: Apache-2.0
// The walk over all processes, and the suspects among them.
#include <linux/magic.h>
#include <sys/vfs.h>

#include <algorithm>
#include <string>
#include <vector>

#include "procfs/proc_root.h"
#include "procfs/read_parsed.h"
#include "procfs/suspects.h"
#include "procfs/task_reader.h"
#include "procfs/thread_ages.h"

namespace defused {

namespace {

// A container is put into its place (its cgroup) while it starts.
constexpr Nanoseconds kSettled = std::chrono::seconds(60);
constexpr Nanoseconds kHoldFirst = std::chrono::seconds(10);
constexpr Nanoseconds kHoldLongest = std::chrono::minutes(5);

void set_told_to_die(ProcessBrief& brief, bool told) {
  brief.told_to_die = told && !brief.kernel_thread && !brief.is_finished();
}

class Walk {
 public:
  Walk(const ProcRoot& proc, const ReadLimits& limits, const WalkOrder& order, WalkMemory& memory, Snapshot& snapshot)
      : proc_(proc), limits_(limits), order_(order), memory_(memory), snapshot_(snapshot) {}

  Result<void> run() {
    const auto entries = proc_.list_processes(limits_.max_processes);
    if (!entries) return prepend("reading /proc", entries.error());
    snapshot_.processes.reserve(entries->size());
    beside_.reserve(entries->size());
    fresh_.reserve(entries->size());
    find_turn(*entries);
    for (std::size_t i = 0; i < entries->size(); ++i) take((*entries)[i], is_its_turn(i, entries->size()));
    look_at_relatives();
    read_init_cgroups();
    read_suspects();
    memory_.processes = snapshot_.processes;
    memory_.beside = std::move(beside_);
    memory_.walked = snapshot_.taken.boottime;
    return {};
  }

 private:
  // Each pass reads so many of the rest, in the order of their PIDs, that all had their turn within `rotation`.
  void find_turn(const std::vector<NumberedEntry>& entries) {
    if (order_.depth == WalkDepth::full || !memory_.walked || entries.empty()) return;
    const auto first =
        std::upper_bound(entries.begin(), entries.end(), static_cast<std::uint64_t>(memory_.turn),
                         [](std::uint64_t turn, const NumberedEntry& entry) { return turn < entry.number; });
    turn_begin_ = static_cast<std::size_t>(first - entries.begin());
    const double share = to_seconds(snapshot_.taken.boottime - *memory_.walked) / to_seconds(order_.rotation);
    const double count = std::clamp(share, 0.0, 1.0) * static_cast<double>(entries.size());
    turn_count_ = static_cast<std::size_t>(count) + 1;
    memory_.turn = static_cast<pid_t>(entries[(turn_begin_ + turn_count_ - 1) % entries.size()].number);
  }

  [[nodiscard]] bool is_its_turn(std::size_t index, std::size_t count) const {
    return (index + count - turn_begin_ % count) % count < turn_count_;
  }

  // Of the last pass, if it is the same process. Called with PIDs in ascending order.
  [[nodiscard]] std::optional<std::size_t> find_known(const NumberedEntry& entry) {
    const auto pid = static_cast<pid_t>(entry.number);
    while (known_ < memory_.processes.size() && memory_.processes[known_].pid < pid) ++known_;
    if (known_ == memory_.processes.size() || memory_.processes[known_].pid != pid) return std::nullopt;
    constexpr std::uint64_t kNoInode = 1;  // where /proc could not make one (proc_fill_cache)
    if (entry.inode <= kNoInode || memory_.beside[known_].inode != entry.inode) return std::nullopt;
    return known_;
  }

  void take(const NumberedEntry& entry, bool its_turn) {
    const auto known = find_known(entry);
    const auto pid = static_cast<pid_t>(entry.number);
    const bool keep = order_.depth == WalkDepth::changes && known && !its_turn && is_as_it_was(*known);
    if (keep) {
      add(memory_.processes[*known], memory_.beside[*known], false);
      return;
    }
    auto brief = read(pid);
    if (!brief) return;
    WalkMemory::Beside beside;
    if (known) beside = memory_.beside[*known];
    if (!known) beside.first_seen = snapshot_.taken.boottime;
    if (its_turn || order_.depth == WalkDepth::full) beside.cgroup.reset();
    beside.inode = entry.inode;
    add(*std::move(brief), std::move(beside), true);
  }

  // An init is read in each pass, since all depends on it, and so is whoever was told to die - unless the kernel itself
  // says that it is not dying, or that it has not run.
  [[nodiscard]] bool is_as_it_was(std::size_t known) const {
    const ProcessBrief& process = memory_.processes[known];
    if (stands(process.pid, memory_.beside[known].inode)) return true;
    if (is_told_to_die(process) || process.is_finished() || order_.told_to_die.count(process.pid) > 0) return false;
    if (!order_.dying_threads) return !process.is_init();
    return order_.dying_threads->count(process.pid) == 0;
  }

  // None of its threads has run since it was read, says the kernel.
  [[nodiscard]] bool stands(pid_t pid, std::uint64_t inode) const {
    if (order_.depth == WalkDepth::full || !order_.dying_threads) return false;
    const auto found = memory_.suspects.find(pid);
    const auto told = order_.dying_threads->find(pid);
    if (found == memory_.suspects.end() || told == order_.dying_threads->end()) return false;
    const KeptSuspect& kept = found->second;
    const auto& threads = kept.sample.threads;
    const bool told_of = kept.sample.brief.told_to_die == (order_.told_to_die.count(pid) > 0);
    return kept.inode == inode && told_of && is_held(kept) && kept.sample.threads_complete &&
           threads.size() == told->second.size() &&
           std::all_of(threads.begin(), threads.end(), [&](const ThreadSample& thread) {
             const auto now = told->second.find(thread.id);
             return thread.all_read && now != told->second.end() && now->second == thread.context_switches;
           });
  }

  [[nodiscard]] bool is_held(const KeptSuspect& kept) const {
    return snapshot_.taken.boottime - kept.read_at < kept.hold_for;
  }

  void add(ProcessBrief brief, WalkMemory::Beside beside, bool fresh) {
    snapshot_.processes.push_back(std::move(brief));
    beside_.push_back(std::move(beside));
    fresh_.push_back(fresh);
  }

  std::optional<ProcessBrief> read(pid_t pid) {
    auto brief = read_brief(proc_, pid, snapshot_.gaps);
    if (brief) set_told_to_die(*brief, order_.told_to_die.count(pid) > 0);
    return brief;
  }

  [[nodiscard]] bool is_listed(pid_t pid) const { return find_process(snapshot_.processes, pid) != nullptr; }

  // What was not read again although it matters: the family of a dying init, whoever lost its parent since (it may have
  // become a child of that init), and the flushers, whose names tell what they write back.
  [[nodiscard]] bool is_wanted(const ProcessBrief& process) const {
    if (suspects_.chosen.count(process.pid) > 0) return true;
    if (process.kernel_thread) return process.name.compare(0, 8, "kworker/") == 0;
    return !suspects_.below.empty() && process.level > 0 && !is_listed(process.ppid);
  }

  // Rereading may show other parents, so it is asked again who belongs to whom; each process is read once at most.
  void look_at_relatives() {
    suspects_ = choose_suspects(snapshot_.processes);
    while (order_.depth == WalkDepth::changes && !suspects_.chosen.empty()) {
      std::vector<std::size_t> gone;
      bool any = false;
      for (std::size_t i = 0; i < snapshot_.processes.size(); ++i) {
        const ProcessBrief& process = snapshot_.processes[i];
        // A parent may end without its child running.
        const bool as_it_was = stands(process.pid, beside_[i].inode) && is_listed(process.ppid);
        if (fresh_[i] || !is_wanted(process) || as_it_was) continue;
        any = true;
        fresh_[i] = true;
        if (auto brief = read(process.pid)) {
          snapshot_.processes[i] = *std::move(brief);
        } else {
          gone.push_back(i);
        }
      }
      remove(gone);
      if (!any) return;
      suspects_ = choose_suspects(snapshot_.processes);
    }
  }

  // `gone` in ascending order.
  void remove(const std::vector<std::size_t>& gone) {
    std::size_t to = 0;
    auto next = gone.begin();
    for (std::size_t from = 0; from < snapshot_.processes.size(); ++from) {
      if (next != gone.end() && *next == from) {
        ++next;
        continue;
      }
      if (to != from) {
        snapshot_.processes[to] = std::move(snapshot_.processes[from]);
        beside_[to] = std::move(beside_[from]);
        fresh_[to] = fresh_[from];
      }
      ++to;
    }
    snapshot_.processes.resize(to);
    beside_.resize(to);
    fresh_.resize(to);
  }

  // While they live: cgroup v1 shows "/" for a task that exits.
  void read_init_cgroups() {
    for (std::size_t i = 0; i < snapshot_.processes.size(); ++i) {
      const ProcessBrief& process = snapshot_.processes[i];
      if (!process.is_init() || !process.has_memory) continue;
      WalkMemory::Beside& beside = beside_[i];
      const bool settled = snapshot_.taken.boottime - beside.first_seen >= kSettled;
      if (!beside.cgroup || !settled) {
        const auto file = proc_.files().read_file(std::to_string(process.pid) + "/cgroup", kMaxSmallFile);
        if (!file) continue;
        beside.cgroup = parse_cgroup(file->text);
      }
      snapshot_.init_cgroups[process.pid] = *beside.cgroup;
    }
  }

  void read_suspects() {
    if (suspects_.chosen.empty()) return;
    SuspectReader reader(proc_, limits_);
    for (std::size_t i = 0; i < snapshot_.processes.size(); ++i) {
      const ProcessBrief& process = snapshot_.processes[i];
      if (suspects_.chosen.count(process.pid) == 0 || process.kernel_thread) continue;
      const bool below = suspects_.below.count(process.pid) > 0;
      const SuspectKind kind = below ? SuspectKind::below_dying : SuspectKind::told_to_die;
      const KeptSuspect* kept = find_kept(process, below, beside_[i].inode);
      const bool as_it_was = kept != nullptr && stands(process.pid, kept->inode);
      auto sample = as_it_was ? std::optional(keep_suspect(process, *kept)) : reader.read(process, kind, kept);
      if (!sample) continue;
      snapshot_.suspects.push_back(*std::move(sample));
      memory_.suspects[process.pid].inode = beside_[i].inode;
    }
  }

  [[nodiscard]] const KeptSuspect* find_kept(const ProcessBrief& process, bool below, std::uint64_t inode) {
    const auto found = memory_.suspects.find(process.pid);
    if (found == memory_.suspects.end()) return nullptr;
    const KeptSuspect& kept = found->second;
    if (inode == 0 || kept.inode != inode) {
      memory_.suspects.erase(found);
      return nullptr;
    }
    const bool same_questions =
        kept.sample.below_dying == below && kept.sample.brief.told_to_die == process.told_to_die;
    return order_.depth == WalkDepth::changes && same_questions && is_held(kept) ? &kept : nullptr;
  }

  const ProcRoot& proc_;
  const ReadLimits& limits_;
  const WalkOrder& order_;
  WalkMemory& memory_;
  Snapshot& snapshot_;
  std::vector<WalkMemory::Beside> beside_;
  std::vector<bool> fresh_;  // its status was read in this pass
  std::size_t known_ = 0;
  std::size_t turn_begin_ = 0;
  std::size_t turn_count_ = 0;
  Suspects suspects_;
};

// None of its threads has run since.
bool stands_still(const ProcessSample& sample, const ProcessSample& before) {
  std::map<pid_t, std::uint64_t> switches;
  for (const ThreadSample& thread : before.threads) switches[thread.id.tid] = thread.context_switches;
  return std::all_of(sample.threads.begin(), sample.threads.end(), [&](const ThreadSample& thread) {
    const auto found = switches.find(thread.id.tid);
    return found != switches.end() && found->second == thread.context_switches;
  });
}

void remember(const Snapshot& snapshot, WalkMemory& memory) {
  std::map<pid_t, KeptSuspect> after;
  for (const ProcessSample& sample : snapshot.suspects) {
    KeptSuspect& kept = memory.suspects[sample.id.pid];
    const auto& threads = sample.threads;
    const auto is_kept = [](const ThreadSample& thread) { return thread.kept; };
    if (threads.empty() || !std::all_of(threads.begin(), threads.end(), is_kept)) {
      // A thread that is still kept is as old as it was.
      const bool partly = std::any_of(threads.begin(), threads.end(), is_kept);
      const bool still = kept.hold_for > Nanoseconds(0) && stands_still(sample, kept.sample);
      kept.hold_for = still ? std::min(2 * kept.hold_for, kHoldLongest) : kHoldFirst;
      if (!partly) kept.read_at = snapshot.taken.boottime;
      kept.sample = sample;
    }
    after[sample.id.pid] = std::move(kept);
  }
  memory.suspects = std::move(after);
}

}  // namespace

Result<ProcRoot> ProcRoot::open(const std::string& path, ReadHook hook) {
  auto root = Beneath::open_root(path, hook);
  if (!root) return Failure(root.error());
  auto knobs = Beneath::open_root(path + "/sys/fs/fuse", std::move(hook), "sys/fs/fuse/");
  struct statfs found {};
  const bool live = fstatfs(root->fd(), &found) == 0 && found.f_type == PROC_SUPER_MAGIC;
  return ProcRoot(*std::move(root), knobs ? *std::move(knobs) : Beneath(), live);
}

Result<std::vector<NumberedEntry>> ProcRoot::list_processes(std::size_t max) const {
  bool truncated = false;
  return root_.list_numbers(".", max, truncated);
}

Result<void> read_processes(const ProcRoot& proc, const ReadLimits& limits, const WalkOrder& order, WalkMemory& memory,
                            Snapshot& snapshot) {
  return Walk(proc, limits, order, memory, snapshot).run();
}

Result<void> read_processes(const ProcRoot& proc, const ReadLimits& limits, Snapshot& snapshot) {
  WalkMemory memory;
  return read_processes(proc, limits, WalkOrder{}, memory, snapshot);
}

void read_hazards(const ProcRoot& proc, const ReadLimits& limits, WalkMemory& memory, Snapshot& snapshot) {
  std::vector<BoundedRequest> requests;
  std::vector<std::pair<std::size_t, Hazard>> hazards;  // of which suspect
  for (const bool asked : {false, true}) {  // what was only asked about must not take the time of the others
    for (std::size_t i = 0; i < snapshot.suspects.size(); ++i) {
      if (snapshot.suspects[i].asked != asked) continue;
      for (const Hazard& hazard : hazards_of(snapshot.suspects[i])) {
        requests.push_back(request_of(hazard, snapshot.suspects[i]));
        hazards.emplace_back(i, hazard);
      }
    }
  }
  ThreadAges ages(proc, limits);
  ages.read_clocks(snapshot);  // before what may take its time: an age is of the moment in which `sched` was read
  const auto results = read_hazardous(proc, limits, requests);
  for (std::size_t i = 0; i < hazards.size(); ++i) {
    take_hazard(hazards[i].second, results[i], snapshot.suspects[hazards[i].first]);
  }
  ages.read_clocks(snapshot);  // of the CPUs that only a `stat` told which may block
  ages.tell(snapshot);
  for (const ProcessSample& sample : snapshot.suspects) {
    const auto sum_up = [&](const Gaps& gaps) {
      add_gaps(snapshot.gaps, gaps);
      for (const auto& gap : gaps) {
        add_gap_process(snapshot.gap_processes, gap.first, {sample.id.pid, sample.brief.name});
      }
    };
    sum_up(sample.gaps);
    for (const ThreadSample& thread : sample.threads) sum_up(thread.gaps);
  }
  const auto stacks_are = [&](ErrorKind kind) { return snapshot.gaps.count({"stack", kind}) > 0; };
  if (stacks_are(ErrorKind::denied) || stacks_are(ErrorKind::unsupported)) snapshot.blind.emplace_back("stack");
  remember(snapshot, memory);
}

void refresh_processes(const ProcRoot& proc, Snapshot& snapshot) {
  for (ProcessBrief& process : snapshot.processes) {
    auto brief = read_brief(proc, process.pid, snapshot.gaps);
    if (!brief) continue;
    set_told_to_die(*brief, process.told_to_die);
    process = *std::move(brief);
  }
}

void read_hazards(const ProcRoot& proc, const ReadLimits& limits, Snapshot& snapshot) {
  WalkMemory memory;
  read_hazards(proc, limits, memory, snapshot);
}

}  // namespace defused
