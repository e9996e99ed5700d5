// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>
#include <string>

#include "fakes.h"
#include "remedy/remedy.h"

using namespace std::chrono_literals;

namespace defused {

namespace {

using Rest = World::NamespaceRest;

const Rest kGone{true, false};
const Rest kWedged{false, true};
const Rest kFreed{false, false};

// The clear case of the policy tests, ordered, and everything that carry_out() needs.
struct Scene {
  Trace trace;
  Asked asked = make_clear_case();
  TracingClock clock{trace, asked.now};
  RecordingAborter aborter{trace, ConnectionId{40}, asked.connection().directory_inode};
  FailingAudit audit{trace};
  ScriptedWorld world{trace, asked};
  Ledger ledger;
  RemedyOrder order;

  Scene() {
    asked.finding().since = asked.now.wall - asked.finding().stuck_for;
    order = make_order(asked);
  }
  OutcomeRecord carry_out(Nanoseconds watch = 10s) {
    return defused::carry_out(order, aborter, audit, world, clock, ledger, watch);
  }
  [[nodiscard]] bool did(const std::string& step) const {
    return std::find(trace.begin(), trace.end(), step) != trace.end();
  }
};

const Trace kUpToSecondLook = {"audit intent", "publish intent", "open 40", "look again"};

Trace operator+(Trace trace, const Trace& more) {
  trace.insert(trace.end(), more.begin(), more.end());
  return trace;
}

}  // namespace

TEST_CASE("An abort goes its order: intent, open, look again, write, watch, outcome") {
  Scene scene;
  scene.world.rests = {kWedged, kWedged, kGone};
  const OutcomeRecord record = scene.carry_out();
  CHECK(scene.trace == kUpToSecondLook + Trace{"write", "close", "look at rest", "sleep 50", "look at rest", "sleep 50",
                                               "look at rest", "audit outcome", "publish outcome"});
  CHECK(scene.aborter.writes == 1);
  CHECK(record.outcome == Outcome::released);
  CHECK(record.recovery == 90s + 100ms);
  CHECK(record.pid_namespace == scene.order.finding.id);
  CHECK(record.connection == ConnectionId{40});
  CHECK(record.detail ==
        "PID namespace 4026532040 is gone after the abort of connection 40, 90.1 s after it got stuck");
}

TEST_CASE("The intent stands in the ledger that is handed over before anything is opened") {
  Scene scene;
  scene.carry_out();
  REQUIRE(scene.world.published.size() == 2);
  const auto& intent = scene.world.published[0].entries;
  REQUIRE(intent.size() == 1);
  CHECK_FALSE(intent[0].outcome);
  CHECK(intent[0].connection == ConnectionId{40});
  CHECK(intent[0].directory_inode == scene.order.connection.directory_inode);
  CHECK(intent[0].pid_namespace == scene.order.finding.id);
  CHECK(intent[0].at_boottime == scene.asked.now.boottime);
  CHECK(intent[0].at_wall == scene.asked.now.wall);
  CHECK(scene.world.published[1].entries[0].outcome == Outcome::released);
  CHECK(scene.ledger.entries[0].outcome == Outcome::released);
}

TEST_CASE("The ledger keeps the last actions, and rather attempts than what was skipped") {
  Scene scene;
  LedgerEntry old;
  old.outcome = Outcome::released;
  for (std::uint64_t i = 0; i < kMaxLedgerEntries; ++i) {
    old.directory_inode = i;
    scene.ledger.entries.push_back(old);
  }
  SECTION("the oldest goes") {
    scene.carry_out();
    CHECK(scene.ledger.entries.front().directory_inode == 1);
  }
  SECTION("a skipped one goes first") {
    scene.ledger.entries[7].outcome = Outcome::skipped_identity_changed;
    scene.carry_out();
    CHECK(scene.ledger.entries.front().directory_inode == 0);
    CHECK(scene.ledger.entries[7].directory_inode == 8);
  }
  CHECK(scene.ledger.entries.size() == kMaxLedgerEntries);
  CHECK(scene.ledger.entries.back().connection == ConnectionId{40});
}

TEST_CASE("An order that is not one to abort does nothing at all") {
  Scene scene;
  SECTION("hold") { scene.order.decision.action = Action::hold; }
  SECTION("no connection") { scene.order.decision.connection.reset(); }
  SECTION("another connection") { scene.order.decision.connection = ConnectionId{41}; }
  SECTION("another namespace") { scene.order.decision.pid_namespace = NamespaceId{1}; }
  CHECK(scene.carry_out().outcome == Outcome::skipped_identity_changed);
  CHECK(scene.trace.empty());
  CHECK(scene.ledger.entries.empty());
}

TEST_CASE("What cannot be recorded is not attempted") {
  Scene scene;
  scene.audit.fail_at = 1;
  const OutcomeRecord record = scene.carry_out();
  CHECK(scene.trace == Trace{"audit intent"});
  CHECK(record.outcome == Outcome::write_failed);
  CHECK(record.detail ==
        "nothing was attempted: the intent could not be recorded in the audit log: writing: No space left on device");
  CHECK(scene.ledger.entries.empty());
}

TEST_CASE("An outcome that cannot be recorded is told") {
  Scene scene;
  scene.audit.fail_at = 2;
  const OutcomeRecord record = scene.carry_out();
  CHECK(record.outcome == Outcome::released);
  CHECK_THAT(record.detail,
             Catch::EndsWith("this could not be recorded in the audit log: writing: No space left on device"));
  CHECK(scene.ledger.entries[0].outcome == Outcome::released);
  CHECK(scene.trace.back() == "publish outcome");
}

TEST_CASE("An abort file that does not open") {
  struct Refusal {
    ErrorKind kind;
    Outcome outcome;
  };
  const auto refusal = GENERATE(Refusal{ErrorKind::gone, Outcome::skipped_identity_changed},
                                Refusal{ErrorKind::denied, Outcome::write_failed},
                                Refusal{ErrorKind::unsupported, Outcome::write_failed},  // fusectl was unmounted
                                Refusal{ErrorKind::io, Outcome::write_failed});
  Scene scene;
  scene.aborter.open_error = Error{refusal.kind, "connection 40: opening abort: Permission denied", 0};
  const OutcomeRecord record = scene.carry_out();
  CHECK(record.outcome == refusal.outcome);
  CHECK(record.detail == "the abort file could not be opened: connection 40: opening abort: Permission denied");
  CHECK(scene.trace == Trace{"audit intent", "publish intent", "open 40", "audit outcome", "publish outcome"});
  CHECK(scene.ledger.entries[0].outcome == refusal.outcome);
}

TEST_CASE("A write that fails") {
  Scene scene;
  const auto kind = GENERATE(ErrorKind::denied, ErrorKind::gone, ErrorKind::io);
  scene.aborter.write_error = Error{kind, "writing 40/abort: Permission denied", 13};
  const OutcomeRecord record = scene.carry_out();
  CHECK(record.outcome == Outcome::write_failed);
  CHECK(record.detail == "the abort file could not be written: writing 40/abort: Permission denied");
  CHECK(scene.trace == kUpToSecondLook + Trace{"write", "close", "audit outcome", "publish outcome"});
}

TEST_CASE("No write where the second reading says anything else") {
  struct Race {
    const char* what;
    std::function<void(Asked&)> changed;
    const char* detail;
  };
  const std::vector<Race> races = {
      {"namespace gone", [](Asked& it) { it.findings.namespaces.clear(); }, "is not dying, or gone"},
      {"init recycled", [](Asked& it) { it.finding().init.start_ticks = 4001; }, "started at tick 4000, now it is 100"},
      {"thread gone", [](Asked& it) { it.finding().blocked_threads.clear(); }, "is not blocked any more"},
      {"thread recycled", [](Asked& it) { it.thread().id.start_ticks = 5001; }, "is another thread now"},
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
      {"server is back", [](Asked& it) { it.connection().server_state = ServerState::alive; },
       "the second reading decides to hold: server_alive"},
      {"server unknown", [](Asked& it) { it.connection().server_state = ServerState::unknown; },
       "decides to hold: server_unknown"},
      {"a user came", [](Asked& it) { it.connection().outside_users = 1; }, "decides to hold: outside_users"},
      {"users unreadable", [](Asked& it) { it.connection().outside_users.reset(); }, "decides to hold: gap"},
      {"a viewer came", [](Asked& it) { it.connection().outside_viewers = 1; }, "decides to hold: outside_viewers"},
      {"held meanwhile", [](Asked& it) { it.policy.mode = Mode::observe; }, "decides to hold: mode"},
      {"two things",
       [](Asked& it) {
         it.finding().gap = true;
         it.connection().host_mount = true;
       },
       "decides to hold: host_mount, gap"},
  };
  for (const Race& race : races) {
    INFO(race.what);
    Scene scene;
    scene.world.changed = race.changed;
    const OutcomeRecord record = scene.carry_out();
    CHECK(record.outcome == Outcome::skipped_identity_changed);
    CHECK_THAT(record.detail, Catch::Contains(race.detail));
    CHECK(scene.aborter.writes == 0);
    CHECK(scene.trace == kUpToSecondLook + Trace{"close", "audit outcome", "publish outcome"});
    CHECK(scene.ledger.entries[0].outcome == Outcome::skipped_identity_changed);
  }
}

TEST_CASE("No write where the second reading decides for another connection") {
  Scene scene;
  scene.world.changed = [](Asked& it) {
    it.finding().blocked_threads.push_back(make_waiting_thread(2000, 39));
    it.finding().connections.push_back(ConnectionId{39});
    it.findings.connections.push_back(make_dead_connection(39));
  };
  const OutcomeRecord record = scene.carry_out();
  CHECK(record.outcome == Outcome::skipped_identity_changed);
  CHECK(record.detail == "the second reading decides for another connection");
  CHECK_FALSE(scene.did("write"));
}

TEST_CASE("No write where the second reading fails") {
  Scene scene;
  scene.world.look_error = Error{ErrorKind::timeout, "listing processes: out of time", 0};
  const OutcomeRecord record = scene.carry_out();
  CHECK(record.outcome == Outcome::skipped_identity_changed);
  CHECK(record.detail == "the second reading failed: listing processes: out of time");
  CHECK_FALSE(scene.did("write"));
}

TEST_CASE("No write where the number of the connection was given to another one") {
  Scene scene;
  scene.order.connection.directory_inode = 1;
  CHECK(scene.carry_out().outcome == Outcome::skipped_identity_changed);
  CHECK_FALSE(scene.did("look again"));
  CHECK_FALSE(scene.did("write"));
}

TEST_CASE("What is still there at the deadline was not released") {
  Scene scene;
  scene.world.rests = {kWedged};
  const OutcomeRecord record = scene.carry_out(120ms);
  CHECK(record.outcome == Outcome::not_released);
  CHECK(record.recovery == 0s);
  CHECK(
      record.detail ==
      "connection 40 was aborted, but after 0.1 s PID namespace 4026532040 is still there; still blocked, at least one "
      "of: 1040 (ndrive, fuse_flush)");
  CHECK(scene.trace == kUpToSecondLook + Trace{"write", "close", "look at rest", "sleep 50", "look at rest", "sleep 50",
                                               "look at rest", "sleep 20", "look at rest", "audit outcome",
                                               "publish outcome"});
}

TEST_CASE("A namespace that something else holds too was partly released") {
  Scene scene;
  BlockedThread other = make_waiting_thread(2000, 41);
  other.connection.reset();
  other.wait_class = WaitClass::nfs;
  scene.order.finding.blocked_threads.push_back(other);
  scene.world.rests = {kWedged, kFreed};
  const OutcomeRecord record = scene.carry_out(1s);
  CHECK(record.outcome == Outcome::partly_released);
  CHECK_THAT(record.detail, Catch::EndsWith("blocked elsewhere: 2000 (ndrive, nfs)"));
}

TEST_CASE("A look that fails while watching") {
  Scene scene;
  const Result<Rest> unreadable = fail(ErrorKind::io, "reading 100/stat: Input/output error");
  SECTION("is passed over") {
    scene.world.rests = {unreadable, kGone};
    CHECK(scene.carry_out().outcome == Outcome::released);
  }
  SECTION("leaves unknown what became of it: not released") {
    scene.world.rests = {unreadable};
    const OutcomeRecord record = scene.carry_out(1s);
    CHECK(record.outcome == Outcome::not_released);
    CHECK_THAT(record.detail, Catch::EndsWith("the last look failed: reading 100/stat: Input/output error"));
  }
}

TEST_CASE("Without time to watch there is one look") {
  Scene scene;
  scene.world.rests = {kWedged};
  CHECK(scene.carry_out(0s).outcome == Outcome::not_released);
  CHECK(std::count(scene.trace.begin(), scene.trace.end(), "look at rest") == 1);
}

TEST_CASE("Many threads are named by the first five") {
  Scene scene;
  for (pid_t tid = 2001; tid <= 2008; ++tid) {
    scene.order.finding.blocked_threads.push_back(make_waiting_thread(tid, 40));
  }
  scene.world.changed = [&](Asked& it) { it.finding() = scene.order.finding; };
  scene.world.rests = {kWedged};
  CHECK_THAT(scene.carry_out(1s).detail, Catch::EndsWith("2004 (ndrive, fuse_flush) and 4 more"));
}

TEST_CASE("A prober's death between intent and outcome is settled as interrupted, once, and holds") {
  Scene scene;
  scene.carry_out();
  scene.ledger.entries.push_back(scene.ledger.entries[0]);
  scene.ledger.entries[1].outcome.reset();
  scene.trace.clear();
  scene.audit.lines.clear();
  auto records = settle_interrupted(scene.ledger, scene.audit, scene.asked.now);
  REQUIRE(records.size() == 1);
  CHECK(records[0].outcome == Outcome::interrupted);
  CHECK(records[0].connection == ConnectionId{40});
  CHECK(records[0].pid_namespace == scene.order.finding.id);
  CHECK(scene.ledger.entries[0].outcome == Outcome::released);
  CHECK(scene.ledger.entries[1].outcome == Outcome::interrupted);
  CHECK(scene.trace == Trace{"audit interrupted"});
  REQUIRE(scene.audit.lines.size() == 1);
  CHECK(nlohmann::json::parse(scene.audit.lines[0])["outcome"] == "interrupted");
  CHECK(settle_interrupted(scene.ledger, scene.audit, scene.asked.now).empty());
  scene.asked.ledger.entries = {scene.ledger.entries[1]};
  CHECK(scene.asked.gates() == std::vector<Gate>{Gate::cooldown});
}

TEST_CASE("An interruption that cannot be recorded is settled all the same") {
  Scene scene;
  scene.ledger.entries.resize(2);
  scene.audit.fail_at = 1;
  const auto records = settle_interrupted(scene.ledger, scene.audit, scene.asked.now);
  REQUIRE(records.size() == 2);
  CHECK_THAT(records[0].detail, Catch::Contains("could not be recorded"));
  CHECK_THAT(records[1].detail, !Catch::Contains("could not be recorded"));
  CHECK(scene.ledger.entries[0].outcome == Outcome::interrupted);
  CHECK(scene.ledger.entries[1].outcome == Outcome::interrupted);
}

}  // namespace defused
