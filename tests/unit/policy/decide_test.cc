// SPDX-License-Identifier: Apache-2.0
#include "policy/decide.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <functional>
#include <string>

#include "cases.h"
#include "policy/gates.h"

using namespace std::chrono_literals;

namespace defused {

namespace {

using Gates = std::vector<Gate>;

struct OneGate {
  std::string what;
  std::function<void(Asked&)> change;
  Gates expected;
};

// Each changes one thing in the clear case; what it expects is the whole list of reasons.
const std::vector<OneGate>& one_gate_each() {
  static const std::vector<OneGate> kCases = {
      {"observe", [](Asked& it) { it.policy.mode = Mode::observe; }, {Gate::mode}},
      {"dry run", [](Asked& it) { it.policy.mode = Mode::dry_run; }, {Gate::mode}},
      {"stuck for less than min_stuck", [](Asked& it) { it.finding().stuck_for = 59s; }, {Gate::too_young}},
      {"its thread blocked for less", [](Asked& it) { it.thread().blocked_for = 59s; }, {Gate::too_young}},
      {"not stuck", [](Asked& it) { it.finding().stuck = false; }, {Gate::too_young}},
      {"server gone for less", [](Asked& it) { it.connection().server_gone_for = 59s; }, {Gate::too_young}},
      {"few samples", [](Asked& it) { it.finding().samples = 2; }, {Gate::too_few_samples}},
      {"few samples of the thread", [](Asked& it) { it.thread().samples = 2; }, {Gate::too_few_samples}},
      {"has just run", [](Asked& it) { it.thread().samples = 1; }, {Gate::too_few_samples, Gate::progressing}},
      {"has just run, and its samples are not asked for",
       [](Asked& it) {
         it.restraints.override_age = true;
         it.thread().samples = 1;
       },
       {Gate::progressing}},
      {"nothing stands still",
       [](Asked& it) { it.finding().blocked_threads.clear(); },
       {Gate::progressing, Gate::connection_ambiguous}},
      {"verdict", [](Asked& it) { it.finding().verdict = Verdict::undetermined; }, {Gate::verdict}},
      {"of the thread", [](Asked& it) { it.thread().verdict = Verdict::waiting_on_live_server; }, {Gate::verdict}},
      {"attribution unknown",
       [](Asked& it) { it.thread().attribution = Attribution::unknown; },
       {Gate::connection_ambiguous}},
      {"attribution ambiguous",
       [](Asked& it) { it.thread().attribution = Attribution::ambiguous; },
       {Gate::connection_ambiguous}},
      {"attribution does not serve",
       [](Asked& it) { it.thread().attribution_serves_acting = false; },
       {Gate::connection_ambiguous}},
      {"no connection", [](Asked& it) { it.finding().connections.clear(); }, {Gate::connection_ambiguous}},
      {"no thread waits for it", [](Asked& it) { it.thread().connection.reset(); }, {Gate::connection_ambiguous}},
      {"live server", [](Asked& it) { it.connection().server_state = ServerState::alive; }, {Gate::server_alive}},
      {"one server of two lives",
       [](Asked& it) {
         it.connection().server_state = ServerState::dying;
         it.connection().servers = {{{7, 8}, "a", ServerState::dying}, {{9, 8}, "b", ServerState::alive}};
       },
       {Gate::server_alive}},
      {"server unknown",
       [](Asked& it) { it.connection().server_state = ServerState::unknown; },
       {Gate::server_unknown}},
      {"no server, no evidence",
       [](Asked& it) { it.connection().server_evidence = Evidence::none; },
       {Gate::server_unknown}},
      {"no evidence of the thread", [](Asked& it) { it.thread().evidence = Evidence::none; }, {Gate::server_unknown}},
      {"inferred", [](Asked& it) { it.connection().server_evidence = Evidence::inferred; }, {Gate::server_inferred}},
      {"inferred for the thread",
       [](Asked& it) { it.thread().evidence = Evidence::inferred; },
       {Gate::server_inferred}},
      {"outside user", [](Asked& it) { it.connection().outside_users = 1; }, {Gate::outside_users}},
      {"outside viewer", [](Asked& it) { it.connection().outside_viewers = 1; }, {Gate::outside_viewers}},
      {"host mount", [](Asked& it) { it.connection().host_mount = true; }, {Gate::host_mount}},
      {"readers disagree", [](Asked& it) { it.connection().readers_disagree = true; }, {Gate::readers_disagree}},
      {"denied", [](Asked& it) { it.connection().fstype = "fuse.lxcfs"; }, {Gate::denied}},
      {"denied and not allowed",
       [](Asked& it) { it.connection().fstype = "fuseblk"; },
       {Gate::denied, Gate::not_allowed}},
      {"not allowed", [](Asked& it) { it.policy.allow.fstypes = {"fuse.s3fs"}; }, {Gate::not_allowed}},
      {"nothing allowed", [](Asked& it) { it.policy.allow.fstypes = {}; }, {Gate::not_allowed}},
      {"type not known", [](Asked& it) { it.connection().fstype = ""; }, {Gate::not_allowed}},
      {"users not known", [](Asked& it) { it.connection().outside_users.reset(); }, {Gate::gap}},
      {"viewers not known", [](Asked& it) { it.connection().outside_viewers.reset(); }, {Gate::gap}},
      {"gap", [](Asked& it) { it.finding().gap = true; }, {Gate::gap}},
      {"init not identified", [](Asked& it) { it.finding().init.start_ticks = 0; }, {Gate::gap}},
      {"namespace not identified", [](Asked& it) { it.finding().id.inode = 0; }, {Gate::gap}},
      {"thread not identified", [](Asked& it) { it.thread().id.start_ticks = 0; }, {Gate::gap}},
      {"connection not identified", [](Asked& it) { it.connection().directory_inode = 0; }, {Gate::gap}},
      {"connection not found",
       [](Asked& it) { it.findings.connections.clear(); },
       {Gate::server_unknown, Gate::not_allowed, Gate::gap}},
      {"record unwritable", [](Asked& it) { it.restraints.record_unwritable = true; }, {Gate::record_unwritable}},
      {"inhibited", [](Asked& it) { it.restraints.inhibited = true; }, {Gate::inhibited}},
      {"breaker opened by failures",
       [](Asked& it) { it.ledger.breaker.cause = BreakerCause::failed_outcomes; },
       {Gate::breaker_open}},
      {"breaker opened by a lost ledger",
       [](Asked& it) { it.ledger.breaker.cause = BreakerCause::ledger_lost; },
       {Gate::breaker_open}},
      {"budget used up",
       [](Asked& it) { it.ledger.entries.assign(3, make_entry(it, 1, 1min, Outcome::released)); },
       {Gate::rate_limited}},
      {"aborted lately",
       [](Asked& it) { it.ledger.entries = {make_entry(it, 40, 1min, Outcome::not_released)}; },
       {Gate::cooldown}},
      {"vetoed lately",
       [](Asked& it) { it.ledger.entries = {make_entry(it, 40, 59s, Outcome::vetoed)}; },
       {Gate::vetoed}},
      {"changed lately",
       [](Asked& it) { it.ledger.entries = {make_entry(it, 40, 59s, Outcome::skipped_identity_changed)}; },
       {Gate::identity_changed}},
      {"device number 0 is no connection",
       [](Asked& it) {
         it.finding().connections = {ConnectionId{}};
         it.thread().connection = ConnectionId{};
         it.connection().id = ConnectionId{};
       },
       {Gate::gap}},
  };
  return kCases;
}

}  // namespace

TEST_CASE("What nothing speaks against is aborted") {
  const Asked asked = make_clear_case();
  const auto decisions = asked.decide_all();
  REQUIRE(decisions.size() == 1);
  CHECK(decisions[0].action == Action::abort);
  CHECK(decisions[0].reasons.empty());
  CHECK(decisions[0].connection == ConnectionId{40});
  CHECK(decisions[0].pid_namespace == asked.findings.namespaces[0].id);
}

TEST_CASE("Each gate holds alone") {
  for (const OneGate& one : one_gate_each()) {
    INFO(one.what);
    Asked asked = make_clear_case();
    one.change(asked);
    const Decision decision = asked.decide_first();
    CHECK(decision.action == Action::hold);
    CHECK(decision.reasons == one.expected);
  }
}

TEST_CASE("Gates do not hold at their limit") {
  Asked asked = make_clear_case();
  asked.finding().stuck_for = asked.policy.min_stuck;
  asked.thread().blocked_for = asked.policy.min_stuck;
  asked.finding().samples = asked.policy.min_samples;
  asked.thread().samples = asked.policy.min_samples;
  CHECK(asked.gates().empty());
  SECTION("inferred evidence is enough where the operator says so") {
    asked.policy.require_proven = false;
    asked.connection().server_evidence = Evidence::inferred;
    asked.thread().evidence = Evidence::inferred;
    CHECK(asked.gates().empty());
  }
  SECTION("a dying server is as good as none") {
    asked.connection().server_state = ServerState::dying;
    asked.connection().servers = {{{7, 8}, "ndrive", ServerState::dying}};
    CHECK(asked.gates().empty());
  }
  SECTION("one more thread that got caught later does not make the connection younger") {
    asked.finding().blocked_threads.push_back(make_waiting_thread(2000, 40));
    asked.finding().blocked_threads.back().blocked_for = 16s;
    asked.finding().blocked_threads.back().samples = asked.policy.min_samples;
    CHECK(asked.gates().empty());
  }
  SECTION("a thread that waits for something else decides nothing") {
    BlockedThread other = make_waiting_thread(2000, 41);
    other.connection.reset();
    other.verdict = Verdict::not_fuse;
    other.wait_class = WaitClass::nfs;
    asked.finding().blocked_threads.push_back(other);
    CHECK(asked.gates().empty());
  }
}

TEST_CASE("One doubtful thread among those that decide holds") {
  Asked asked = make_clear_case();
  asked.finding().blocked_threads.push_back(make_waiting_thread(2000, 40));
  BlockedThread& doubtful = asked.finding().blocked_threads.back();
  SECTION("attribution") {
    doubtful.attribution_serves_acting = false;
    CHECK(asked.gates() == Gates{Gate::connection_ambiguous});
  }
  SECTION("it runs") {
    doubtful.samples = 1;
    CHECK(asked.gates() == Gates{Gate::too_few_samples, Gate::progressing});
  }
}

TEST_CASE("All gates that hold are told, in order") {
  Asked asked = make_clear_case();
  asked.policy.mode = Mode::observe;
  asked.policy.deny.fstypes = {"*"};
  asked.policy.allow.fstypes = {};
  asked.restraints.record_unwritable = true;
  asked.restraints.inhibited = true;
  asked.ledger.breaker.cause = BreakerCause::failed_outcomes;
  asked.finding().stuck = false;
  asked.finding().gap = true;
  asked.finding().verdict = Verdict::undetermined;
  asked.thread().samples = 1;
  asked.thread().attribution_serves_acting = false;
  asked.thread().evidence = Evidence::inferred;
  asked.connection().server_state = ServerState::unknown;
  asked.connection().servers = {{{7, 8}, "ndrive", ServerState::alive}};
  asked.connection().outside_users = 1;
  asked.connection().outside_viewers = 1;
  asked.connection().host_mount = true;
  asked.connection().readers_disagree = true;
  for (int i = 0; i < 3; ++i) asked.ledger.entries.push_back(make_entry(asked, 40, 1min, Outcome::not_released));
  asked.ledger.entries.push_back(make_entry(asked, 40, 30s, Outcome::vetoed));
  asked.ledger.entries.push_back(make_entry(asked, 40, 30s, Outcome::skipped_identity_changed));
  Gates all;
  for (const GateRule& rule : gate_rules()) all.push_back(rule.gate);
  CHECK(asked.gates() == all);
}

TEST_CASE("The table has each gate once, in the order of the enum, with its reason") {
  const auto& rules = gate_rules();
  REQUIRE(rules.size() == AllWords<Gate>::values.size());
  for (std::size_t i = 0; i < rules.size(); ++i) {
    INFO(to_string(rules[i].gate));
    CHECK(rules[i].gate == AllWords<Gate>::values[i]);
    CHECK_FALSE(rules[i].looks_at.empty());
    CHECK_FALSE(rules[i].why.empty());
    REQUIRE(rules[i].holds != nullptr);
  }
}

TEST_CASE("Each gate is one that holds alone in some case") {
  Gates alone;
  for (const OneGate& one : one_gate_each()) {
    if (one.expected.size() == 1) alone.push_back(one.expected.front());
  }
  for (const Gate gate : AllWords<Gate>::values) {
    INFO(to_string(gate));
    CHECK(std::count(alone.begin(), alone.end(), gate) > 0);
  }
}

TEST_CASE("Of several connections the first whose gates pass is taken") {
  Asked asked = make_clear_case();
  asked.finding().blocked_threads.push_back(make_waiting_thread(2000, 41));
  asked.finding().blocked_threads.push_back(make_waiting_thread(2001, 42));
  asked.finding().connections = {ConnectionId{42}, ConnectionId{40}, ConnectionId{41}};
  asked.findings.connections.push_back(make_dead_connection(41));
  asked.findings.connections.push_back(make_dead_connection(42));
  CHECK(asked.decide_first().connection == ConnectionId{40});
  SECTION("not the first at any price") {
    asked.findings.connections[0].outside_users = 1;
    const Decision decision = asked.decide_first();
    CHECK(decision.action == Action::abort);
    CHECK(decision.connection == ConnectionId{41});
  }
  SECTION("where none passes, the one nearest to it is shown") {
    asked.findings.connections[0].outside_users = 1;
    asked.findings.connections[0].host_mount = true;
    asked.findings.connections[1].outside_users = 1;
    asked.findings.connections[2].host_mount = true;
    const Decision decision = asked.decide_first();
    CHECK(decision.action == Action::hold);
    CHECK(decision.connection == ConnectionId{41});
    CHECK(decision.reasons == Gates{Gate::outside_users});
  }
  SECTION("an age that only another connection's thread has does not count") {
    asked.findings.connections[0].outside_users = 1;
    asked.finding().blocked_threads[1].blocked_for = 20s;
    asked.finding().connections = {ConnectionId{40}, ConnectionId{41}};
    const Decision decision = asked.decide_first();
    CHECK(decision.action == Action::hold);
    CHECK(decision.connection == ConnectionId{40});
  }
}

TEST_CASE("One action at a time: the others wait for the next pass") {
  Asked asked = make_clear_case();
  for (const std::uint32_t number : {41U, 42U}) {
    asked.findings.namespaces.push_back(make_stuck_namespace(number));
    asked.findings.connections.push_back(make_dead_connection(number));
  }
  asked.findings.namespaces[0].gap = true;
  auto decisions = asked.decide_all();
  REQUIRE(decisions.size() == 3);
  CHECK(decisions[0].reasons == Gates{Gate::gap});
  CHECK(decisions[1].action == Action::abort);
  CHECK(decisions[2].action == Action::hold);
  CHECK(decisions[2].reasons == Gates{Gate::rate_limited});
  CHECK(decisions[2].connection == ConnectionId{42});
  SECTION("in a dry run all would-be aborts are told by mode alone") {
    asked.policy.mode = Mode::dry_run;
    decisions = asked.decide_all();
    CHECK(decisions[0].reasons == Gates{Gate::mode, Gate::gap});
    CHECK(decisions[1].reasons == Gates{Gate::mode});
    CHECK(decisions[2].reasons == Gates{Gate::mode});
  }
}

TEST_CASE("Nothing found, nothing decided") {
  Asked asked = make_clear_case();
  asked.findings.namespaces.clear();
  CHECK(asked.decide_all().empty());
}

}  // namespace defused
