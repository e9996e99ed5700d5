// SPDX-License-Identifier: Apache-2.0
// Which objects have series of their own, and which of them go first where there are too many.
#include <algorithm>
#include <map>
#include <tuple>

#include "exporters/prometheus/catalogue.h"
#include "exporters/prometheus/metrics.h"

namespace defused {

namespace {

// The most important first; the inode last, so that the same ones are kept from pass to pass.
std::vector<const NamespaceFinding*> stuck_by_importance(const Report& report) {
  std::vector<const NamespaceFinding*> stuck;
  for (const NamespaceFinding& finding : report.findings.namespaces) {
    if (finding.stuck) stuck.push_back(&finding);
  }
  const auto key = [](const NamespaceFinding* finding) {
    return std::tuple(finding->verdict != Verdict::deadlocked, finding->since, finding->id.inode);
  };
  std::sort(stuck.begin(), stuck.end(), [&](const auto* a, const auto* b) { return key(a) < key(b); });
  return stuck;
}

template <typename Finding>
ToldObjects<Finding> split(std::vector<const Finding*> by_importance) {
  ToldObjects<Finding> told;
  const std::size_t count = std::min(by_importance.size(), kMaxObjectSeries);
  const auto cut = by_importance.begin() + static_cast<std::ptrdiff_t>(count);
  told.shown.assign(by_importance.begin(), cut);
  told.left_out.assign(cut, by_importance.end());
  std::sort(told.shown.begin(), told.shown.end(), [](const auto* a, const auto* b) { return a->id < b->id; });
  return told;
}

}  // namespace

ToldObjects<NamespaceFinding> told_namespaces(const Report& report) { return split(stuck_by_importance(report)); }

ToldObjects<ConnectionFinding> told_connections(const Report& report) {
  std::map<ConnectionId, std::size_t> place;  // of the first namespace that it holds
  for (const NamespaceFinding* finding : stuck_by_importance(report)) {
    for (const ConnectionId id : finding->connections) place.try_emplace(id, place.size());
  }
  const std::size_t last = place.size();
  const auto key = [&](const ConnectionFinding* connection) {
    const auto found = place.find(connection->id);
    return std::tuple(found == place.end() ? last : found->second,
                      connection->stalled_since.value_or(Nanoseconds::max()), connection->id);
  };
  std::vector<const ConnectionFinding*> told;
  for (const ConnectionFinding& connection : report.findings.connections) {
    if (connection.stalled_since || connection.orphaned || place.count(connection.id) > 0) told.push_back(&connection);
  }
  std::sort(told.begin(), told.end(), [&](const auto* a, const auto* b) { return key(a) < key(b); });
  return split(std::move(told));
}

}  // namespace defused
