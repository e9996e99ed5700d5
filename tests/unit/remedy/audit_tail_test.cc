// SPDX-License-Identifier: Apache-2.0
// The audit log as it is read back after a prober was killed between two files.
#include "remedy/audit_tail.h"

#include <catch2/catch.hpp>
#include <filesystem>
#include <string>

#include "fakes.h"
#include "remedy/audit_record.h"
#include "state_directory.h"

using namespace std::chrono_literals;

namespace defused {

namespace {

struct Written {
  RemedyOrder order = make_order(make_clear_case());
  LedgerEntry entry{
      order.connection.id, order.connection.directory_inode, order.finding.id, 1h, 1'795'522'500s + 123'456'789ns,
      std::nullopt};
  OutcomeRecord outcome{order.finding.id, order.connection.id, Outcome::released, "it is gone", 91'500ms};
  Instant now{2h, entry.at_wall + 1500ms};

  [[nodiscard]] std::string intent() const { return render_intent(order, entry) + "\n"; }
  [[nodiscard]] std::string end() const { return render_outcome(entry, outcome, now) + "\n"; }
};

}  // namespace

TEST_CASE("an intent that nothing ends is open") {
  const Written scene;
  const AuditTail tail = parse_audit_tail(scene.intent());
  REQUIRE(tail.open);
  CHECK(tail.open->connection == scene.entry.connection);
  CHECK(tail.open->directory_inode == scene.entry.directory_inode);
  CHECK(tail.open->pid_namespace == scene.entry.pid_namespace);
  CHECK(tail.open->at_wall == 1'795'522'500s + 123ms);
  CHECK_FALSE(tail.open->by_hand);
  CHECK(tail.outcomes.empty());
  Written by_hand;
  by_hand.order.by_hand = ByHand{1000, "why"};
  CHECK(parse_audit_tail(by_hand.intent()).open->by_hand);
}

TEST_CASE("an outcome ends its own intent and is told with it") {
  Written scene;
  AuditTail tail = parse_audit_tail(scene.intent() + scene.end());
  CHECK_FALSE(tail.open);
  REQUIRE(find_outcome(tail, scene.entry) != nullptr);
  CHECK(find_outcome(tail, scene.entry)->outcome == Outcome::released);
  CHECK(find_outcome(tail, scene.entry)->detail == "it is gone");
  CHECK(find_outcome(tail, scene.entry)->recovery == 91'500ms);
  LedgerEntry other = scene.entry;
  other.at_wall += 1s;
  CHECK(find_outcome(tail, other) == nullptr);
  other = scene.entry;
  other.connection = ConnectionId{41};
  CHECK(find_outcome(tail, other) == nullptr);
  const std::string old_end = scene.end();
  scene.entry.at_wall += 1s;
  CHECK(parse_audit_tail(scene.intent() + old_end).open);
  scene.outcome.outcome = Outcome::interrupted;
  tail = parse_audit_tail(scene.intent() + render_interrupted(scene.entry, scene.outcome, scene.now));
  CHECK_FALSE(tail.open);
  CHECK(find_outcome(tail, scene.entry)->outcome == Outcome::interrupted);
}

TEST_CASE("what is torn, of another kind or no record at all is passed over") {
  const Written scene;
  const std::string decision =
      render_decision(scene.order.finding, {&scene.order.connection}, scene.order.decision, Mode::enforce, scene.now);
  const std::string noise =
      "ver\":1}\n\n[1]\n{\"record\":7}\n{\"record\":\"outcome\",\"outcome\":\"won\"}\n" + decision + "\n";
  const AuditTail tail = parse_audit_tail(noise + scene.intent() + noise + "{\"record\":\"outc");
  CHECK(tail.open);
  CHECK(tail.outcomes.empty());
}

TEST_CASE("the end of a long log is read, and no log is an empty one") {
  const StateDirectory state;
  const Written scene;
  CHECK_FALSE(read_audit_tail(state.path())->open);
  state.write(AuditFile::kName, std::string(2 * kMaxAuditTail, 'x') + "\n" + scene.intent());
  const auto tail = read_audit_tail(state.path());
  REQUIRE(tail);
  CHECK(tail->open);
  std::filesystem::remove(state.file(AuditFile::kName));
  std::filesystem::create_directory(state.file(AuditFile::kName));
  const auto refused = read_audit_tail(state.path());
  REQUIRE_FALSE(refused);
  CHECK(refused.error().kind == ErrorKind::malformed);
}

}  // namespace defused
