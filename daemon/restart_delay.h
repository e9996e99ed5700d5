// SPDX-License-Identifier: Apache-2.0
// RestartDelay: how long to wait before a child that ended is started again. The first time not at all, so that what is
// served has no hole; if it keeps ending young, 1 s, 2 s, 4 s ... at most 30 s.
#pragma once

#include <algorithm>

#include "base/clock.h"

namespace defused {

class RestartDelay {
 public:
  /// For a child that ended after `lived`.
  Nanoseconds after(Nanoseconds lived) {
    constexpr Nanoseconds kYoung = std::chrono::seconds(5);
    constexpr Nanoseconds kMost = std::chrono::seconds(30);
    if (lived >= kYoung) {
      next_ = Nanoseconds(0);
      return Nanoseconds(0);
    }
    const Nanoseconds delay = next_;
    next_ = std::min<Nanoseconds>(std::max<Nanoseconds>(2 * next_, std::chrono::seconds(1)), kMost);
    return delay;
  }

 private:
  Nanoseconds next_{0};
};

}  // namespace defused
