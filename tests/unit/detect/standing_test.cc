// SPDX-License-Identifier: Apache-2.0
#include "detect/standing.h"

#include <catch2/catch.hpp>

#include "cases.h"

using namespace defused;

namespace {

History after_one_sample(const Snapshot& snapshot) { return detect(snapshot, {}, {}).history; }

bool is_needed(const Snapshot& snapshot, const History& before) {
  return needs_surroundings(snapshot, standing_threads(snapshot, before));
}

}  // namespace

TEST_CASE("an index is made for a thread that has not moved since the last sample") {
  Snapshot snapshot = deadlock();
  CHECK_FALSE(is_needed(snapshot, {}));  // the first sample says nothing of progress
  const History before = after_one_sample(snapshot);
  CHECK(standing_threads(snapshot, before).size() == 1);
  CHECK(is_needed(snapshot, before));
  SECTION("not for one that moved") {
    ++snapshot.suspects[1].threads[0].context_switches;
    CHECK_FALSE(is_needed(snapshot, before));
  }
  SECTION("not where no request waits") {
    for (ConnectionSample& sample : snapshot.connections) sample.waiting = 0;
    CHECK_FALSE(is_needed(snapshot, before));
  }
  SECTION("but where that could not be read") {
    for (ConnectionSample& sample : snapshot.connections) sample.waiting.reset();
    CHECK(is_needed(snapshot, before));
  }
}

TEST_CASE("of a connection that came after a kept index nothing is known") {
  const auto keep = [](Snapshot& s) { s.surroundings->later = {kWedged}; };
  const Findings findings = judge(keep);
  REQUIRE(findings.namespaces.size() == 1);
  CHECK(findings.namespaces[0].verdict == Verdict::undetermined);
  for (const ConnectionFinding& connection : findings.connections) {
    if (connection.id != kWedged) continue;
    CHECK(connection.server_state == ServerState::unknown);
    CHECK_FALSE(connection.outside_users);
    CHECK_FALSE(connection.outside_viewers);
    CHECK_FALSE(connection.orphaned);
  }
}

TEST_CASE("a request has not stood for longer than its number was read") {
  Snapshot snapshot = deadlock();
  const auto look = [&](Nanoseconds after, const History& before, bool read) {
    snapshot.taken.boottime += after;
    snapshot.taken.wall += after;
    snapshot.oldest_requests.reset();
    if (read) snapshot.oldest_requests = {{kWedged, 7}};
    return detect(snapshot, before, {});
  };
  const auto is_stalled = [](const Detection& detection) {
    return std::any_of(detection.findings.connections.begin(), detection.findings.connections.end(),
                       [](const ConnectionFinding& it) { return it.id == kWedged && it.stalled_since; });
  };
  snapshot.surroundings->holders = {holder(1, {kWedged})};  // somebody alive could answer
  const Detection first = look(std::chrono::seconds(5), {}, true);
  const Detection unread = look(std::chrono::seconds(60), first.history, false);
  CHECK_FALSE(is_stalled(unread));
  CHECK(is_stalled(look(std::chrono::seconds(5), unread.history, true)));
}
