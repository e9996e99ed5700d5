// SPDX-License-Identifier: Apache-2.0
#include "model/words.h"

#include <catch2/catch.hpp>
#include <cctype>
#include <set>
#include <string>

#include "model/ids.h"

namespace defused {

TEMPLATE_TEST_CASE("every word has one spelling of its own and is found by it", "", DyingState, WaitClass, Verdict,
                   Evidence, ServerState, Attribution, Witness, Mode, Action, Gate, Outcome, BreakerCause, FlushWaits) {
  std::set<std::string_view> spellings;
  for (const TestType word : AllWords<TestType>::values) {
    const std::string_view text = to_string(word);
    CAPTURE(text);
    REQUIRE_FALSE(text.empty());
    for (const char c : text) CHECK((std::islower(c) != 0 || std::isdigit(c) != 0 || c == '_'));
    CHECK(spellings.insert(text).second);
    CHECK(parse_word<TestType>(text) == word);
    CHECK_FALSE(parse_word<TestType>(std::string(text) + " "));
  }
  CHECK_FALSE(parse_word<TestType>(""));
  CHECK_FALSE(parse_word<TestType>("no_such_word"));
}

TEST_CASE("the spellings are those of DESIGN.md") {
  CHECK(to_string(WaitClass::p9) == "9p");
  CHECK(to_string(DyingState::init_blocked) == "init_blocked");
  CHECK(to_string(Verdict::waiting_on_live_server) == "waiting_on_live_server");
  CHECK(to_string(Gate::connection_ambiguous) == "connection_ambiguous");
  CHECK(to_string(Outcome::skipped_identity_changed) == "skipped_identity_changed");
}

// Dashboards, alerts and readers of the audit log know these words: a change of one is a change for them.
TEST_CASE("the words that others rely on") {
  const auto joined = []<typename Word>(const Word& /*first*/) {
    std::string out;
    for (const Word word : AllWords<Word>::values) out += (out.empty() ? "" : " ") + std::string(to_string(word));
    return out;
  };
  CHECK(
      joined(Gate{}) ==
      "mode too_young too_few_samples progressing verdict connection_ambiguous server_alive server_unknown "
      "server_inferred outside_users outside_viewers host_mount denied not_allowed rate_limited cooldown breaker_open "
      "inhibited gap readers_disagree record_unwritable vetoed identity_changed");
  CHECK(joined(Outcome{}) ==
        "released partly_released not_released write_failed skipped_identity_changed vetoed interrupted");
  CHECK(joined(BreakerCause{}) == "none failed_outcomes ledger_lost");
  CHECK(joined(Mode{}) == "observe dry_run enforce");
}

TEST_CASE("four wait classes wait for a FUSE server") {
  int fuse = 0;
  for (const WaitClass wait_class : AllWords<WaitClass>::values) fuse += is_fuse(wait_class) ? 1 : 0;
  CHECK(fuse == 4);
  CHECK(is_fuse(WaitClass::fuse_lock));
  CHECK_FALSE(is_fuse(WaitClass::unknown));
}

TEST_CASE("which outcomes count as failed, and which may have written") {
  const std::set<Outcome> failed = {Outcome::not_released, Outcome::write_failed, Outcome::interrupted};
  const std::set<Outcome> unwritten = {Outcome::skipped_identity_changed, Outcome::vetoed};
  for (const Outcome outcome : AllWords<Outcome>::values) {
    CAPTURE(to_string(outcome));
    CHECK(is_failed(outcome) == (failed.count(outcome) > 0));
    CHECK(may_have_written(outcome) == (unwritten.count(outcome) == 0));
  }
}

TEST_CASE("a connection's id is the kernel's device number") {
  CHECK(connection_of_device(0, 40) == ConnectionId{40});
  CHECK(connection_of_device(7, 0) == ConnectionId{7340032});
  CHECK(connection_of_device(8, 1) == ConnectionId{8388609});
}

}  // namespace defused
