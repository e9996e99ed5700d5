// SPDX-License-Identifier: Apache-2.0
// What a prober finds that starts after another one was killed between two files, or beside records that cannot be
// read.
#include <catch2/catch.hpp>
#include <filesystem>
#include <string>

#include "acting_tree.h"
#include "remedy/audit_record.h"
#include "remedy/ledger_file.h"

namespace defused {

namespace {

constexpr Instant kStart{10000s, 1'800'000'000s};

// An action that was carried out over the tree: its two records, and the ledger without the outcome.
struct Killed {
  Tree tree;
  ManualClock clock{kStart};
  LateAborter aborter{[] {}};
  std::string intent;
  std::string outcome;

  Killed() {
    const auto cycle = make_acting_cycle(tree, aborter, clock);
    run_passes(*cycle, clock, 3);
    for (const auto& record : audit_records(tree)) (record.record == "intent" ? intent : outcome) = record.text;
    LedgerFile file(tree.state(), read_boot_id());
    auto ledger = file.load(clock.now());
    REQUIRE(ledger);
    REQUIRE(ledger->entries.size() == 1);
    ledger->entries[0].outcome.reset();
    ledger->breaker = {};
    REQUIRE(file.save(*ledger));
  }
  void set_audit(const std::string& text) const { write_whole(tree.state() / AuditFile::kName, text); }
  PassResult next() {
    const auto cycle = make_acting_cycle(tree, aborter, clock);
    clock.advance(1s);
    cycle->run(Bar::none);
    clock.advance(5s);
    return cycle->run(Bar::none);  // a connection is singled out by two samples
  }
};

}  // namespace

TEST_CASE("an outcome that only the audit log has is the outcome") {
  Killed killed;
  killed.set_audit(killed.intent + "\n" + killed.outcome + "\n");
  const PassResult pass = killed.next();
  REQUIRE(pass.report.actions.size() == 1);
  CHECK(pass.report.actions[0].outcome == Outcome::not_released);
  CHECK(pass.report.remedy.failures_in_row == 1);
  CHECK(pass.memory.counters.aborts.at(Outcome::not_released) == 1);
  CHECK(pass.memory.counters.aborts.at(Outcome::interrupted) == 0);
  CHECK(audit_records(killed.tree).size() == 2);
  CHECK(killed.next().report.remedy.failures_in_row == 1);  // it stands in the ledger now
}

TEST_CASE("an intent without outcome in both is interrupted, once") {
  Killed killed;
  killed.set_audit(killed.intent + "\n");
  for (int i = 0; i < 2; ++i) {
    const PassResult pass = killed.next();
    REQUIRE(pass.report.actions.size() == 1);
    CHECK(pass.report.actions[0].outcome == Outcome::interrupted);
    CHECK(pass.memory.counters.aborts.at(Outcome::interrupted) == (i == 0 ? 1 : 0));
    CHECK(pass.report.remedy.failures_in_row == 1);
    CHECK(audit_records(killed.tree).size() == 2);
  }
  CHECK(killed.aborter.written == 1);  // by the first one
}

TEST_CASE("an intent that the ledger does not know may have been carried out: it is interrupted, and cools down") {
  Killed killed;
  SECTION("no ledger") { std::filesystem::remove(killed.tree.state() / LedgerFile::kName); }
  SECTION("one that cannot be read") { write_whole(killed.tree.state() / LedgerFile::kName, "broken\n"); }
  killed.set_audit(killed.intent + "\n");
  for (int i = 0; i < 2; ++i) {
    const PassResult pass = killed.next();
    CHECK(pass.memory.counters.aborts.at(Outcome::interrupted) == (i == 0 ? 1 : 0));
    REQUIRE(pass.report.actions.size() == 1);
    CHECK(pass.report.actions[0].connection == ConnectionId{40});
    CHECK_THAT(pass.report.actions[0].detail, Catch::Contains("is not known"));
    const auto& reasons = pass.report.decisions.at(0).reasons;
    CHECK(std::find(reasons.begin(), reasons.end(), Gate::cooldown) != reasons.end());
    std::size_t interrupted = 0;
    for (const auto& record : audit_records(killed.tree))
      if (record.record == "interrupted") ++interrupted;
    CHECK(interrupted == 1);
  }
}

TEST_CASE("after a reboot the audit log still tells what came of an action") {
  Killed killed;
  LedgerFile file(killed.tree.state(), read_boot_id());
  const auto ledger = file.load(killed.clock.now());
  REQUIRE(LedgerFile(killed.tree.state(), "another boot").save(*ledger));
  SECTION("its outcome") {
    killed.set_audit(killed.intent + "\n" + killed.outcome + "\n");
    const PassResult pass = killed.next();
    CHECK(pass.report.actions.at(0).outcome == Outcome::not_released);
    CHECK(audit_records(killed.tree).size() == 2);
  }
  SECTION("its intent, once") {
    killed.set_audit(killed.intent + "\n");
    const PassResult pass = killed.next();
    REQUIRE(pass.report.actions.size() == 1);
    CHECK(pass.report.actions[0].outcome == Outcome::interrupted);
    CHECK(audit_records(killed.tree).size() == 2);
  }
}

TEST_CASE("what cannot be written is told in each pass until it can, in dry_run too") {
  const Mode mode = GENERATE(Mode::dry_run, Mode::enforce);
  const Tree tree;
  LateAborter aborter([] {});
  ManualClock clock(kStart);
  const auto cycle = make_acting_cycle(tree, aborter, clock, mode);
  std::filesystem::create_directories(tree.state() / AuditFile::kName);  // no file can be there
  run_passes(*cycle, clock, 2);
  for (int i = 0; i < 4; ++i) {
    clock.advance(1s);
    const Report report = cycle->run(Bar::none).report;
    const auto& reasons = report.decisions.at(0).reasons;
    CHECK(std::find(reasons.begin(), reasons.end(), Gate::record_unwritable) != reasons.end());
    CHECK_FALSE(report.remedy.record_trouble.empty());
  }
  CHECK(aborter.opened == 0);
  std::filesystem::remove_all(tree.state() / AuditFile::kName);
  clock.advance(1s);
  const Report report = cycle->run(Bar::none).report;
  CHECK(report.remedy.record_trouble.empty());
  CHECK(aborter.written == (mode == Mode::enforce ? 1 : 0));
}

TEST_CASE("a ledger that could not be written is written once that is possible") {
  const Tree tree;
  LateAborter aborter([] {});
  ManualClock clock(kStart);
  {
    const auto cycle = make_acting_cycle(tree, aborter, clock);
    run_passes(*cycle, clock, 3);
  }
  const auto cycle = make_acting_cycle(tree, aborter, clock);
  std::filesystem::remove(tree.state() / LedgerFile::kName);
  std::filesystem::create_directory(tree.state() / LedgerFile::kName);  // nothing can take its place
  write_whole(tree.state() / LedgerFile::kName / "x", "");
  clock.advance(1s);
  cycle->run(Bar::none);
  std::filesystem::remove_all(tree.state() / LedgerFile::kName);
  clock.advance(1s);
  const Report report = cycle->run(Bar::none).report;
  CHECK(report.remedy.record_trouble.empty());
}

TEST_CASE("behind a bar nothing is settled and no ledger is set aside") {
  Killed killed;
  killed.set_audit(killed.intent + "\n");
  write_whole(killed.tree.state() / LedgerFile::kName, "broken\n");
  const auto cycle = make_acting_cycle(killed.tree, killed.aborter, killed.clock);
  killed.clock.advance(1s);
  const PassResult held = cycle->run(Bar::other_actor);
  CHECK(held.report.remedy.breaker_cause == BreakerCause::ledger_lost);
  CHECK(read_whole(killed.tree.state() / LedgerFile::kName) == "broken\n");
  CHECK(audit_records(killed.tree).size() == 1);
  const PassResult free = cycle->run(Bar::none);
  CHECK(free.report.remedy.breaker_cause == BreakerCause::ledger_lost);
  CHECK(read_whole(killed.tree.state() / LedgerFile::kName) != "broken\n");
  const auto& reasons = free.report.decisions.at(0).reasons;
  CHECK(std::find(reasons.begin(), reasons.end(), Gate::breaker_open) != reasons.end());
}

}  // namespace defused
