// SPDX-License-Identifier: Apache-2.0
#include "exporters/prometheus/metrics.h"

#include <prometheus/text_serializer.h>

#include "exporters/prometheus/catalogue.h"

namespace defused {

namespace {

const char* type_name(prometheus::MetricType type) {
  switch (type) {
    case prometheus::MetricType::Counter: return "counter";
    case prometheus::MetricType::Histogram: return "histogram";
    default: return "gauge";
  }
}

}  // namespace

std::string MetricsRenderer::render(const View& view) {
  const Report* report = view.pass ? &view.pass->report : nullptr;
  const Memory* memory = view.pass ? &view.pass->memory : nullptr;
  const bool fresh = report != nullptr && report->scanned_at != counted_;
  std::vector<prometheus::MetricFamily> families;
  const auto fill = [&](const FamilyRow& row) {
    Samples samples(row.type);
    row.fill(Scene{view, report, memory, dropped_}, samples);
    prometheus::MetricFamily family{row.name, row.help, row.type, samples.take()};
    if (row.names_objects && family.metric.size() > kMaxObjectSeries) {
      if (fresh) dropped_[row.name] += family.metric.size() - kMaxObjectSeries;
      family.metric.resize(kMaxObjectSeries);
    }
    if (!family.metric.empty()) families.push_back(std::move(family));
  };
  // Families that name objects first: what they drop shows in the same exposition.
  for (const FamilyRow& row : metric_catalogue()) {
    if (row.names_objects && report != nullptr) fill(row);
  }
  for (const FamilyRow& row : metric_catalogue()) {
    if (!row.names_objects && (report != nullptr || !row.needs_pass)) fill(row);
  }
  if (fresh) counted_ = report->scanned_at;
  return prometheus::TextSerializer().Serialize(families);
}

std::string render_metrics_doc() {
  std::string doc =
      "# Metrics\n\nGenerated from the table in exporters/prometheus/catalogue.cc; a test keeps the two equal. Served "
      "at "
      "`/metrics` as\n`text/plain; version=0.0.4; charset=utf-8`. A family without samples is not shown. Series that "
      "name "
      "single objects\nvanish with them, and at most 100 of a family are shown (`defused_series_dropped_total` counts "
      "the "
      "rest).\n";
  for (const FamilyRow& row : metric_catalogue()) {
    doc += "\n## " + std::string(row.name) + "\n\n" + type_name(row.type);
    doc += row.labels[0] == '\0' ? ", no labels" : ", labels `" + std::string(row.labels) + "`";
    doc += ". " + std::string(row.help) + "\n\n" + row.meaning + "\n";
    if (row.query[0] != '\0') doc += "\n    " + std::string(row.query) + "\n";
  }
  return doc;
}

}  // namespace defused
