// SPDX-License-Identifier: Apache-2.0
#include "daemon/accounting.h"

#include <algorithm>

#include "daemon/cycle.h"

namespace defused {

namespace {

// A pass takes milliseconds on a small host and is over its deadline at 5 s.
const std::vector<double> kScanBounds = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10};
// From min_stuck (60 s by default) to hours.
const std::vector<double> kRecoveryBounds = {1, 5, 15, 30, 60, 90, 120, 300, 600, 1800, 3600, 14400};

void init_histogram(Histogram& histogram, const std::vector<double>& bounds) {
  if (histogram.bounds == bounds) return;
  histogram.bounds = bounds;
  histogram.counts.assign(bounds.size() + 1, 0);
  histogram.sum = 0;
}

}  // namespace

void init_counters(Counters& counters) {
  init_histogram(counters.scan_duration, kScanBounds);
  init_histogram(counters.recovery_duration, kRecoveryBounds);
  for (const Action action : AllWords<Action>::values) counters.decisions.try_emplace(action, 0);
  for (const Outcome outcome : AllWords<Outcome>::values) counters.aborts.try_emplace(outcome, 0);
  counters.scan_failures.try_emplace("processes", 0);
}

void observe(Histogram& histogram, double seconds) {
  const auto bound = std::lower_bound(histogram.bounds.begin(), histogram.bounds.end(), seconds);
  ++histogram.counts[static_cast<std::size_t>(bound - histogram.bounds.begin())];
  histogram.sum += seconds;
}

bool is_young(const Findings& findings, const DetectSettings& settings) {
  return std::any_of(findings.namespaces.begin(), findings.namespaces.end(),
                     [](const NamespaceFinding& finding) { return !finding.stuck; }) ||
         std::any_of(findings.stuck_exits.begin(), findings.stuck_exits.end(),
                     [&](const StuckExit& exit) { return exit.thread.blocked_for < settings.stuck_after; });
}

std::string describe_decision(const Decision& decision) {
  std::string text(to_string(decision.action));
  if (decision.connection) text += " " + std::to_string(decision.connection->kernel_dev);
  const char* separator = ": ";
  for (const Gate gate : decision.reasons) {
    text += separator;
    text += to_string(gate);
    separator = ", ";
  }
  return text;
}

std::optional<RemedyOrder> make_order(const Findings& findings, const Decision& decision) {
  const auto finding = std::find_if(findings.namespaces.begin(), findings.namespaces.end(),
                                    [&](const auto& candidate) { return candidate.id == decision.pid_namespace; });
  const auto connection =
      std::find_if(findings.connections.begin(), findings.connections.end(),
                   [&](const auto& candidate) { return decision.connection && candidate.id == *decision.connection; });
  if (finding == findings.namespaces.end() || connection == findings.connections.end()) return std::nullopt;
  return RemedyOrder{*finding, *connection, decision};
}

bool any_abort(const std::vector<Decision>& decisions) {
  return std::any_of(decisions.begin(), decisions.end(),
                     [](const Decision& decision) { return decision.action == Action::abort; });
}

std::string describe_outcome(const OutcomeRecord& record) {
  return "abort of connection " + std::to_string(record.connection.kernel_dev) + " for PID namespace " +
         std::to_string(record.pid_namespace.inode) + ": " + std::string(to_string(record.outcome)) +
         (record.detail.empty() ? "" : ": " + record.detail);
}

}  // namespace defused
