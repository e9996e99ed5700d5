// SPDX-License-Identifier: Apache-2.0
// The catalogue of metric families: one row for each, with its documentation and how it is filled from a View.
// Private to exporters/prometheus.
#pragma once

#include <prometheus/metric_family.h>

#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "exporters/exporter.h"

namespace defused {

using Labels = std::vector<std::pair<std::string, std::string>>;

/// Where a row puts its samples.
class Samples {
 public:
  explicit Samples(prometheus::MetricType type) : type_(type) {}
  void add(double value, const Labels& labels = {});
  void add_histogram(const Histogram& histogram);
  /// One series is not shown, since its object is beyond the cap.
  void leave_out() { ++left_out_; }
  [[nodiscard]] std::vector<prometheus::ClientMetric> take() { return std::move(metrics_); }
  [[nodiscard]] std::uint64_t left_out() const { return left_out_; }

 private:
  prometheus::MetricType type_;
  std::vector<prometheus::ClientMetric> metrics_;
  std::uint64_t left_out_ = 0;
};

/// Objects that may have series of their own, split at kMaxObjectSeries: each family shows the same ones.
template <typename Finding>
struct ToldObjects {
  std::vector<const Finding*> shown;     ///< by id
  std::vector<const Finding*> left_out;  ///< beyond the cap
};

/// Stuck namespaces; shown are the deadlocked ones first, then those that have been stuck for longest.
ToldObjects<NamespaceFinding> told_namespaces(const Report& report);
/// Stuck, stalled or orphaned connections; shown are those that hold a namespace, in the order of the namespaces, then
/// those that have been stalled for longest.
ToldObjects<ConnectionFinding> told_connections(const Report& report);

/// What a row may look at. `report` and `memory` are null before the first report: then only rows that do not need one
/// are filled.
struct Scene {
  const View& view;
  const Report* report = nullptr;
  const Memory* memory = nullptr;
  const std::map<std::string, std::uint64_t>& dropped;
  ToldObjects<NamespaceFinding> namespaces;
  ToldObjects<ConnectionFinding> connections;
};

struct FamilyRow {
  const char* name;
  prometheus::MetricType type;
  const char* labels;   ///< their names, with ", " between; a histogram's `le` is not named
  const char* help;     ///< the HELP line
  const char* meaning;  ///< what the documentation says beside it
  const char* query;    ///< an example, PromQL
  bool needs_pass;
  bool names_objects;  ///< a series for each object, at most kMaxObjectSeries; the rest is counted as dropped
  void (*fill)(const Scene& scene, Samples& samples);
};

/// All rows, in the order of the documentation and of the exposition.
std::span<const FamilyRow> metric_catalogue();

}  // namespace defused
