// SPDX-License-Identifier: Apache-2.0
#include "daemon/accounting.h"

#include <catch2/catch.hpp>

#include "daemon/cycle.h"

using namespace defused;

namespace {

constexpr NamespaceId kId{4026532178};

Report report_of(bool stuck, Verdict verdict, std::vector<Gate> reasons, Mode mode = Mode::observe) {
  Report report;
  report.mode = mode;
  NamespaceFinding finding;
  finding.id = kId;
  finding.stuck = stuck;
  finding.verdict = verdict;
  finding.connections = {{40}};
  report.findings.namespaces = {finding};
  Decision decision;
  decision.pid_namespace = kId;
  decision.reasons = std::move(reasons);
  decision.action = decision.reasons.empty() ? Action::abort : Action::hold;
  report.decisions = {decision};
  return report;
}

// The lines of a row of reports, history handed on.
class Teller {
 public:
  std::vector<std::string> tell(const Report& report) {
    std::vector<std::string> lines;
    tell_changes(report, log_, counters, [&](std::string_view line) { lines.emplace_back(line); });
    return lines;
  }
  Counters counters;

 private:
  LogMemory log_;
};

}  // namespace

TEST_CASE("one line when something becomes stuck, changes its verdict, is released; none for a pass") {
  Teller teller;
  CHECK(teller.tell(report_of(false, Verdict::undetermined, {Gate::mode})).empty());
  const auto stuck = teller.tell(report_of(true, Verdict::undetermined, {Gate::mode}));
  REQUIRE(stuck.size() == 2);
  CHECK(stuck[0].find("is stuck") != std::string::npos);
  CHECK(stuck[1].find("decision hold: mode") != std::string::npos);
  CHECK(teller.tell(report_of(true, Verdict::undetermined, {Gate::mode})).empty());
  const auto changed = teller.tell(report_of(true, Verdict::deadlocked, {Gate::mode}));
  REQUIRE(changed.size() == 1);
  CHECK(changed[0].find("from undetermined") != std::string::npos);
  const auto released = teller.tell(Report{});
  REQUIRE(released.size() == 1);
  CHECK(released[0].find("is released") != std::string::npos);
  CHECK(teller.tell(Report{}).empty());
}

TEST_CASE("decisions are counted when they change") {
  Teller teller;
  for (int i = 0; i < 3; ++i)
    teller.tell(report_of(true, Verdict::deadlocked, {Gate::mode, Gate::too_young}, Mode::dry_run));
  CHECK(teller.counters.decisions[Action::hold] == 1);
  CHECK(teller.counters.decisions[Action::abort] == 0);
  for (int i = 0; i < 3; ++i) teller.tell(report_of(true, Verdict::deadlocked, {Gate::mode}, Mode::dry_run));
  CHECK(teller.counters.decisions[Action::abort] == 1);  // dry_run: would have aborted
  teller.tell(report_of(true, Verdict::deadlocked, {}, Mode::enforce));
  CHECK(teller.counters.decisions[Action::abort] == 2);
}

TEST_CASE("in observe a hold for the mode alone is a hold") {
  Teller teller;
  teller.tell(report_of(true, Verdict::deadlocked, {Gate::mode}, Mode::observe));
  CHECK(teller.counters.decisions[Action::abort] == 0);
  CHECK(teller.counters.decisions[Action::hold] == 1);
}

TEST_CASE("histograms") {
  Histogram histogram{{1, 2}, {0, 0, 0}, 0};
  for (const double seconds : {0.5, 1.0, 1.5, 9.0}) observe(histogram, seconds);
  CHECK(histogram.counts == std::vector<std::uint64_t>{2, 1, 1});
  CHECK(histogram.sum == 12.0);
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
