// SPDX-License-Identifier: Apache-2.0
#include "base/clock.h"

#include <cerrno>
#include <ctime>

namespace defused {

namespace {

Nanoseconds read_clock(clockid_t clock) {
  timespec time{};
  clock_gettime(clock, &time);
  return std::chrono::seconds(time.tv_sec) + Nanoseconds(time.tv_nsec);
}

}  // namespace

Instant SystemClock::now() const { return Instant{read_clock(CLOCK_BOOTTIME), read_clock(CLOCK_REALTIME)}; }

void SystemClock::sleep(Nanoseconds duration) {
  const auto whole = std::chrono::duration_cast<std::chrono::seconds>(duration);
  timespec rest{};
  rest.tv_sec = whole.count();
  rest.tv_nsec = (duration - whole).count();
  while (clock_nanosleep(CLOCK_MONOTONIC, 0, &rest, &rest) == EINTR) {
  }
}

}  // namespace defused
