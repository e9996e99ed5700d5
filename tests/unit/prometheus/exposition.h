// SPDX-License-Identifier: Apache-2.0
// For the tests of the exporter: a strict reader of the Prometheus text format, promtool, and a stuck namespace.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "exporters/exporter.h"

namespace defused {

struct ReadFamily {
  std::string name;
  std::string help;
  std::string type;
  /// By labels as they stand, `le` and the suffix of a histogram's series included: `_bucket{le="1"}`.
  std::map<std::string, double> samples;
  /// Names of the labels of all samples, without `le`, in their order.
  std::vector<std::string> labels;
};

/// The families of an exposition in their order; a line that is not as it has to be, a family or a series that comes
/// twice, and text that is not UTF-8 fail the test.
std::vector<ReadFamily> read_exposition(const std::string& text);

/// Exit code and words of `promtool check metrics` about `text`; promtool has to be installed.
std::pair<int, std::string> check_with_promtool(const std::string& text);

bool has_line(const std::string& text, const std::string& line);

NamespaceFinding stuck_namespace(std::uint64_t inode);
/// A view of `report` with counters of a few passes.
View view_of(Report report);
/// One stuck namespace held by one of two connections.
Report stuck_report();

}  // namespace defused
