// SPDX-License-Identifier: Apache-2.0
#include "exporters/prometheus/metrics.h"

#include <prometheus/text_serializer.h>

#include <map>
#include <vector>

#include "exporters/prometheus/catalogue.h"

namespace defused {

std::string MetricsRenderer::render(const View& view) {
  const Report* report = view.pass ? &view.pass->report : nullptr;
  const Memory* memory = view.pass ? &view.pass->memory : nullptr;
  const bool fresh = report != nullptr && report->scanned_at != counted_;
  Scene scene{view, report, memory, dropped_, {}, {}};
  if (report != nullptr) {
    scene.namespaces = told_namespaces(*report);
    scene.connections = told_connections(*report);
  }
  std::map<std::string, prometheus::MetricFamily> filled;
  const auto fill = [&](const FamilyRow& row) {
    if (report == nullptr && row.needs_pass) return;
    Samples samples(row.type);
    row.fill(scene, samples);
    if (fresh && samples.left_out() > 0) dropped_[row.name] += samples.left_out();
    filled[row.name] = prometheus::MetricFamily{row.name, row.help, row.type, samples.take()};
  };
  // Families that name objects first: what they drop shows in the same exposition.
  for (const FamilyRow& row : metric_catalogue()) {
    if (row.names_objects) fill(row);
  }
  for (const FamilyRow& row : metric_catalogue()) {
    if (!row.names_objects) fill(row);
  }
  if (fresh) counted_ = report->scanned_at;
  std::vector<prometheus::MetricFamily> families;  // in the order of the table
  for (const FamilyRow& row : metric_catalogue()) {
    const auto found = filled.find(row.name);
    if (found != filled.end() && !found->second.metric.empty()) families.push_back(std::move(found->second));
  }
  return prometheus::TextSerializer().Serialize(families);
}

}  // namespace defused
