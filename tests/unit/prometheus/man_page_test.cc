// SPDX-License-Identifier: Apache-2.0
// docs/man/defused-metrics.7.scd has every family of the table. Runs in the top directory of the sources.
#include "man_page.h"

#include <catch2/catch.hpp>
#include <string>

#include "exporters/prometheus/catalogue.h"

namespace defused {

namespace {

std::string type_of(const FamilyRow& row) {
  if (row.type == prometheus::MetricType::Counter) return "counter";
  return row.type == prometheus::MetricType::Histogram ? "histogram" : "gauge";
}

}  // namespace

TEST_CASE("defused-metrics(7) says of each family its type, its labels and what it means") {
  std::string body;
  for (const FamilyRow& row : metric_catalogue()) {
    const std::string labels = row.labels[0] == '\0' ? "no labels" : "labels " + as_scdoc(row.labels);
    body += "\n*" + as_scdoc(row.name) + "*\n\t" + type_of(row) + ", " + labels + "\n\n\t" +
            markdown_as_scdoc(row.help) + " " + markdown_as_scdoc(row.meaning) + "\n";
  }
  check_man_page("docs/man/defused-metrics.7.scd", "metrics", "unit-prometheus", body + "\n");
}

}  // namespace defused
