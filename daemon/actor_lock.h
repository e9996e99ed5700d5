// SPDX-License-Identifier: Apache-2.0
// ActorLock: one actor at a time on this host, the daemon or a `defused abort`. A flock on `<state
// directory>/actor.lock` that is held by the supervisor for the time of a pass, or by the command while it acts; never
// by a prober, which may become unkillable. Whoever holds it may act, settle and write the ledger. The file stays open
// and is made once: the loop of the supervisor must not wait for a file system that is frozen.
#pragma once

#include <string>

#include "base/clock.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace defused {

class ActorLock {
 public:
  explicit ActorLock(const std::string& state_directory) : path_(state_directory + "/actor.lock") {}

  /// Takes it without waiting; holding it already is fine. code EWOULDBLOCK: another one has it; else it cannot be
  /// opened.
  Result<void> take();
  void release();
  [[nodiscard]] bool held() const { return held_; }

 private:
  Result<void> open();

  std::string path_;
  UniqueFd file_;
  bool held_ = false;
};

/// Takes it, trying again for at most `patience`.
Result<void> take_patiently(ActorLock& lock, Nanoseconds patience, Clock& clock);

}  // namespace defused
