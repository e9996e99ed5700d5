// SPDX-License-Identifier: Apache-2.0
#include "procfs/suspects.h"

#include <algorithm>
#include <utility>

namespace defused {

namespace {

class Family {
 public:
  explicit Family(const std::vector<ProcessBrief>& processes) {
    children_.reserve(processes.size());
    for (const ProcessBrief& process : processes) children_.emplace_back(process.ppid, process.pid);
    std::sort(children_.begin(), children_.end());
  }

  // `pid` and all its descendants into `out`.
  void add_tree(pid_t pid, std::set<pid_t>& out) const {
    std::vector<pid_t> todo = {pid};
    while (!todo.empty()) {
      const pid_t next = todo.back();
      todo.pop_back();
      if (!out.insert(next).second) continue;
      for (auto child = std::lower_bound(children_.begin(), children_.end(), std::pair<pid_t, pid_t>(next, 0));
           child != children_.end() && child->first == next; ++child) {
        todo.push_back(child->second);
      }
    }
  }

 private:
  std::vector<std::pair<pid_t, pid_t>> children_;  // parent, child
};

// A process that entered its PID namespace by setns: it has a number there, but its parent is outside. Whose namespace
// it is in, only ns/pid tells; asked where a namespace of its depth is dying.
bool may_be_injected(const ProcessBrief& process, const std::set<pid_t>& below, std::uint32_t shallowest) {
  return process.level >= shallowest && !process.is_init() && below.count(process.pid) == 0;
}

}  // namespace

bool is_told_to_die(const ProcessBrief& process) {
  if (process.kernel_thread || process.is_finished()) return false;
  // Stopped for a tracer it may be on its way out (PTRACE_EVENT_EXIT): its stack tells.
  return process.is_exiting() || process.sigkill_pending || process.is_doomed() || process.state == 't';
}

Suspects choose_suspects(const std::vector<ProcessBrief>& processes) {
  // Nearly always: nothing is dying on this host.
  if (std::none_of(processes.begin(), processes.end(),
                   [](const ProcessBrief& process) { return process.is_dying_init() || is_told_to_die(process); })) {
    return {};
  }
  const Family family(processes);
  std::set<pid_t> below;
  std::uint32_t shallowest = UINT32_MAX;
  for (const ProcessBrief& process : processes) {
    if (!process.is_dying_init()) continue;
    family.add_tree(process.pid, below);
    shallowest = std::min(shallowest, process.level);
  }
  std::set<pid_t> chosen = below;
  for (const ProcessBrief& process : processes) {
    if (is_told_to_die(process)) chosen.insert(process.pid);
    if (!may_be_injected(process, below, shallowest)) continue;
    const ProcessBrief* parent = find_process(processes, process.ppid);
    const bool from_outside = parent == nullptr || parent->level < process.level;
    if (from_outside) family.add_tree(process.pid, chosen);
  }
  return {std::move(below), std::move(chosen)};
}

}  // namespace defused
