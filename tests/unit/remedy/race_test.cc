// SPDX-License-Identifier: Apache-2.0
// What may happen between the decision and the write, one thing at a time: never a write. What the second reading sees
// is decided on by the real policy.
#include <catch2/catch.hpp>
#include <string>

#include "fakes.h"
#include "remedy/remedy.h"

namespace defused {

namespace {

struct Race {
  const char* what;
  std::function<void(Asked&)> changed;
  const char* detail;
};

void check_no_write(const Race& race) {
  INFO(race.what);
  Scene scene;
  scene.world.changed = race.changed;
  const OutcomeRecord record = scene.outcome();
  CHECK(record.outcome == Outcome::skipped_identity_changed);
  CHECK_THAT(record.detail, Catch::Contains(race.detail));
  CHECK(scene.did("look again"));
  CHECK_FALSE(scene.did("reach write"));
  CHECK_FALSE(scene.did("write"));
  CHECK(scene.stage.disk.writes == 0);
  REQUIRE(scene.stage.disk.ledger.entries.size() == 1);
  CHECK(scene.stage.disk.ledger.entries[0].outcome == Outcome::skipped_identity_changed);
}

}  // namespace

TEST_CASE("No write where something is another one than before, or gone") {
  const std::vector<Race> races = {
      {"namespace gone", [](Asked& it) { it.findings.namespaces.clear(); }, "is not dying, or gone"},
      {"init's PID recycled", [](Asked& it) { it.finding().init.start_ticks = 4001; },
       "was process 100 started at tick 4000, now it is 100 started at 4001"},
      {"thread gone", [](Asked& it) { it.finding().blocked_threads.clear(); }, "is not blocked any more"},
      {"TID recycled", [](Asked& it) { it.thread().id.start_ticks = 5001; }, "is another thread now"},
      {"TID recycled in another process", [](Asked& it) { it.thread().pid = 5; }, "is another thread now"},
      {"thread ran", [](Asked& it) { it.thread().context_switches = 18; }, "17 context switches became 18"},
      {"waits elsewhere", [](Asked& it) { it.thread().connection = ConnectionId{41}; },
       "does not wait for connection 40"},
      {"connection gone", [](Asked& it) { it.findings.connections.clear(); }, "connection 40 is gone"},
      {"minor recycled", [](Asked& it) { it.connection().directory_inode = 1; }, "directory inode 9040 became 1"},
      {"mounted elsewhere",
       [](Asked& it) {
         it.connection().mount_ids = {77, 78};
       },
       "mounted elsewhere"},
      {"other type", [](Asked& it) { it.connection().fstype = "fuse.other"; }, "was of type 'fuse.ndrive'"},
      {"fusectl unmounted after the file was opened",
       [](Asked& it) {
         it.findings.connections.clear();
         it.finding().connections.clear();
         it.thread().connection.reset();
         it.thread().attribution = Attribution::unknown;
         it.thread().verdict = Verdict::undetermined;
       },
       "does not wait for connection 40 any more, as far as can be told"},
  };
  for (const Race& race : races) check_no_write(race);
}

TEST_CASE("No write where the same situation is judged otherwise") {
  const std::vector<Race> races = {
      {"server is back",
       [](Asked& it) {
         it.connection().server_state = ServerState::alive;
         it.connection().servers = {{{7, 8}, "ndrive", ServerState::alive}};
       },
       "the second reading decides to hold: server_alive"},
      {"server unknown", [](Asked& it) { it.connection().server_state = ServerState::unknown; },
       "decides to hold: server_unknown"},
      {"a user came", [](Asked& it) { it.connection().outside_users = 1; }, "decides to hold: outside_users"},
      {"users unreadable", [](Asked& it) { it.connection().outside_users.reset(); }, "decides to hold: gap"},
      {"a viewer came", [](Asked& it) { it.connection().outside_viewers = 1; }, "decides to hold: outside_viewers"},
      {"seen by the host", [](Asked& it) { it.connection().host_mount = true; }, "decides to hold: host_mount"},
      {"switched off meanwhile", [](Asked& it) { it.policy.mode = Mode::observe; }, "decides to hold: mode"},
      {"paused meanwhile", [](Asked& it) { it.restraints.inhibited = true; }, "decides to hold: inhibited"},
      {"readers disagree", [](Asked& it) { it.connection().readers_disagree = true; },
       "decides to hold: readers_disagree"},
      {"two things",
       [](Asked& it) {
         it.finding().gap = true;
         it.connection().host_mount = true;
       },
       "decides to hold: host_mount, gap"},
  };
  for (const Race& race : races) check_no_write(race);
}

TEST_CASE("No write where the second reading decides for another connection") {
  check_no_write({"a lower number got stuck too",
                  [](Asked& it) {
                    it.finding().blocked_threads.push_back(make_waiting_thread(2000, 39));
                    it.finding().connections.push_back(ConnectionId{39});
                    it.findings.connections.push_back(make_dead_connection(39));
                  },
                  "the second reading decides for another connection"});
}

TEST_CASE("No write where the second reading fails") {
  Scene scene;
  scene.world.look_error = Error{ErrorKind::timeout, "listing processes: out of time", 0};
  const OutcomeRecord record = scene.outcome();
  CHECK(record.outcome == Outcome::skipped_identity_changed);
  CHECK(record.detail == "the second reading failed: listing processes: out of time");
  CHECK(scene.stage.disk.writes == 0);
}

TEST_CASE("What went before the file was opened is not even read again") {
  Scene scene;
  SECTION("the number was given to another connection") { scene.order.connection.directory_inode = 1; }
  SECTION("fusectl was unmounted") {
    scene.aborter.open_error = Error{ErrorKind::unsupported, "/sys/fs/fuse/connections is not a fusectl mount", 0};
  }
  SECTION("fusectl's directory is gone") {
    scene.aborter.open_error = Error{ErrorKind::gone, "opening /sys/fs/fuse/connections", 2};
  }
  CHECK(scene.outcome().outcome == Outcome::skipped_identity_changed);
  CHECK_FALSE(scene.did("look again"));
  CHECK(scene.stage.disk.writes == 0);
}

}  // namespace defused
