// SPDX-License-Identifier: Apache-2.0
// What was done before: limit, cooldown, pauses, circuit breaker.
#include <catch2/catch.hpp>

#include "cases.h"
#include "policy/gates.h"

using namespace std::chrono_literals;

namespace defused {

namespace {

using Gates = std::vector<Gate>;

// As LedgerFile reads it: of an earlier boot only the time and the outcome are left.
LedgerEntry make_earlier(const Asked& asked, Nanoseconds ago) {
  LedgerEntry entry = make_entry(asked, 0, ago, Outcome::not_released);
  entry.directory_inode = 0;
  entry.pid_namespace = NamespaceId{};
  return entry;
}

}  // namespace

TEST_CASE("Past actions count for the limit, whatever came of them") {
  Asked asked = make_clear_case();
  const auto outcome = GENERATE(as<std::optional<Outcome>>(), Outcome::released, Outcome::partly_released,
                                Outcome::not_released, Outcome::write_failed, Outcome::interrupted, std::nullopt);
  asked.ledger.entries = {make_entry(asked, 1, 59min, outcome), make_entry(asked, 2, 30min, outcome)};
  CHECK(asked.gates().empty());
  CHECK(remaining_budget(asked.policy, asked.ledger, asked.now) == 1);
  asked.ledger.entries.push_back(make_entry(asked, 3, 0s, outcome));
  CHECK(asked.gates() == Gates{Gate::rate_limited});
  CHECK(remaining_budget(asked.policy, asked.ledger, asked.now) == 0);
  SECTION("but not for ever") {
    asked.ledger.entries[0].at_boottime = asked.now.boottime - asked.policy.max_aborts_window;
    CHECK(asked.gates().empty());
  }
  SECTION("a longer window sees more") {
    asked.ledger.entries[0].at_boottime = asked.now.boottime - 5h;
    CHECK(asked.gates().empty());
    asked.policy.max_aborts_window = 6h;
    CHECK(asked.gates() == Gates{Gate::rate_limited});
  }
  SECTION("an entry from the future counts") {
    asked.ledger.entries[0].at_boottime = asked.now.boottime + 5h;
    CHECK(asked.gates() == Gates{Gate::rate_limited});
  }
  SECTION("more than the limit is no debt") {
    asked.ledger.entries.push_back(make_entry(asked, 4, 0s, outcome));
    CHECK(remaining_budget(asked.policy, asked.ledger, asked.now) == 0);
    asked.policy.max_aborts = 5;
    CHECK(remaining_budget(asked.policy, asked.ledger, asked.now) == 1);
  }
}

TEST_CASE("What was not written does not count for the limit") {
  Asked asked = make_clear_case();
  for (const Outcome outcome : {Outcome::vetoed, Outcome::skipped_identity_changed}) {
    asked.ledger.entries.assign(9, make_entry(asked, 1, 1min, outcome));
    CHECK(asked.gates().empty());
    CHECK(count_attempts(asked.ledger, 1h, asked.now) == 0);
    CHECK(remaining_budget(asked.policy, asked.ledger, asked.now) == 3);
  }
}

TEST_CASE("Entries of an earlier boot count for the limit and for nothing else") {
  Asked asked = make_clear_case();
  asked.ledger.entries.assign(3, make_earlier(asked, 30min));
  CHECK(asked.gates() == Gates{Gate::rate_limited});
  SECTION("also from before this boot's clock began") {
    asked.now.boottime = 1min;
    asked.ledger.entries.assign(3, make_earlier(asked, 30min));
    REQUIRE(asked.ledger.entries[0].at_boottime < 0s);
    CHECK(asked.gates() == Gates{Gate::rate_limited});
  }
  SECTION("they are of no connection, whatever the findings say") {
    asked.policy.max_aborts = 10;
    asked.finding().connections = {ConnectionId{}};
    asked.thread().connection = ConnectionId{};
    asked.connection().id = ConnectionId{};
    asked.connection().directory_inode = 0;
    CHECK(asked.gates() == Gates{Gate::gap});
  }
}

TEST_CASE("What a full ledger has forgotten may have counted") {
  Asked asked = make_clear_case();
  asked.policy.max_aborts = 1000;
  asked.ledger.entries.assign(kMaxLedgerEntries - 1, make_entry(asked, 1, 1min, Outcome::vetoed));
  CHECK(asked.gates().empty());
  CHECK(remaining_budget(asked.policy, asked.ledger, asked.now) == 1000);
  asked.ledger.entries.push_back(asked.ledger.entries.front());
  CHECK(asked.gates() == Gates{Gate::rate_limited, Gate::cooldown});
  CHECK(remaining_budget(asked.policy, asked.ledger, asked.now) == 0);
  SECTION("nothing where it reaches back far enough") {
    asked.ledger.entries.front() = make_entry(asked, 1, 1h, Outcome::vetoed);
    CHECK(asked.gates().empty());
  }
  SECTION("each in its own window") {
    asked.ledger.entries.front() = make_entry(asked, 1, 1h, Outcome::vetoed);
    asked.policy.cooldown = 2h;
    CHECK(asked.gates() == Gates{Gate::cooldown});
    asked.policy.cooldown = 30min;
    asked.policy.max_aborts_window = 2h;
    CHECK(asked.gates() == Gates{Gate::rate_limited});
  }
}

TEST_CASE("One connection is not aborted twice within the cooldown") {
  Asked asked = make_clear_case();
  asked.ledger.entries = {make_entry(asked, 40, 59min, Outcome::not_released)};
  CHECK(asked.gates() == Gates{Gate::cooldown});
  SECTION("later it may be") {
    asked.ledger.entries[0].at_boottime = asked.now.boottime - asked.policy.cooldown;
    CHECK(asked.gates().empty());
  }
  SECTION("another connection in another namespace that got the same number is another one") {
    asked.ledger.entries[0].directory_inode = 1;
    asked.ledger.entries[0].pid_namespace = NamespaceId{1};
    CHECK(asked.gates().empty());
  }
  SECTION("the same one below a fusectl that was mounted anew has another inode") {
    asked.ledger.entries[0].directory_inode = 1;
    CHECK(asked.gates() == Gates{Gate::cooldown});
  }
  SECTION("an intent without outcome holds too") {
    asked.ledger.entries[0].outcome.reset();
    CHECK(asked.gates() == Gates{Gate::cooldown});
  }
  SECTION("another connection is not kept back") {
    asked.ledger.entries[0].connection = ConnectionId{41};
    CHECK(asked.gates().empty());
  }
}

TEST_CASE("An action that was skipped or vetoed is no attempt: it waits for min_stuck only") {
  Asked asked = make_clear_case();
  const auto [outcome, gate] =
      GENERATE(as<std::pair<Outcome, Gate>>(), std::pair(Outcome::skipped_identity_changed, Gate::identity_changed),
               std::pair(Outcome::vetoed, Gate::vetoed));
  asked.ledger.entries.assign(3, make_entry(asked, 40, 59s, outcome));
  CHECK(asked.gates() == Gates{gate});
  SECTION("then it may be tried again") {
    asked.ledger.entries.assign(3, make_entry(asked, 40, 60s, outcome));
    CHECK(asked.gates().empty());
  }
  SECTION("other connections do not wait") {
    asked.ledger.entries.assign(3, make_entry(asked, 41, 1s, outcome));
    CHECK(asked.gates().empty());
  }
}

TEST_CASE("The breaker opens at so many failures in a row, and nothing here closes it") {
  PolicySettings policy;
  policy.breaker_failures = 2;
  Breaker breaker;
  const auto note = [&](Outcome outcome, const std::string& sentence, Nanoseconds at) {
    note_outcome(breaker, outcome, policy, sentence, at);
  };
  note(Outcome::not_released, "first", 1s);
  CHECK_FALSE(breaker.is_open());
  CHECK(breaker.failures == 1);
  SECTION("a failure is what was or may have been written, and did not help") {
    const auto failed = GENERATE(Outcome::not_released, Outcome::write_failed, Outcome::interrupted);
    note(failed, "second", 2s);
    CHECK(breaker.cause == BreakerCause::failed_outcomes);
    CHECK(breaker.failures == 2);
    CHECK(breaker.since_wall == 2s);
    CHECK(breaker.detail == "second");
    note(failed, "third", 3s);  // open already: what opened it stays
    CHECK(breaker.failures == 3);
    CHECK(breaker.since_wall == 2s);
    CHECK(breaker.detail == "second");
    note(Outcome::released, "late", 4s);
    CHECK(breaker.cause == BreakerCause::failed_outcomes);
    CHECK(breaker.failures == 0);
  }
  SECTION("what helped begins anew") {
    note(GENERATE(Outcome::released, Outcome::partly_released), "good", 2s);
    CHECK(breaker.failures == 0);
    note(Outcome::not_released, "first again", 3s);
    CHECK_FALSE(breaker.is_open());
  }
  SECTION("where nothing was written nothing changes") {
    note(GENERATE(Outcome::vetoed, Outcome::skipped_identity_changed), "nothing", 2s);
    CHECK(breaker.failures == 1);
    CHECK_FALSE(breaker.is_open());
    note(Outcome::not_released, "second", 3s);
    CHECK(breaker.is_open());
  }
  SECTION("a lost ledger stays the cause") {
    breaker = Breaker{BreakerCause::ledger_lost, 7s, 0, "set aside"};
    note(Outcome::not_released, "a", 8s);
    note(Outcome::not_released, "b", 9s);
    CHECK(breaker.cause == BreakerCause::ledger_lost);
    CHECK(breaker.since_wall == 7s);
    CHECK(breaker.detail == "set aside");
  }
  SECTION("the limit may be one") {
    breaker = Breaker{};
    policy.breaker_failures = 1;
    note(Outcome::write_failed, "only", 5s);
    CHECK(breaker.is_open());
  }
}

}  // namespace defused
