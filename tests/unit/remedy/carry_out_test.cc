// SPDX-License-Identifier: Apache-2.0
// The order of an abort, and each row of the table of failures in remedy.h. Races are in race_test.cc, deaths of the
// prober in kill_test.cc.
#include <algorithm>
#include <catch2/catch.hpp>
#include <cerrno>
#include <nlohmann/json.hpp>
#include <string>

#include "fakes.h"
#include "remedy/remedy.h"

using namespace std::chrono_literals;

namespace defused {

namespace {

using nlohmann::json;
using Rest = World::NamespaceRest;

const Rest kGone{true, false, {}};

Rest still(bool wedged, std::vector<BlockedThread> threads = {}) { return {false, wedged, std::move(threads)}; }

const Trace kUpToHook = {"reach intent", "audit intent", "save", "reach before_hook", "before-hook"};
const Trace kUpToOpen = kUpToHook + Trace{"reach second_reading", "open 40"};
const Trace kUpToWrite = kUpToOpen + Trace{"look again", "reach write", "write"};
const Trace kEnd = {"reach outcome", "settle", "audit outcome", "save", "reach after_hook", "after-hook"};

}  // namespace

TEST_CASE("An abort goes its order: intent, hook, open, look again, write, watch, outcome, hook") {
  Scene scene;
  scene.world.rests = {still(true), still(true), kGone};
  const OutcomeRecord record = scene.outcome();
  CHECK(scene.stage.trace ==
        kUpToWrite +
            Trace{"close", "reach watch", "look at rest", "sleep 50", "look at rest", "sleep 50", "look at rest"} +
            kEnd);
  CHECK(scene.stage.disk.writes == 1);
  CHECK(record.outcome == Outcome::released);
  CHECK(record.recovery == 90s + 100ms);
  CHECK(record.pid_namespace == scene.order.finding.id);
  CHECK(record.connection == ConnectionId{40});
  CHECK(record.at == scene.asked.now.wall);
  CHECK_FALSE(record.by_hand);
  CHECK(record.detail ==
        "PID namespace 4026532040 is gone after the abort of connection 40, 90.1 s after it got stuck");
}

TEST_CASE("The intent is in the audit log and in the ledger before anybody is asked") {
  Scene scene;
  scene.carry_out();
  const auto hook = std::find(scene.stage.trace.begin(), scene.stage.trace.end(), "before-hook");
  const Disk& disk = scene.stage.before[static_cast<std::size_t>(hook - scene.stage.trace.begin())];
  REQUIRE(disk.audit.size() == 1);
  CHECK(json::parse(disk.audit[0])["record"] == "intent");
  REQUIRE(disk.ledger.entries.size() == 1);
  const LedgerEntry& entry = disk.ledger.entries[0];
  CHECK_FALSE(entry.outcome);
  CHECK(entry.connection == ConnectionId{40});
  CHECK(entry.directory_inode == scene.order.connection.directory_inode);
  CHECK(entry.pid_namespace == scene.order.finding.id);
  CHECK(entry.at_boottime == scene.asked.now.boottime);
  CHECK(entry.at_wall == scene.asked.now.wall);
  CHECK_FALSE(entry.by_hand);
}

TEST_CASE("The outcome is in the audit log and in the ledger before anybody is told") {
  Scene scene;
  const OutcomeRecord record = scene.outcome();
  const Disk& disk = scene.stage.before.back();
  REQUIRE(scene.stage.trace.back() == "after-hook");
  REQUIRE(disk.audit.size() == 2);
  CHECK(json::parse(disk.audit[1])["outcome"] == "released");
  REQUIRE(disk.ledger.entries.size() == 1);
  CHECK(disk.ledger.entries[0].outcome == Outcome::released);
  CHECK(disk.ledger.entries[0].detail == record.detail);
  CHECK(disk.ledger.entries[0].recovery == record.recovery);
  CHECK(scene.ledger.entries[0].outcome == Outcome::released);
}

TEST_CASE("Steps and hooks are told with the record that they are about") {
  Scene scene;
  scene.carry_out();
  const std::string& intent = scene.stage.disk.audit.at(0);
  const std::string& outcome = scene.stage.disk.audit.at(1);
  const std::vector<std::pair<RemedyStep, std::string>> expected = {
      {RemedyStep::intent, intent},     {RemedyStep::before_hook, intent}, {RemedyStep::second_reading, intent},
      {RemedyStep::write, intent},      {RemedyStep::watch, intent},       {RemedyStep::outcome, outcome},
      {RemedyStep::after_hook, outcome}};
  CHECK(scene.world.reached == expected);
  CHECK(scene.hooks.records == std::vector<std::string>{intent, outcome});
}

TEST_CASE("An abort by hand says so in ledger and outcome") {
  Scene scene;
  scene.order.by_hand = ByHand{1000, ""};
  CHECK(scene.outcome().by_hand);
  CHECK(scene.ledger.entries[0].by_hand);
}

TEST_CASE("The breaker hears of the outcome before the ledger is saved") {
  Scene scene;
  scene.world.rests = {still(true)};
  scene.ledger.breaker.failures = 1;
  scene.carry_out(0s);
  CHECK(scene.stage.disk.ledger.breaker.cause == BreakerCause::failed_outcomes);
}

TEST_CASE("The ledger keeps the last actions, and rather attempts than what was not written") {
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
  SECTION("one by which nothing was written goes first") {
    scene.ledger.entries[7].outcome = GENERATE(Outcome::skipped_identity_changed, Outcome::vetoed);
    scene.ledger.entries[9].outcome = Outcome::skipped_identity_changed;
    scene.carry_out();
    CHECK(scene.ledger.entries.front().directory_inode == 0);
    CHECK(scene.ledger.entries[7].directory_inode == 8);
  }
  SECTION("one without outcome may have written") {
    scene.ledger.entries[7].outcome.reset();
    scene.carry_out();
    CHECK(scene.ledger.entries.front().directory_inode == 1);
  }
  SECTION("none goes where the intent cannot be saved") {
    scene.store.fail_at = {1};
    CHECK_FALSE(scene.carry_out().outcome);
    CHECK(scene.ledger.entries.front().directory_inode == 0);
    CHECK(scene.ledger.entries.back().directory_inode == kMaxLedgerEntries - 1);
  }
  CHECK(scene.ledger.entries.size() == kMaxLedgerEntries);
}

TEST_CASE("An order that is not one to abort does nothing at all") {
  Scene scene;
  SECTION("hold") { scene.order.decision.action = Action::hold; }
  SECTION("no connection") { scene.order.decision.connection.reset(); }
  SECTION("another connection") { scene.order.decision.connection = ConnectionId{41}; }
  SECTION("another namespace") { scene.order.decision.pid_namespace = NamespaceId{1}; }
  const OutcomeRecord record = scene.outcome();
  CHECK(record.outcome == Outcome::skipped_identity_changed);
  CHECK(record.at == scene.asked.now.wall);
  CHECK(scene.stage.trace.empty());
  CHECK(scene.ledger.entries.empty());
}

TEST_CASE("What the audit log does not take is not attempted") {
  Scene scene;
  scene.audit.fail_at = 1;
  const Attempt attempt = scene.carry_out();
  CHECK_FALSE(attempt.outcome);
  CHECK(attempt.unwritable == "the intent could not be recorded in the audit log: writing: No space left on device");
  CHECK(scene.stage.trace == Trace{"reach intent", "audit intent"});
  CHECK(scene.ledger.entries.empty());
}

TEST_CASE("What the ledger does not take is not attempted, and the audit log says so") {
  Scene scene;
  scene.store.fail_at = {1};
  Attempt attempt;
  SECTION("alone") {
    attempt = scene.carry_out();
    CHECK(attempt.unwritable == "the intent could not be saved in the ledger: ledger.json: Read-only file system");
    const json ended = json::parse(scene.stage.disk.audit.at(1));
    CHECK(ended["outcome"] == "vetoed");
    CHECK(ended["intent_time"] == json::parse(scene.stage.disk.audit[0])["time"]);
    CHECK(ended["detail"] ==
          "nothing was attempted: the ledger could not be saved: ledger.json: Read-only file system");
  }
  SECTION("nor does the audit log take that") {
    scene.audit.fail_at = 2;
    attempt = scene.carry_out();
    CHECK_THAT(attempt.unwritable, Catch::Contains("; nor could that be recorded in the audit log: writing: No space"));
  }
  SECTION("nor can the intent be taken back") {
    scene.store.fail_at = {1, 2};
    attempt = scene.carry_out();
    CHECK_THAT(attempt.unwritable, Catch::EndsWith("; nor could it be taken back: ledger.json: Read-only file system"));
  }
  CHECK_FALSE(attempt.outcome);
  CHECK(scene.stage.trace == Trace{"reach intent", "audit intent", "save", "audit outcome", "save"});
  CHECK(scene.ledger.entries.empty());
  CHECK(scene.stage.disk.ledger.entries.empty());
}

TEST_CASE("Anything but agreement of the before-hook is a veto") {
  struct Veto {
    HookResult answer;
    const char* detail;
  };
  const auto veto = GENERATE(
      Veto{{true, 3, "maintenance", ""}, "the before-hook did not agree: it exited with code 3; it said: maintenance"},
      Veto{{true, 1, "", ""}, "the before-hook did not agree: it exited with code 1"},
      Veto{{true, -1, "", "/bin/ask could not be run: No such file or directory (ENOENT)"},
           "the before-hook did not agree: /bin/ask could not be run: No such file or directory (ENOENT)"},
      Veto{{true, -1, "a\\b", "/bin/ask did not end within 10000 ms and was killed"},
           "the before-hook did not agree: /bin/ask did not end within 10000 ms and was killed; it said: a\\b"});
  Scene scene;
  scene.hooks.answer_before = veto.answer;
  const OutcomeRecord record = scene.outcome();
  CHECK(record.outcome == Outcome::vetoed);
  CHECK(record.detail == veto.detail);
  CHECK(scene.stage.trace == kUpToHook + kEnd);
  CHECK(scene.stage.disk.ledger.entries.at(0).outcome == Outcome::vetoed);
  CHECK(json::parse(scene.stage.disk.audit.at(1))["outcome"] == "vetoed");
}

TEST_CASE("Of what a hook says the ledger keeps the beginning") {
  Scene scene;
  scene.hooks.answer_before = {true, 1, std::string(kMaxHookOutput, 'x'), ""};
  CHECK(scene.outcome().detail.size() < 400);
}

TEST_CASE("An abort file that does not open") {
  struct Refusal {
    Error error;
    Outcome outcome;
    const char* detail;
  };
  const auto refusal =
      GENERATE(Refusal{{ErrorKind::gone, "connection 40: opening 40: No such file or directory", ENOENT},
                       Outcome::skipped_identity_changed,
                       "connection 40: opening 40: No such file or directory (ENOENT)"},
               Refusal{{ErrorKind::gone, "connection 40: another one has this number now", 0},
                       Outcome::skipped_identity_changed,
                       "connection 40: another one has this number now"},
               Refusal{{ErrorKind::unsupported, "/sys/fs/fuse/connections is not a fusectl mount", 0},
                       Outcome::skipped_identity_changed,
                       "/sys/fs/fuse/connections is not a fusectl mount"},
               Refusal{{ErrorKind::denied, "connection 40: opening 40/abort: Permission denied", EACCES},
                       Outcome::write_failed,
                       "connection 40: opening 40/abort: Permission denied (EACCES)"},
               Refusal{{ErrorKind::io, "connection 40: opening 40/abort: Read-only file system", EROFS},
                       Outcome::write_failed,
                       "connection 40: opening 40/abort: Read-only file system (EROFS)"});
  Scene scene;
  scene.aborter.open_error = refusal.error;
  const OutcomeRecord record = scene.outcome();
  CHECK(record.outcome == refusal.outcome);
  CHECK(record.detail == std::string("the abort file could not be opened: ") + refusal.detail);
  CHECK(scene.stage.trace == kUpToOpen + kEnd);
  CHECK(scene.ledger.entries[0].outcome == refusal.outcome);
}

TEST_CASE("A write that fails") {
  Scene scene;
  const auto kind = GENERATE(ErrorKind::denied, ErrorKind::gone, ErrorKind::io);
  scene.aborter.write_error = Error{kind, "writing 40/abort: Permission denied", EACCES};
  const OutcomeRecord record = scene.outcome();
  CHECK(record.outcome == Outcome::write_failed);
  CHECK(record.detail == "the abort file could not be written: writing 40/abort: Permission denied (EACCES)");
  CHECK(scene.stage.trace == kUpToWrite + Trace{"close"} + kEnd);
}

TEST_CASE("What is still there at the deadline was not released") {
  Scene scene;
  BlockedThread now = scene.asked.thread();
  now.stack = {"folio_wait_bit", "fuse_flush"};
  scene.world.rests = {still(true, {now})};
  const OutcomeRecord record = scene.outcome(120ms);
  CHECK(record.outcome == Outcome::not_released);
  CHECK(record.recovery == 0s);
  CHECK(record.detail ==
        "connection 40 was aborted, but after 0.1 s PID namespace 4026532040 is still there; still blocked: 1040 "
        "(ndrive, fuse_flush in folio_wait_bit); if nothing else frees it, this host has to be rebooted");
  CHECK(scene.stage.trace == kUpToWrite +
                                 Trace{"close", "reach watch", "look at rest", "sleep 50", "look at rest", "sleep 50",
                                       "look at rest", "sleep 20", "look at rest"} +
                                 kEnd);
}

TEST_CASE("How a thread that is still there is named") {
  Scene scene;
  BlockedThread now = scene.asked.thread();
  const auto detail = [&] {
    scene.world.rests = {still(true, {now})};
    return scene.outcome(0s).detail;
  };
  SECTION("without a stack, by its wchan") {
    now.stack.clear();
    now.wchan = "fuse_wait";
    CHECK_THAT(detail(), Catch::Contains("still blocked: 1040 (ndrive, fuse_flush in fuse_wait);"));
  }
  SECTION("without a class") {
    now.wait_class = WaitClass::unknown;
    CHECK_THAT(detail(), Catch::Contains("still blocked: 1040 (ndrive, in request_wait_answer);"));
  }
  SECTION("with nothing known") {
    now.wait_class = WaitClass::unknown;
    now.stack.clear();
    CHECK_THAT(detail(), Catch::Contains("still blocked: 1040 (ndrive);"));
  }
}

TEST_CASE("Requests that wait without any thread were not released") {
  Scene scene;
  scene.world.rests = {still(true)};
  const OutcomeRecord record = scene.outcome(0s);
  CHECK(record.outcome == Outcome::not_released);
  CHECK_THAT(record.detail, Catch::Contains("its requests still wait, but no thread that was blocked is left; if"));
}

TEST_CASE("A namespace that something else holds too was partly released") {
  Scene scene;
  BlockedThread other = make_waiting_thread(2000, 41);
  other.wait_class = WaitClass::nfs;
  other.stack = {"rpc_wait_bit_killable"};
  scene.world.rests = {still(true), still(false, {other})};
  const OutcomeRecord record = scene.outcome(1s);
  CHECK(record.outcome == Outcome::partly_released);
  CHECK_THAT(record.detail, Catch::EndsWith("is still there; nobody waits for this connection any more, but these are "
                                            "still there: 2000 (ndrive, nfs in rpc_wait_bit_killable)"));
}

TEST_CASE("A namespace that is slow to go was partly released") {
  Scene scene;
  scene.world.rests = {still(false)};
  const OutcomeRecord record = scene.outcome(0s);
  CHECK(record.outcome == Outcome::partly_released);
  CHECK_THAT(record.detail, Catch::EndsWith("and no thread that was blocked is left"));
}

TEST_CASE("A look that fails while watching") {
  Scene scene;
  const Result<Rest> unreadable = fail(ErrorKind::io, "reading 100/stat: Input/output error");
  SECTION("is passed over") {
    scene.world.rests = {unreadable, kGone};
    CHECK(scene.outcome().outcome == Outcome::released);
  }
  SECTION("leaves unknown what became of it: not released") {
    scene.world.rests = {unreadable};
    const OutcomeRecord record = scene.outcome(1s);
    CHECK(record.outcome == Outcome::not_released);
    CHECK_THAT(record.detail, Catch::Contains("what is left could not be read; blocked before: 1040 (ndrive, "
                                              "fuse_flush in request_wait_answer)"));
    CHECK_THAT(record.detail, Catch::Contains("; the last look failed: reading 100/stat: Input/output error; if"));
  }
  SECTION("does not make undone what was seen before") {
    scene.world.rests = {still(false), unreadable};
    CHECK(scene.outcome(1s).outcome == Outcome::partly_released);
  }
}

TEST_CASE("Without time to watch there is one look") {
  Scene scene;
  scene.world.rests = {still(true)};
  CHECK(scene.outcome(0s).outcome == Outcome::not_released);
  CHECK(std::count(scene.stage.trace.begin(), scene.stage.trace.end(), "look at rest") == 1);
}

TEST_CASE("Many threads are named by the first five") {
  Scene scene;
  std::vector<BlockedThread> threads;
  for (pid_t tid = 2001; tid <= 2008; ++tid) threads.push_back(make_waiting_thread(tid, 40));
  scene.world.rests = {still(true, threads)};
  const std::string detail = scene.outcome(1s).detail;
  CHECK_THAT(detail, Catch::Contains("2005 (ndrive, fuse_flush in request_wait_answer) and 3 more"));
  CHECK_THAT(detail, !Catch::Contains("2006"));
}

TEST_CASE("An outcome that the audit log does not take stays, and tells it") {
  Scene scene;
  scene.audit.fail_at = 2;
  const OutcomeRecord record = scene.outcome();
  CHECK(record.outcome == Outcome::released);
  CHECK_THAT(record.detail,
             Catch::EndsWith("this could not be recorded in the audit log: writing: No space left on device"));
  CHECK(scene.stage.disk.ledger.entries.at(0).outcome == Outcome::released);
  CHECK(scene.stage.disk.ledger.entries.at(0).detail == record.detail);
  CHECK(json::parse(scene.hooks.records.at(1))["detail"] == record.detail);
}

TEST_CASE("An outcome that the ledger does not take stays, and tells it") {
  Scene scene;
  scene.store.fail_at = {2};
  const OutcomeRecord record = scene.outcome();
  CHECK(record.outcome == Outcome::released);
  CHECK_THAT(record.detail,
             Catch::EndsWith("this could not be saved in the ledger: ledger.json: Read-only file system"));
  CHECK(scene.ledger.entries[0].detail == record.detail);
  CHECK(scene.ledger.entries[0].outcome == Outcome::released);
  CHECK(json::parse(scene.hooks.records.at(1))["detail"] == record.detail);
  CHECK(scene.stage.trace.back() == "after-hook");
}

TEST_CASE("What the after-hook does changes nothing") {
  Scene scene;
  scene.hooks.answer_after = {true, 7, "pager is down", ""};
  const Attempt attempt = scene.carry_out();
  REQUIRE(attempt.outcome);
  CHECK(attempt.outcome->outcome == Outcome::released);
  CHECK(attempt.after.exit_code == 7);
  CHECK(attempt.after.output == "pager is down");
  CHECK(scene.stage.disk.ledger.entries.at(0).outcome == Outcome::released);
}

TEST_CASE("An errno in words, with its name") {
  CHECK(describe_errno(EACCES) == "Permission denied (EACCES)");
  CHECK(describe_errno(ENOENT) == "No such file or directory (ENOENT)");
  CHECK(describe_errno(EROFS) == "Read-only file system (EROFS)");
  CHECK(describe_errno(4000) == "Unknown error 4000 (errno 4000)");
  CHECK(describe_error({ErrorKind::io, "opening abort: Read-only file system", EROFS}) ==
        "opening abort: Read-only file system (EROFS)");
  CHECK(describe_error({ErrorKind::io, "opening abort", EROFS}) == "opening abort: Read-only file system (EROFS)");
  CHECK(describe_error({ErrorKind::gone, "it is gone", 0}) == "it is gone");
}

}  // namespace defused
