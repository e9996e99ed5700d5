// SPDX-License-Identifier: Apache-2.0
#include "daemon/kept_surroundings.h"

#include <algorithm>

namespace defused {

namespace {

constexpr Nanoseconds kFirst = std::chrono::seconds(10);
constexpr Nanoseconds kLongest = std::chrono::minutes(5);
// Of one CPU: 1/500 where nothing new asks, 1/50 at most. On a host with 10,000 processes of 40 descriptors /proc takes
// two seconds for it, BPF a tenth of one.
constexpr int kShareUnasked = 500;
constexpr int kShareAsked = 50;

bool is_there(const Snapshot& snapshot, pid_t pid) {
  const auto found = std::lower_bound(snapshot.processes.begin(), snapshot.processes.end(), pid,
                                      [](const ProcessBrief& process, pid_t wanted) { return process.pid < wanted; });
  return found != snapshot.processes.end() && found->pid == pid;
}

}  // namespace

// Who is gone may have been the server: what is said of it must not outlive it.
bool KeptSurroundings::answers(const Snapshot& snapshot, const std::set<ThreadId>& standing) const {
  if (!std::includes(standing_.begin(), standing_.end(), standing.begin(), standing.end())) return false;
  const bool all_known =
      std::all_of(snapshot.connections.begin(), snapshot.connections.end(), [&](const ConnectionSample& sample) {
        const auto known = connections_.find(sample.id);
        return !sample.may_wait() || (known != connections_.end() && known->second == sample.directory_inode);
      });
  return all_known && std::all_of(kept_->holders.begin(), kept_->holders.end(),
                                  [&](const DeviceHolder& holder) { return is_there(snapshot, holder.pid); });
}

bool KeptSurroundings::restore(Snapshot& snapshot, const std::set<ThreadId>& standing) const {
  if (!kept_) return false;
  const Nanoseconds age = snapshot.taken.boottime - taken_;
  if (age >= hold_for_ || (age >= least_ && !answers(snapshot, standing))) return false;
  Surroundings& around = snapshot.surroundings.emplace(*kept_);
  around.kept = true;
  const auto gone = [&](const FileUser& user) { return !is_there(snapshot, user.id.pid); };
  around.users.erase(std::remove_if(around.users.begin(), around.users.end(), gone), around.users.end());
  const auto left = [&](const DeviceHolder& holder) { return !is_there(snapshot, holder.pid); };
  const auto end = std::remove_if(around.holders.begin(), around.holders.end(), left);
  if (end != around.holders.end()) around.holders_complete = false;  // it may have handed its descriptors on
  around.holders.erase(end, around.holders.end());
  for (const auto& [what, count] : gaps_) snapshot.gaps[what] += count;
  return true;
}

void KeptSurroundings::keep(const Snapshot& snapshot, const std::set<ThreadId>& standing, const Gaps& gaps_before,
                            Nanoseconds cost) {
  hold_for_ = kept_ && answers(snapshot, standing) ? std::min(2 * hold_for_, kLongest) : kFirst;
  hold_for_ = std::clamp(kShareUnasked * cost, hold_for_, kLongest);
  least_ = std::min<Nanoseconds>(kShareAsked * cost, kLongest);
  standing_ = standing;
  connections_.clear();
  for (const ConnectionSample& sample : snapshot.connections) connections_[sample.id] = sample.directory_inode;
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
