// SPDX-License-Identifier: Apache-2.0
// The Prometheus exporter: metric families built from the last pass, as text. Names, help and documentation come from
// one table (catalogue.cc); docs/METRICS.md is generated from it. No registry, no state but the count of dropped
// series.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "exporters/exporter.h"

namespace defused {

/// Most objects of a kind that get series of their own; what is beyond is counted in defused_series_dropped_total.
inline constexpr std::size_t kMaxObjectSeries = 100;

class MetricsRenderer {
 public:
  /// The whole exposition (text/plain; version=0.0.4), families in the order of the table. Dropped series are counted
  /// once for each pass that is shown, whoever scrapes.
  std::string render(const View& view);

 private:
  std::map<std::string, std::uint64_t> dropped_;
  Nanoseconds counted_{0};  ///< scanned_at of the last pass that was counted
};

/// docs/METRICS.md, from the table.
std::string render_metrics_doc();

}  // namespace defused
