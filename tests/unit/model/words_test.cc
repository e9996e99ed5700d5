// SPDX-License-Identifier: Apache-2.0
#include "model/words.h"

#include <catch2/catch.hpp>
#include <cctype>
#include <set>
#include <string>

#include "model/ids.h"

namespace defused {

TEMPLATE_TEST_CASE("every word has one spelling of its own and is found by it", "", DyingState, WaitClass, Verdict,
                   Evidence, ServerState, Attribution, Mode, Action, Gate, Outcome, FlushWaits) {
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

TEST_CASE("four wait classes wait for a FUSE server") {
  int fuse = 0;
  for (const WaitClass wait_class : AllWords<WaitClass>::values) fuse += is_fuse(wait_class) ? 1 : 0;
  CHECK(fuse == 4);
  CHECK(is_fuse(WaitClass::fuse_lock));
  CHECK_FALSE(is_fuse(WaitClass::unknown));
}

TEST_CASE("a connection's id is the kernel's device number") {
  CHECK(connection_of_device(0, 40) == ConnectionId{40});
  CHECK(connection_of_device(7, 0) == ConnectionId{7340032});
  CHECK(connection_of_device(8, 1) == ConnectionId{8388609});
}

}  // namespace defused
