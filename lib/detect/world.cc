// SPDX-License-Identifier: Apache-2.0
#include "detect/world.h"

#include <algorithm>
#include <unordered_set>

#include "detect/wait_class.h"

namespace defused {

namespace {

constexpr std::string_view kZap = "zap_pid_ns_processes";

bool has_stack(const ThreadSample& thread) { return thread.stack && !thread.stack->empty(); }

bool zap_is_top(const ThreadSample& thread) {
  return has_stack(thread) ? thread.stack->front() == kZap : thread.wchan == kZap;
}

}  // namespace

bool is_in_zap(const ThreadSample& thread) {
  if (has_stack(thread)) return has_frame(*thread.stack, kZap);
  // Stacks unreadable: an exiting init that sleeps in do_wait can only be in zap_pid_ns_processes.
  return thread.wchan == kZap || (thread.wchan == "do_wait" && !thread.has_memory);
}

bool may_be_blocked(const ThreadSample& thread) {
  constexpr std::string_view kAsleep = "DSItT";
  if (kAsleep.find(thread.state) == std::string_view::npos) return false;
  if (is_in_zap(thread)) return false;  // it waits for others, which are looked at themselves
  const bool exiting =
      thread.exiting.value_or(!thread.has_memory) || (thread.stack && has_frame(*thread.stack, "do_exit"));
  return exiting || thread.sigkill_pending || thread.core_dumping;
}

std::optional<DyingState> dying_state(const ProcessSample& init) {
  for (const ThreadSample& thread : init.threads) {
    if (!is_in_zap(thread)) continue;
    return zap_is_top(thread) ? DyingState::draining : DyingState::reaping;
  }
  if (std::any_of(init.threads.begin(), init.threads.end(), may_be_blocked)) return DyingState::init_blocked;
  return std::nullopt;
}

ProcessTree::ProcessTree(const Snapshot& snapshot) : snapshot_(snapshot) {
  for (const ProcessBrief& process : snapshot.processes) briefs_[process.pid] = &process;
  for (const ProcessSample& suspect : snapshot.suspects) suspects_[suspect.id.pid] = &suspect;
  find_dying();
  assign_members();
}

void ProcessTree::find_dying() {
  for (const ProcessSample& suspect : snapshot_.suspects) {
    if (!suspect.brief.is_dying_init() || !suspect.pid_namespace) continue;
    const auto state = dying_state(suspect);
    if (state) dying_.push_back({*suspect.pid_namespace, &suspect, *state, {}, -1});
  }
  std::sort(dying_.begin(), dying_.end(), [](const auto& a, const auto& b) { return a.id < b.id; });
}

void ProcessTree::assign_members() {
  std::unordered_map<pid_t, int> inits;
  std::map<NamespaceId, int> by_namespace;
  for (std::size_t i = 0; i < dying_.size(); ++i) {
    inits[dying_[i].init->id.pid] = static_cast<int>(i);
    by_namespace[dying_[i].id] = static_cast<int>(i);
  }
  if (inits.empty()) return;
  // What is known of a process: the index of its dying namespace, or -1.
  std::unordered_map<pid_t, int> known;
  const auto own = [&](pid_t pid) {
    if (const auto init = inits.find(pid); init != inits.end()) return init->second;
    const auto suspect = suspects_.find(pid);
    const bool knows = suspect != suspects_.end() && suspect->second->pid_namespace;
    const auto injected = knows ? by_namespace.find(*suspect->second->pid_namespace) : by_namespace.end();
    return injected == by_namespace.end() ? -1 : injected->second;
  };
  std::vector<pid_t> way;
  for (const ProcessBrief& process : snapshot_.processes) {
    // Up the parents: the first dying init on the way is the innermost. Bounded, since a tree read while it changes
    // may hold a circle; each is asked once, since there may be thousands.
    way.clear();
    int found = -1;
    for (pid_t at = process.pid; at > 0 && way.size() <= snapshot_.processes.size();) {
      if (const auto answered = known.find(at); answered != known.end()) {
        found = answered->second;
        break;
      }
      way.push_back(at);
      found = own(at);
      if (found >= 0) break;
      known[at] = -1;  // for a circle
      const auto brief = briefs_.find(at);
      at = brief == briefs_.end() ? 0 : brief->second->ppid;
    }
    for (const pid_t passed : way) known[passed] = found;
    if (found >= 0) membership_[process.pid] = found;
  }
  for (const ProcessSample& suspect : snapshot_.suspects) {
    const int index = namespace_of(suspect.id.pid);
    if (index >= 0) dying_[static_cast<std::size_t>(index)].members.push_back(&suspect);
  }
  for (std::size_t i = 0; i < dying_.size(); ++i) {
    const int around = namespace_of(dying_[i].init->brief.ppid);
    if (around != static_cast<int>(i)) dying_[i].outer = around;
  }
}

const ProcessBrief* ProcessTree::brief(pid_t pid) const {
  const auto found = briefs_.find(pid);
  return found == briefs_.end() ? nullptr : found->second;
}

int ProcessTree::namespace_of(pid_t pid) const {
  const auto found = membership_.find(pid);
  return found == membership_.end() ? -1 : found->second;
}

bool ProcessTree::is_alive(pid_t pid) const {
  const auto brief = briefs_.find(pid);
  if (brief == briefs_.end()) return true;  // it came after the walk: what is not known to be dying lives
  if (brief->second->kernel_thread || brief->second->is_doomed()) return false;
  const int index = namespace_of(pid);
  if (index >= 0 && dying_[static_cast<std::size_t>(index)].state != DyingState::init_blocked) return false;
  if (brief->second->has_memory) return true;
  if (brief->second->is_finished()) return false;
  // A zombie leader, or one past exit_mm: its other threads tell. Unreadable threads may well live.
  const auto suspect = suspects_.find(pid);
  if (suspect == suspects_.end() || !suspect->second->threads_complete) return true;
  const auto& threads = suspect->second->threads;
  return std::any_of(threads.begin(), threads.end(),
                     [](const ThreadSample& thread) { return thread.has_memory && !thread.sigkill_pending; });
}

namespace {

// Each table once, however many threads share it.
template <typename Visit>
void for_each_table(const Snapshot& snapshot, Visit visit) {
  std::unordered_set<const MountTable*> seen;
  for (const ProcessSample& suspect : snapshot.suspects) {
    for (const ThreadSample& thread : suspect.threads) {
      if (thread.mounts && seen.insert(thread.mounts.get()).second) visit(*thread.mounts);
    }
  }
  if (!snapshot.surroundings) return;
  for (const Viewer& viewer : snapshot.surroundings->viewers) visit(viewer.mounts);
}

}  // namespace

std::map<ConnectionId, MountFacts> collect_mounts(const Snapshot& snapshot) {
  std::map<ConnectionId, MountFacts> out;
  for_each_table(snapshot, [&](const MountTable& table) {
    for (const FuseMount& mount : table.fuse_mounts) {
      MountFacts& facts = out[mount.connection];
      facts.fstype = mount.fstype;
      facts.source = mount.source;
      facts.mount_ids.insert(mount.mount_id);
      const bool known = std::find(facts.mount_points.begin(), facts.mount_points.end(), mount.mount_point) !=
                         facts.mount_points.end();
      if (!known && facts.mount_points.size() < kMaxMountPoints) facts.mount_points.push_back(mount.mount_point);
    }
  });
  return out;
}

bool lacks_connections(const Snapshot& snapshot) {
  return !snapshot.fusectl_present || std::any_of(snapshot.gaps.begin(), snapshot.gaps.end(),
                                                  [](const auto& gap) { return gap.first.first == "fusectl"; });
}

bool has_any_virtiofs(const Snapshot& snapshot) {
  bool found = false;
  for_each_table(snapshot, [&](const MountTable& table) { found = found || table.has_virtiofs; });
  return found;
}

}  // namespace defused
