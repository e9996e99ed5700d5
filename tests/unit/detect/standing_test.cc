// SPDX-License-Identifier: Apache-2.0
#include "detect/standing.h"

#include <catch2/catch.hpp>

#include "cases.h"

using namespace defused;

namespace {

History after_one_sample(const Snapshot& snapshot) { return detect(snapshot, {}, {}).history; }

}  // namespace

TEST_CASE("an index is made for a thread that has not moved since the last sample") {
  Snapshot snapshot = deadlock();
  CHECK_FALSE(needs_surroundings(snapshot, {}));  // the first sample says nothing of progress
  const History before = after_one_sample(snapshot);
  CHECK(standing_threads(snapshot, before).size() == 1);
  CHECK(needs_surroundings(snapshot, before));
  SECTION("not for one that moved") {
    ++snapshot.suspects[1].threads[0].context_switches;
    CHECK_FALSE(needs_surroundings(snapshot, before));
  }
  SECTION("not where no request waits") {
    for (ConnectionSample& sample : snapshot.connections) sample.waiting = 0;
    CHECK_FALSE(needs_surroundings(snapshot, before));
  }
  SECTION("but where that could not be read") {
    for (ConnectionSample& sample : snapshot.connections) sample.waiting.reset();
    CHECK(needs_surroundings(snapshot, before));
  }
}
