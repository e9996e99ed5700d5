// SPDX-License-Identifier: Apache-2.0
#include "daemon/kept_surroundings.h"

#include <catch2/catch.hpp>

using namespace defused;
using namespace std::chrono_literals;

namespace {

constexpr ConnectionId kWedged{40};
constexpr ConnectionId kOther{41};
const std::set<ThreadId> kStanding = {{101, 9}};

Snapshot snapshot_at(Nanoseconds now) {
  Snapshot snapshot;
  snapshot.taken.boottime = now;
  for (const pid_t pid : {1, 70, 80, 101}) {
    ProcessBrief brief;
    brief.pid = pid;
    brief.has_memory = true;
    snapshot.processes.push_back(brief);
  }
  ConnectionSample wedged;
  wedged.id = kWedged;
  wedged.directory_inode = 7;
  wedged.waiting = 1;
  snapshot.connections = {wedged};
  return snapshot;
}

Snapshot read_at(Nanoseconds now) {
  Snapshot snapshot = snapshot_at(now);
  Surroundings& around = snapshot.surroundings.emplace();
  DeviceHolder holder;
  holder.pid = 70;
  around.holders = {holder};
  around.users = {{ProcessId{80, 3}, {66}, {}}};
  around.viewers = {Viewer{{80, 101}, {}}};
  add_gap(snapshot.gaps, "fdinfo", ErrorKind::denied);
  return snapshot;
}

KeptSurroundings kept_at(Nanoseconds now, Nanoseconds cost = 0s) {
  KeptSurroundings kept;
  kept.keep(read_at(now), kStanding, {}, cost);
  return kept;
}

bool serves(const KeptSurroundings& kept, Nanoseconds now, const std::set<ThreadId>& standing = kStanding) {
  Snapshot snapshot = snapshot_at(now);
  return kept.restore(snapshot, standing);
}

void remove(Snapshot& snapshot, pid_t pid) {
  auto& all = snapshot.processes;
  all.erase(std::remove_if(all.begin(), all.end(), [&](const ProcessBrief& it) { return it.pid == pid; }), all.end());
}

}  // namespace

TEST_CASE("nothing was kept yet") { CHECK_FALSE(serves(KeptSurroundings(), 100s)); }

TEST_CASE("it serves for 10 s, and brings the gaps of its making") {
  const KeptSurroundings kept = kept_at(100s);
  Snapshot snapshot = snapshot_at(109s);
  add_gap(snapshot.gaps, "stack", ErrorKind::timeout);
  REQUIRE(kept.restore(snapshot, kStanding));
  CHECK(snapshot.surroundings->kept);
  CHECK(snapshot.surroundings->holders.size() == 1);
  CHECK(snapshot.gaps.at({"fdinfo", ErrorKind::denied}) == 1);
  CHECK(snapshot.gaps.size() == 2);
  CHECK_FALSE(serves(kept, 110s));
}

TEST_CASE("as long as nothing new asks for it, it serves twice as long each time, up to 5 min") {
  KeptSurroundings kept = kept_at(100s);
  Nanoseconds now = 100s;
  for (const Nanoseconds hold : {20s, 40s, 80s, 160s, 300s, 300s}) {
    now += 10s;
    kept.keep(read_at(now), kStanding, {}, 0s);
    CHECK(serves(kept, now + hold - 1s));
    CHECK_FALSE(serves(kept, now + hold));
  }
  kept.keep(read_at(now), {{101, 9}, {102, 9}}, {}, 0s);
  CHECK_FALSE(serves(kept, now + 10s));
}

TEST_CASE("a new thread that stands asks for another one, one that is gone does not") {
  const KeptSurroundings kept = kept_at(100s);
  CHECK_FALSE(serves(kept, 101s, {{101, 9}, {102, 9}}));
  CHECK_FALSE(serves(kept, 101s, {{101, 10}}));
  CHECK(serves(kept, 101s, {}));
}

TEST_CASE("a connection that it does not know asks for another one once requests wait there") {
  const KeptSurroundings kept = kept_at(100s);
  Snapshot snapshot = snapshot_at(101s);
  ConnectionSample other;
  other.id = kOther;
  other.directory_inode = 8;
  other.waiting = 0;
  snapshot.connections.push_back(other);
  CHECK(kept.restore(snapshot, kStanding));
  snapshot.connections.back().waiting.reset();  // unreadable: it may wait
  CHECK_FALSE(kept.restore(snapshot, kStanding));
  snapshot.connections.back().waiting = 1;
  CHECK_FALSE(kept.restore(snapshot, kStanding));
  snapshot.connections.pop_back();
  snapshot.connections.back().directory_inode = 9;  // the number is used again
  CHECK_FALSE(kept.restore(snapshot, kStanding));
}

TEST_CASE("of a connection that came since nothing is known, also of one that has the number of another") {
  const KeptSurroundings kept = kept_at(100s);
  Snapshot snapshot = snapshot_at(101s);
  REQUIRE(kept.restore(snapshot, kStanding));
  CHECK(snapshot.surroundings->later.empty());
  snapshot.connections[0].waiting = 0;
  snapshot.connections[0].directory_inode = 9;
  ConnectionSample other;
  other.id = kOther;
  other.waiting = 0;
  snapshot.connections.push_back(other);
  REQUIRE(kept.restore(snapshot, kStanding));
  CHECK(snapshot.surroundings->later == std::set<ConnectionId>{kWedged, kOther});
}

TEST_CASE("a holder that began to die may have handed its descriptors on") {
  const KeptSurroundings kept = kept_at(100s);
  Snapshot snapshot = snapshot_at(101s);
  ProcessBrief& holder = snapshot.processes[1];
  REQUIRE(holder.pid == 70);
  SECTION("a zombie") {
    holder.state = 'Z';
    holder.has_memory = false;
  }
  SECTION("killed") { holder.killed = true; }
  CHECK_FALSE(kept.restore(snapshot, kStanding));
}

TEST_CASE("a user that is gone is left out; a holder that is gone asks for another one") {
  const KeptSurroundings kept = kept_at(100s);
  Snapshot snapshot = snapshot_at(101s);
  remove(snapshot, 80);
  REQUIRE(kept.restore(snapshot, kStanding));
  CHECK(snapshot.surroundings->users.empty());
  REQUIRE(snapshot.surroundings->viewers.size() == 1);  // its mounts still are
  CHECK(snapshot.surroundings->viewers[0].pids == std::vector<pid_t>{101});
  remove(snapshot, 70);
  CHECK_FALSE(kept.restore(snapshot, kStanding));
}

TEST_CASE("what cost much is kept longer, whatever asks; a holder that is gone makes the rest unknown then") {
  const KeptSurroundings kept = kept_at(100s, 200ms);
  CHECK(serves(kept, 199s));  // 500 times as long, unasked
  CHECK_FALSE(serves(kept, 200s));
  CHECK(serves(kept, 109s, {{102, 9}}));  // 50 times as long, asked
  CHECK_FALSE(serves(kept, 110s, {{102, 9}}));
  Snapshot snapshot = snapshot_at(101s);
  remove(snapshot, 70);
  REQUIRE(kept.restore(snapshot, kStanding));
  CHECK(snapshot.surroundings->holders.empty());
  CHECK_FALSE(snapshot.surroundings->holders_complete);
  CHECK(serves(kept_at(100s, 10min), 399s));  // but never longer than 5 min
  CHECK_FALSE(serves(kept_at(100s, 10min), 400s));
}
