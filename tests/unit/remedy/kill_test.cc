// SPDX-License-Identifier: Apache-2.0
// A prober that is killed at any moment of an abort: what is on disk then, and what its successor makes of it.
#include <algorithm>
#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>
#include <string>

#include "fakes.h"
#include "remedy/remedy.h"

using namespace std::chrono_literals;

namespace defused {

namespace {

using nlohmann::json;

std::size_t count_records(const Disk& disk, const std::string& record) {
  std::size_t count = 0;
  for (const std::string& line : disk.audit) count += json::parse(line)["record"] == record ? 1U : 0U;
  return count;
}

bool has_open_intent(const Ledger& ledger) { return !ledger.entries.empty() && !ledger.entries.back().outcome; }

// The successor's start: it settles, saves, and decides about the same situation.
void check_restart(const Disk& left, const Asked& asked, Instant later) {
  Stage stage;
  stage.disk = left;
  FailingAudit audit(stage);
  Ledger ledger = left.ledger;
  const bool open = has_open_intent(ledger);
  const auto records = settle_interrupted(ledger, audit, later);
  REQUIRE(records.size() == (open ? 1U : 0U));
  CHECK(count_records(stage.disk, "interrupted") == (open ? 1U : 0U));
  CHECK_FALSE(has_open_intent(ledger));
  if (open) CHECK(records[0].outcome == Outcome::interrupted);
  // Nothing is written without an entry in the ledger, so that one action is never taken for none.
  if (left.writes > 0) REQUIRE(ledger.entries.size() == 1);
  Asked again = asked;
  again.ledger = ledger;
  again.now = later;
  const bool may_have_written = !ledger.entries.empty() && defused::may_have_written(*ledger.entries[0].outcome);
  CHECK(again.gates() == (may_have_written ? std::vector<Gate>{Gate::cooldown} : std::vector<Gate>{}));
  CHECK((left.writes == 0 || may_have_written));
  CHECK(settle_interrupted(ledger, audit, later).empty());
}

}  // namespace

TEST_CASE("A prober that is killed at any moment leaves an intent or an outcome, and no second write") {
  Scene scene;
  scene.world.rests = {World::NamespaceRest{false, true, {}}, World::NamespaceRest{true, false, {}}};
  scene.carry_out();
  const Instant later{scene.asked.now.boottime + 1min, scene.asked.now.wall + 1min};
  const auto& trace = scene.stage.trace;
  std::size_t interrupted = 0;
  for (std::size_t i = 0; i < trace.size(); ++i) {
    INFO("killed before step " << i << ", '" << trace[i] << "'");
    const Disk& left = scene.stage.before[i];
    check_restart(left, scene.asked, later);
    const bool begun = count_records(left, "intent") == 1;
    const bool ended = count_records(left, "outcome") == 1;
    if (has_open_intent(left.ledger)) {
      ++interrupted;
      CHECK(begun);
    } else if (begun && !ended) {
      CHECK(trace[i] == "save");  // the intent is in the audit log alone: nothing was attempted
      CHECK(left.writes == 0);
    }
  }
  check_restart(scene.stage.disk, scene.asked, later);
  // From the ledger with the intent on disk to the ledger with the outcome.
  const auto first = std::find(trace.begin(), trace.end(), "reach before_hook");
  const auto last = std::find(trace.rbegin(), trace.rend(), "save").base();
  CHECK(interrupted == static_cast<std::size_t>(last - first));
}

TEST_CASE("Killed at any moment of an action that writes nothing") {
  Scene scene;
  SECTION("vetoed") { scene.hooks.answer_before = {true, 1, "", ""}; }
  SECTION("skipped") { scene.world.look_error = Error{ErrorKind::io, "x", 0}; }
  SECTION("unwritable ledger") { scene.store.fail_at = {1}; }
  scene.carry_out();
  const Instant later{scene.asked.now.boottime + 1min, scene.asked.now.wall + 1min};
  for (std::size_t i = 0; i < scene.stage.trace.size(); ++i) {
    INFO("killed before step " << i << ", '" << scene.stage.trace[i] << "'");
    check_restart(scene.stage.before[i], scene.asked, later);
  }
  CHECK(scene.stage.disk.writes == 0);
}

TEST_CASE("A ledger whose last save failed is settled as interrupted") {
  Scene scene;
  scene.store.fail_at = {2};
  scene.carry_out();
  CHECK(has_open_intent(scene.stage.disk.ledger));
  check_restart(scene.stage.disk, scene.asked, scene.asked.now);
}

TEST_CASE("An interruption is settled once, with the facts of its intent, and holds") {
  Scene scene;
  scene.order.by_hand = ByHand{0, ""};
  scene.carry_out();
  scene.ledger.entries.push_back(scene.ledger.entries[0]);
  scene.ledger.entries[1].outcome.reset();
  scene.stage = Stage{};
  const Instant later{scene.asked.now.boottime + 1min, scene.asked.now.wall + 1min};
  const auto records = settle_interrupted(scene.ledger, scene.audit, later);
  REQUIRE(records.size() == 1);
  CHECK(records[0].outcome == Outcome::interrupted);
  CHECK(records[0].connection == ConnectionId{40});
  CHECK(records[0].pid_namespace == scene.order.finding.id);
  CHECK(records[0].at == scene.asked.now.wall);
  CHECK(records[0].by_hand);
  CHECK_THAT(records[0].detail, Catch::Contains("whether connection 40 was aborted is not known"));
  CHECK(scene.ledger.entries[0].outcome == Outcome::released);
  CHECK(scene.ledger.entries[1].outcome == Outcome::interrupted);
  CHECK(scene.ledger.entries[1].detail == records[0].detail);
  CHECK(scene.stage.trace == Trace{"audit interrupted"});
  REQUIRE(scene.stage.disk.audit.size() == 1);
  const json line = json::parse(scene.stage.disk.audit[0]);
  CHECK(line["outcome"] == "interrupted");
  CHECK(line["detail"] == records[0].detail);
  CHECK(settle_interrupted(scene.ledger, scene.audit, later).empty());
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
  CHECK(scene.ledger.entries[0].detail == records[0].detail);
  CHECK(scene.ledger.entries[1].outcome == Outcome::interrupted);
}

TEST_CASE("An interruption of an earlier boot names no number") {
  Scene scene;
  scene.ledger.entries.resize(1);
  const auto records = settle_interrupted(scene.ledger, scene.audit, scene.asked.now);
  REQUIRE(records.size() == 1);
  CHECK_THAT(records[0].detail, Catch::Contains("whether a connection of an earlier boot was aborted"));
}

}  // namespace defused
