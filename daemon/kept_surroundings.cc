// SPDX-License-Identifier: Apache-2.0
#include "daemon/kept_surroundings.h"

#include <algorithm>

namespace defused {

namespace {

constexpr Nanoseconds kFirst = std::chrono::seconds(10);
constexpr Nanoseconds kLongest = std::chrono::minutes(5);

}  // namespace

KeptSurroundings::Reason KeptSurroundings::reason_of(const Snapshot& snapshot) {
  Reason reason;
  for (const ProcessSample& suspect : snapshot.suspects) {
    for (const ThreadSample& thread : suspect.threads) {
      // Those that may be blocked; a zombie or a traced process that comes or goes changes nothing.
      if (thread.state == 'Z' || thread.state == 'X') continue;
      const bool told =
          !thread.has_memory || thread.sigkill_pending || thread.core_dumping || suspect.brief.told_to_die;
      if (!told) continue;
      reason.threads.emplace(thread.id.tid, thread.id.start_ticks, thread.context_switches);
    }
  }
  for (const ConnectionSample& connection : snapshot.connections) {
    reason.connections.emplace(connection.id.kernel_dev, connection.directory_inode, connection.waiting != 0);
  }
  return reason;
}

// Who is gone may have been the server: what is said of it must not outlive it.
bool KeptSurroundings::all_there(const Snapshot& snapshot) const {
  const auto is_there = [&](pid_t pid) {
    const auto found = std::lower_bound(snapshot.processes.begin(), snapshot.processes.end(), pid,
                                        [](const ProcessBrief& process, pid_t wanted) { return process.pid < wanted; });
    return found != snapshot.processes.end() && found->pid == pid;
  };
  return std::all_of(kept_->holders.begin(), kept_->holders.end(),
                     [&](const auto& holder) { return is_there(holder.pid); }) &&
         std::all_of(kept_->users.begin(), kept_->users.end(), [&](const auto& user) { return is_there(user.id.pid); });
}

bool KeptSurroundings::restore(Snapshot& snapshot) const {
  if (!kept_ || snapshot.taken.boottime - taken_ >= hold_for_) return false;
  if (reason_of(snapshot) != reason_ || !all_there(snapshot)) return false;
  snapshot.surroundings = kept_;
  snapshot.surroundings->kept = true;
  for (const auto& [what, count] : gaps_) snapshot.gaps[what] += count;
  return true;
}

void KeptSurroundings::keep(const Snapshot& snapshot, const Gaps& gaps_before) {
  Reason reason = reason_of(snapshot);
  hold_for_ = kept_ && reason == reason_ ? std::min(2 * hold_for_, kLongest) : kFirst;
  reason_ = std::move(reason);
  kept_ = snapshot.surroundings;
  taken_ = snapshot.taken.boottime;
  gaps_.clear();
  for (const auto& [what, count] : snapshot.gaps) {
    const auto before = gaps_before.find(what);
    const std::uint64_t was = before == gaps_before.end() ? 0 : before->second;
    if (count > was) gaps_[what] = count - was;
  }
}

}  // namespace defused
