// SPDX-License-Identifier: Apache-2.0
// Signals that end a command wait while this lives, so that what it made is removed first. They come when it goes. Once
// one was seen to wait, another one ends the program at once: a person who asks twice means it.
#pragma once

#include <csignal>
#include <ctime>
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
  ~BlockedSignals() {
    sigprocmask(SIG_SETMASK, &before_, nullptr);
    if (came_ != 0) raise(came_);
  }

  /// Whether one of them came. All that wait are one to us: a terminal that goes may send two.
  bool came() {
    if (came_ != 0) return true;
    const timespec at_once{};
    for (int number = take(at_once); number > 0; number = take(at_once)) came_ = number;
    if (came_ != 0) sigprocmask(SIG_SETMASK, &before_, nullptr);
    return came_ != 0;
  }

 private:
  [[nodiscard]] int take(const timespec& time) const { return sigtimedwait(&blocked_, nullptr, &time); }

  sigset_t blocked_{};
  sigset_t before_{};
  int came_ = 0;  // its number
};

}  // namespace defused
