// SPDX-License-Identifier: Apache-2.0
#include "daemon/accounting.h"

#include <catch2/catch.hpp>

using namespace defused;

namespace {

constexpr NamespaceId kId{4026532178};

}  // namespace

TEST_CASE("histograms") {
  Histogram histogram{{1, 2}, {0, 0, 0}, 0};
  for (const double seconds : {0.5, 1.0, 1.5, 9.0}) observe(histogram, seconds);
  CHECK(histogram.counts == std::vector<std::uint64_t>{2, 1, 1});
  CHECK(histogram.sum == 12.0);
}

TEST_CASE("every action and outcome is counted from zero, and what was counted stays") {
  Counters counters;
  counters.aborts[Outcome::released] = 3;
  init_counters(counters);
  CHECK(counters.aborts.size() == AllWords<Outcome>::values.size());
  for (const auto& [outcome, count] : counters.aborts) CHECK(count == (outcome == Outcome::released ? 3U : 0U));
  CHECK(counters.decisions == std::map<Action, std::uint64_t>{{Action::hold, 0}, {Action::abort, 0}});
  observe(counters.recovery_duration, 7);
  init_counters(counters);
  CHECK(counters.recovery_duration.sum == 7);
  CHECK(counters.aborts[Outcome::released] == 3);
}

TEST_CASE("an order needs its namespace and its connection") {
  Findings findings;
  findings.namespaces.push_back(NamespaceFinding{});
  findings.namespaces[0].id = kId;
  Decision decision;
  decision.pid_namespace = kId;
  decision.connection = ConnectionId{40};
  CHECK_FALSE(make_order(findings, decision));
  ConnectionFinding connection;
  connection.id = {40};
  findings.connections.push_back(connection);
  CHECK(make_order(findings, decision));
  decision.pid_namespace = {1};
  CHECK_FALSE(make_order(findings, decision));
}
