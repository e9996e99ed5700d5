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

const ProcessBrief* find(const Snapshot& snapshot, pid_t pid) { return find_process(snapshot.processes, pid); }

bool lives(const Snapshot& snapshot, pid_t pid) {
  const ProcessBrief* process = find(snapshot, pid);
  return process != nullptr && process->has_memory && !process->is_doomed();
}

}  // namespace

// Who is gone, or is dying since, may have been the server, and may have handed its descriptors on: what is said of it
// must not outlive it.
bool KeptSurroundings::is_lost(const Snapshot& snapshot, pid_t holder) const {
  return find(snapshot, holder) == nullptr || (living_.count(holder) > 0 && !lives(snapshot, holder));
}

bool KeptSurroundings::knows(const ConnectionSample& sample) const {
  const auto known = connections_.find(sample.id);
  return known != connections_.end() && may_be_same(known->second, sample.directory_inode);
}

bool KeptSurroundings::answers(const Snapshot& snapshot, const std::set<ThreadId>& standing) const {
  if (!std::includes(standing_.begin(), standing_.end(), standing.begin(), standing.end())) return false;
  return std::all_of(snapshot.connections.begin(), snapshot.connections.end(),
                     [&](const ConnectionSample& sample) { return !sample.may_wait() || knows(sample); }) &&
         std::none_of(kept_->holders.begin(), kept_->holders.end(),
                      [&](const DeviceHolder& holder) { return is_lost(snapshot, holder.pid); });
}

bool KeptSurroundings::restore(Snapshot& snapshot, const std::set<ThreadId>& standing) const {
  if (!kept_) return false;
  const Nanoseconds age = snapshot.taken.boottime - taken_;
  if (age >= hold_for_ || (age >= least_ && !answers(snapshot, standing))) return false;
  Surroundings& around = snapshot.surroundings.emplace(*kept_);
  around.kept = true;
  for (const ConnectionSample& sample : snapshot.connections) {
    if (!knows(sample)) around.later.insert(sample.id);
  }
  const auto gone = [&](pid_t pid) { return find(snapshot, pid) == nullptr; };
  std::erase_if(around.users, [&](const FileUser& user) { return gone(user.id.pid); });
  for (Viewer& viewer : around.viewers) std::erase_if(viewer.pids, gone);
  const auto is_lost_holder = [&](const DeviceHolder& holder) { return is_lost(snapshot, holder.pid); };
  if (std::erase_if(around.holders, is_lost_holder) > 0) {
    around.holders_complete = false;
  }
  add_gaps(snapshot.gaps, gaps_);
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
  living_.clear();
  for (const DeviceHolder& holder : kept_->holders) {
    if (lives(snapshot, holder.pid)) living_.insert(holder.pid);
  }
  taken_ = snapshot.taken.boottime;
  gaps_.clear();
  for (const auto& [what, count] : snapshot.gaps) {
    const auto before = gaps_before.find(what);
    const std::uint64_t was = before == gaps_before.end() ? 0 : before->second;
    if (count > was) gaps_[what] = count - was;
  }
}

}  // namespace defused
