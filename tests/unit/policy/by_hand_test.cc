// SPDX-License-Identifier: Apache-2.0
// `defused abort N`: the same gates, but for the mode, and with --override for the age.
#include <catch2/catch.hpp>
#include <string>

#include "cases.h"

using namespace std::chrono_literals;

namespace defused {

namespace {

using Gates = std::vector<Gate>;

// One namespace, held by connections 40 and 41.
Asked make_held_by_two() {
  Asked asked = make_clear_case();
  asked.finding().blocked_threads.push_back(make_waiting_thread(2000, 41));
  asked.finding().connections = {ConnectionId{40}, ConnectionId{41}};
  asked.findings.connections.push_back(make_dead_connection(41));
  return asked;
}

}  // namespace

TEST_CASE("By hand the mode is not asked") {
  Asked asked = make_clear_case();
  for (const Mode mode : AllWords<Mode>::values) {
    asked.policy.mode = mode;
    asked.restraints.by_hand = ConnectionId{40};
    CHECK(asked.decide_first().action == Action::abort);
    asked.restraints.by_hand.reset();
    CHECK(asked.decide_first().action == (mode == Mode::enforce ? Action::abort : Action::hold));
  }
}

TEST_CASE("By hand that connection is judged, and not the best of several") {
  Asked asked = make_held_by_two();
  asked.restraints.by_hand = ConnectionId{41};
  CHECK(asked.decide_first().action == Action::abort);
  CHECK(asked.decide_first().connection == ConnectionId{41});
  asked.findings.connections[1].outside_users = 1;
  const Decision decision = asked.decide_first();
  CHECK(decision.action == Action::hold);
  CHECK(decision.connection == ConnectionId{41});
  CHECK(decision.reasons == Gates{Gate::outside_users});
}

TEST_CASE("By hand whatever waits for another connection is not allowed") {
  Asked asked = make_clear_case();
  asked.findings.namespaces.push_back(make_stuck_namespace(41));
  asked.findings.connections.push_back(make_dead_connection(41));
  asked.findings.namespaces.push_back(make_stuck_namespace(42));
  asked.findings.namespaces.back().connections.clear();
  asked.restraints.by_hand = ConnectionId{41};
  auto decisions = asked.decide_all();
  REQUIRE(decisions.size() == 3);
  CHECK(decisions[0].reasons == Gates{Gate::not_allowed});
  CHECK(decisions[0].connection == ConnectionId{40});
  CHECK(decisions[1].action == Action::abort);
  CHECK(decisions[2].reasons == Gates{Gate::connection_ambiguous, Gate::not_allowed});
  SECTION("one that holds nothing is aborted nowhere") {
    asked.restraints.by_hand = ConnectionId{77};
    for (const Decision& decision : asked.decide_all()) CHECK(decision.action == Action::hold);
  }
  SECTION("that it is listed is not enough: a thread waits for it") {
    asked.findings.namespaces[0].connections.push_back(ConnectionId{41});
    decisions = asked.decide_all();
    CHECK(decisions[0].connection == ConnectionId{41});
    CHECK(decisions[0].reasons == Gates{Gate::connection_ambiguous});
    CHECK(decisions[1].action == Action::abort);
  }
}

TEST_CASE("By hand all other gates are asked") {
  Asked asked = make_clear_case();
  asked.policy.mode = Mode::observe;
  asked.restraints.by_hand = ConnectionId{40};
  SECTION("age") {
    asked.finding().stuck_for = 59s;
    asked.finding().samples = 2;
    CHECK(asked.gates() == Gates{Gate::too_young, Gate::too_few_samples});
  }
  SECTION("selectors") {
    asked.policy.deny.container_ids = {"*"};
    CHECK(asked.gates() == Gates{Gate::denied});
  }
  SECTION("what was done, the breaker, a pause") {
    asked.ledger.entries.assign(3, make_entry(asked, 40, 1min, Outcome::interrupted));
    asked.ledger.breaker.cause = BreakerCause::failed_outcomes;
    asked.restraints.inhibited = true;
    CHECK(asked.gates() == Gates{Gate::rate_limited, Gate::cooldown, Gate::breaker_open, Gate::inhibited});
  }
}

TEST_CASE("--override is for age and samples only") {
  Asked asked = make_clear_case();
  asked.restraints.override_age = true;
  asked.finding().stuck = false;
  asked.finding().stuck_for = 1s;
  asked.finding().samples = 2;
  asked.thread().samples = 2;
  asked.thread().blocked_for = 1s;
  CHECK(asked.gates().empty());
  SECTION("what has just run moves, whatever was overridden") {
    asked.thread().samples = 1;
    CHECK(asked.gates() == Gates{Gate::progressing});
  }
  SECTION("what nobody has seen blocked does not stand") {
    asked.finding().blocked_threads.clear();
    CHECK(asked.gates() == Gates{Gate::progressing, Gate::connection_ambiguous});
  }
  SECTION("a pause after a veto or a change is no age") {
    asked.ledger.entries = {make_entry(asked, 40, 1s, Outcome::vetoed),
                            make_entry(asked, 40, 1s, Outcome::skipped_identity_changed)};
    CHECK(asked.gates() == Gates{Gate::vetoed, Gate::identity_changed});
  }
  SECTION("all others hold") {
    asked.policy.mode = Mode::dry_run;
    asked.connection().server_state = ServerState::alive;
    CHECK(asked.gates() == Gates{Gate::mode, Gate::server_alive});
  }
}

}  // namespace defused
