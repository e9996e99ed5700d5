// SPDX-License-Identifier: Apache-2.0
// Signals that end a command wait while this lives, so that what it made is removed first. They come when it goes.
#pragma once

#include <csignal>
#include <initializer_list>

namespace defused {

class BlockedSignals {
 public:
  BlockedSignals() {
    sigemptyset(&blocked_);
    for (const int number : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&blocked_, number);
    sigprocmask(SIG_BLOCK, &blocked_, &before_);
  }
  BlockedSignals(const BlockedSignals&) = delete;
  BlockedSignals& operator=(const BlockedSignals&) = delete;
  ~BlockedSignals() { sigprocmask(SIG_SETMASK, &before_, nullptr); }

  /// Whether one of them waits.
  [[nodiscard]] bool pending() const {
    sigset_t waiting;
    if (sigpending(&waiting) != 0) return false;
    for (const int number : {SIGINT, SIGTERM, SIGHUP}) {
      if (sigismember(&blocked_, number) == 1 && sigismember(&waiting, number) == 1) return true;
    }
    return false;
  }

 private:
  sigset_t blocked_{};
  sigset_t before_{};
};

}  // namespace defused
