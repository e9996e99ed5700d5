// SPDX-License-Identifier: Apache-2.0
// docs/METRICS.md: what there is to say of all families, then a section for each row of the table.
#include <string>

#include "exporters/prometheus/catalogue.h"
#include "exporters/prometheus/metrics.h"

namespace defused {

namespace {

constexpr const char* kIntroduction = R"(# Metrics

Generated from the table in exporters/prometheus/catalogue.cc; a test keeps the two equal. How to scrape, and the rules
that add the names of pods and containers: [PROMETHEUS.md](PROMETHEUS.md).

- Served at `/metrics` (or where `--web.telemetry-path` says) as `text/plain; version=0.0.4; charset=utf-8`, with gzip where
  the client takes it. The same families are in `defused.prom`, for the textfile collector of node_exporter, where
  `textfile.directory` names a place.
- A scrape shows the last pass; it reads nothing and waits for nothing. Scrape as often as you like; more often than
  `interval` tells nothing new.
- Counters, and label sets of at most 8 values, are there from the first pass on, with 0. Wait classes, gates and gaps
  appear as they occur: `absent()` is no alarm for those. Counters of the prober survive its replacement, not a restart of
  the service. A family without samples is not shown.
- Series that name single objects (a PID namespace, a connection) vanish with them, in the pass after. At most 100
  objects of a kind are shown, the deadlocked ones and those that have been stuck longest first, the same ones in all
  families; `defused_series_dropped_total` counts the rest.
- Before the first pass there are `defused_build_info`, `defused_blind{what="prober"}`, `defused_probers_lost_total` and
  `defused_process_*` only.

What to watch, cheapest first, a handful of series for each host: `defused_stuck_pid_namespaces` and
`defused_stuck_exits` (something is stuck), `defused_last_scan_timestamp_seconds` and `defused_blind` (nobody looks),
`defused_fuse_orphaned_connections`, `defused_aborts_total`, `defused_breaker_open`, `defused_probers_lost_total`. The
families with a series for each object are there for the text of an alert and for a dashboard.

| family | type | labels | what |
|---|---|---|---|
)";

const char* type_name(prometheus::MetricType type) {
  switch (type) {
    case prometheus::MetricType::Counter: return "counter";
    case prometheus::MetricType::Histogram: return "histogram";
    default: return "gauge";
  }
}

std::string describe_labels(const FamilyRow& row) {
  return row.labels[0] == '\0' ? "no labels" : "labels `" + std::string(row.labels) + "`";
}

std::string overview(const FamilyRow& row) {
  const std::string name = row.name;
  const std::string labels = row.labels[0] == '\0' ? "" : "`" + std::string(row.labels) + "`";
  return "| [" + name + "](#" + name + ") | " + type_name(row.type) + " | " + labels + " | " + row.help + " |\n";
}

}  // namespace

std::string render_metrics_doc() {
  std::string doc = kIntroduction;
  for (const FamilyRow& row : metric_catalogue()) doc += overview(row);
  for (const FamilyRow& row : metric_catalogue()) {
    doc +=
        "\n## " + std::string(row.name) + "\n\n" + type_name(row.type) + ", " + describe_labels(row) + ". " + row.help;
    doc += "\n\n" + std::string(row.meaning) + "\n\n    " + row.query + "\n";
  }
  return doc;
}

}  // namespace defused
