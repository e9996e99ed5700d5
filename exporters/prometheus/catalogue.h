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
  [[nodiscard]] std::vector<prometheus::ClientMetric> take() { return std::move(metrics_); }
  [[nodiscard]] std::size_t size() const { return metrics_.size(); }

 private:
  prometheus::MetricType type_;
  std::vector<prometheus::ClientMetric> metrics_;
};

/// What a row may look at. `pass` is null before the first report: then only rows that do not need it are filled.
struct Scene {
  const View& view;
  const Report* report;
  const Memory* memory;
  const std::map<std::string, std::uint64_t>& dropped;
};

struct FamilyRow {
  const char* name;
  prometheus::MetricType type;
  const char* labels;
  const char* help;
  const char* meaning;
  const char* query;
  bool needs_pass;
  bool names_objects;  ///< capped at kMaxObjectSeries
  void (*fill)(const Scene& scene, Samples& samples);
};

/// All rows, in the order of the documentation and of the exposition.
std::span<const FamilyRow> metric_catalogue();

}  // namespace defused
