// SPDX-License-Identifier: Apache-2.0
// The walk over all processes, and who is looked at closely.
#include <algorithm>
#include <set>
#include <string>
#include <unordered_map>

#include "base/text.h"
#include "procfs/parse.h"
#include "procfs/proc_root.h"
#include "procfs/task_reader.h"

namespace defused {

namespace {

class Family {
 public:
  explicit Family(const std::vector<ProcessBrief>& processes) {
    for (const ProcessBrief& process : processes) children_[process.ppid].push_back(process.pid);
  }
  // `pid` and all its descendants into `out`.
  void add_tree(pid_t pid, std::set<pid_t>& out) const {
    std::vector<pid_t> todo = {pid};
    while (!todo.empty()) {
      const pid_t next = todo.back();
      todo.pop_back();
      if (!out.insert(next).second) continue;
      const auto found = children_.find(next);
      if (found != children_.end()) todo.insert(todo.end(), found->second.begin(), found->second.end());
    }
  }

 private:
  std::unordered_map<pid_t, std::vector<pid_t>> children_;
};

bool is_told_to_die(const ProcessBrief& process) {
  if (process.kernel_thread || process.is_finished()) return false;
  // Stopped for a tracer it may be on its way out (PTRACE_EVENT_EXIT): its stack tells.
  return process.is_exiting() || process.sigkill_pending || process.is_doomed() || process.state == 't';
}

// A process that entered its PID namespace by setns: it has a number there, but its parent is outside. Whose namespace
// it is in, only ns/pid tells; asked where a namespace of its depth is dying.
bool may_be_injected(const ProcessBrief& process, const std::set<pid_t>& below, std::uint32_t shallowest) {
  return process.level >= shallowest && !process.is_init() && below.count(process.pid) == 0;
}

struct Suspects {
  std::set<pid_t> below;   // the trees of inits that are dying
  std::set<pid_t> chosen;  // all that are looked at, those included
};

Suspects choose_suspects(const std::vector<ProcessBrief>& processes) {
  const Family family(processes);
  std::set<pid_t> below;
  std::uint32_t shallowest = UINT32_MAX;
  for (const ProcessBrief& process : processes) {
    if (!process.is_dying_init()) continue;
    family.add_tree(process.pid, below);
    shallowest = std::min(shallowest, process.level);
  }
  std::set<pid_t> chosen = below;
  std::unordered_map<pid_t, std::uint32_t> levels;
  for (const ProcessBrief& process : processes) levels[process.pid] = process.level;
  for (const ProcessBrief& process : processes) {
    if (is_told_to_die(process)) chosen.insert(process.pid);
    if (!may_be_injected(process, below, shallowest)) continue;
    const auto parent = levels.find(process.ppid);
    const bool from_outside = parent == levels.end() || parent->second < process.level;
    if (from_outside) family.add_tree(process.pid, chosen);
  }
  return {std::move(below), std::move(chosen)};
}

void merge(const Gaps& from, Gaps& into) {
  for (const auto& [key, count] : from) into[key] += count;
}

// While they live: cgroup v1 shows "/" for a task that exits.
void read_init_cgroups(const ProcRoot& proc, Snapshot& snapshot) {
  for (const ProcessBrief& process : snapshot.processes) {
    if (!process.is_init() || !process.has_memory) continue;
    const auto file = proc.files().read_file(std::to_string(process.pid) + "/cgroup", 65'536);
    if (file) snapshot.init_cgroups[process.pid] = parse_cgroup(file->text);
  }
}

}  // namespace

Result<ProcRoot> ProcRoot::open(const std::string& path, ReadHook hook) {
  auto root = Beneath::open_root(path, hook);
  if (!root) return Failure(root.error());
  auto knobs = Beneath::open_root(path + "/sys/fs/fuse", std::move(hook));
  return ProcRoot(*std::move(root), knobs ? *std::move(knobs) : Beneath());
}

Result<std::vector<pid_t>> ProcRoot::list_processes(std::size_t max) const {
  bool truncated = false;
  const auto names = root_.list(".", max, truncated);
  if (!names) return Failure(names.error());
  std::vector<pid_t> pids;
  pids.reserve(names->size());
  for (const std::string& name : *names) {
    const auto pid = parse_u64(name);
    if (pid) pids.push_back(static_cast<pid_t>(*pid));
  }
  std::sort(pids.begin(), pids.end());
  return pids;
}

Result<void> read_processes(const ProcRoot& proc, const ReadLimits& limits, Snapshot& snapshot) {
  const auto pids = proc.list_processes(limits.max_processes);
  if (!pids) return prepend("reading /proc", pids.error());
  snapshot.processes.reserve(pids->size());
  for (const pid_t pid : *pids) {
    const auto file = proc.files().read_file(std::to_string(pid) + "/status", 65'536);
    const auto status = file ? parse_status(file->text) : Result<StatusFields>(Failure(file.error()));
    if (status) {
      snapshot.processes.push_back(make_brief(*status));
    } else if (status.error().kind != ErrorKind::gone) {
      add_gap(snapshot.gaps, "status", status.error().kind);
    }
  }
  read_init_cgroups(proc, snapshot);
  const auto [below, chosen] = choose_suspects(snapshot.processes);
  if (chosen.empty()) return {};
  const SchedNow now = read_sched_now(proc);
  for (const ProcessBrief& process : snapshot.processes) {
    if (chosen.count(process.pid) == 0 || process.kernel_thread) continue;
    auto sample = read_suspect(proc, limits, process, below.count(process.pid) > 0, now);
    if (sample) snapshot.suspects.push_back(*std::move(sample));
  }
  return {};
}

void add_suspects(const ProcRoot& proc, const ReadLimits& limits, const std::set<pid_t>& told_to_die,
                  Snapshot& snapshot) {
  std::set<pid_t> known;
  for (ProcessSample& suspect : snapshot.suspects) {
    known.insert(suspect.id.pid);
    if (told_to_die.count(suspect.id.pid) > 0) suspect.brief.told_to_die = true;
  }
  const SchedNow now = told_to_die.empty() ? SchedNow{} : read_sched_now(proc);
  for (ProcessBrief& process : snapshot.processes) {
    if (told_to_die.count(process.pid) == 0 || process.kernel_thread || process.is_finished()) continue;
    process.told_to_die = true;
    if (known.count(process.pid) > 0) continue;
    auto sample = read_suspect(proc, limits, process, false, now);
    if (sample) snapshot.suspects.push_back(*std::move(sample));
  }
  std::sort(snapshot.suspects.begin(), snapshot.suspects.end(),
            [](const ProcessSample& a, const ProcessSample& b) { return a.id.pid < b.id.pid; });
}

void read_hazards(const ProcRoot& proc, const ReadLimits& limits, Snapshot& snapshot) {
  std::vector<BoundedRequest> requests;
  std::vector<std::size_t> owner;
  for (std::size_t i = 0; i < snapshot.suspects.size(); ++i) {
    for (BoundedRequest& request : hazards_of(snapshot.suspects[i])) {
      requests.push_back(std::move(request));
      owner.push_back(i);
    }
  }
  if (!requests.empty()) {
    const BoundedReads reads = read_bounded(proc.files(), requests, limits.hazard_timeout, limits.hazard_budget);
    for (std::size_t i = 0; i < requests.size(); ++i) {
      take_hazard(requests[i], reads.results[i], snapshot.suspects[owner[i]]);
    }
    if (reads.left_behind > 0) snapshot.gaps[{"reader", ErrorKind::timeout}] += reads.left_behind;
  }
  for (const ProcessSample& sample : snapshot.suspects) {
    const auto sum_up = [&](const Gaps& gaps) {
      merge(gaps, snapshot.gaps);
      for (const auto& gap : gaps) {
        add_gap_process(snapshot.gap_processes, gap.first, {sample.id.pid, sample.brief.name});
      }
    };
    sum_up(sample.gaps);
    for (const ThreadSample& thread : sample.threads) sum_up(thread.gaps);
  }
  const auto stacks_are = [&](ErrorKind kind) { return snapshot.gaps.count({"stack", kind}) > 0; };
  if (stacks_are(ErrorKind::denied) || stacks_are(ErrorKind::unsupported)) snapshot.blind.emplace_back("stack");
}

}  // namespace defused
