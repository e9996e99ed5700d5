// SPDX-License-Identifier: Apache-2.0
#include "base/clock.h"

#include <catch2/catch.hpp>
#include <ctime>

namespace defused {

using namespace std::chrono_literals;

namespace {

Nanoseconds raw(clockid_t clock) {
  timespec time{};
  REQUIRE(clock_gettime(clock, &time) == 0);
  return std::chrono::seconds(time.tv_sec) + Nanoseconds(time.tv_nsec);
}

}  // namespace

TEST_CASE("the system clock shows boot time and wall-clock time") {
  const SystemClock clock;
  const Nanoseconds boottime_before = raw(CLOCK_BOOTTIME);
  const Instant now = clock.now();
  CHECK(now.boottime >= boottime_before);
  CHECK(now.boottime <= raw(CLOCK_BOOTTIME));
  // The wall clock may be set meanwhile, but not from one of 2020 to one before.
  CHECK(now.wall > std::chrono::seconds(1577836800));
  CHECK(now.wall - raw(CLOCK_REALTIME) < 1h);
}

TEST_CASE("the system clock sleeps at least as long as told") {
  SystemClock clock;
  const Instant before = clock.now();
  clock.sleep(1500us);
  CHECK(clock.now().boottime - before.boottime >= 1500us);
  clock.sleep(0s);
}

TEST_CASE("a manual clock goes only when told, on both clocks alike") {
  ManualClock clock(Instant{10s, 1000s});
  CHECK(clock.now() == Instant{10s, 1000s});
  clock.advance(5s);
  CHECK(clock.now() == Instant{15s, 1005s});
  clock.sleep(1h);
  CHECK(clock.now() == Instant{3615s, 4605s});
}

TEST_CASE("seconds are a fraction") {
  CHECK(to_seconds(1500ms) == 1.5);
  CHECK(to_seconds(-250ms) == -0.25);
  CHECK(to_seconds(0s) == 0);
}

}  // namespace defused
