// SPDX-License-Identifier: Apache-2.0
// Which objects have series of their own where there are more than the cap.
#include <catch2/catch.hpp>
#include <set>

#include "exporters/prometheus/catalogue.h"
#include "exporters/prometheus/metrics.h"
#include "exposition.h"

using namespace defused;

namespace {

ConnectionFinding stalled_connection(std::uint32_t id, std::optional<Nanoseconds> since) {
  ConnectionFinding connection;
  connection.id = {id};
  connection.stalled_since = since;
  return connection;
}

// 130 namespaces: odd inodes deadlocked, the higher the longer; each holds a connection of its own. 30 more connections
// are stalled, and 5 are orphaned.
Report crowded_report() {
  Report report;
  report.scanned_at = 2000s;
  for (std::uint32_t i = 0; i < 130; ++i) {
    NamespaceFinding finding = stuck_namespace(5000 + i);
    finding.verdict = i % 2 == 1 ? Verdict::deadlocked : Verdict::undetermined;
    finding.since = Nanoseconds(1000s) - i * Nanoseconds(1s);
    finding.connections = {{1000 + i}};
    report.findings.namespaces.push_back(finding);
    report.findings.connections.push_back(stalled_connection(1000 + i, std::nullopt));
  }
  for (std::uint32_t i = 0; i < 30; ++i)
    report.findings.connections.push_back(stalled_connection(3000 + i, Nanoseconds(900s) - i * Nanoseconds(1s)));
  for (std::uint32_t i = 0; i < 5; ++i) {
    report.findings.connections.push_back(stalled_connection(4000 + i, std::nullopt));
    report.findings.connections.back().orphaned = true;
  }
  return report;
}

ReadFamily family_of(const std::vector<ReadFamily>& families, const std::string& name) {
  for (const ReadFamily& family : families) {
    if (family.name == name) return family;
  }
  FAIL("no family " << name);
  return {};
}

// The values of the first label.
std::set<std::string> first_labels(const std::vector<ReadFamily>& families, const std::string& name) {
  std::set<std::string> values;
  for (const auto& [labels, value] : family_of(families, name).samples) {
    const std::size_t begin = labels.find('"') + 1;
    values.insert(labels.substr(begin, labels.find('"', begin) - begin));
  }
  return values;
}

}  // namespace

TEST_CASE("deadlocked and oldest namespaces are shown, the same ones in each family") {
  const auto families = read_exposition(MetricsRenderer().render(view_of(crowded_report())));
  const auto shown = first_labels(families, "defused_stuck_pid_namespace_info");
  CHECK(shown.size() == kMaxObjectSeries);
  CHECK(shown == first_labels(families, "defused_stuck_pid_namespace_since_timestamp_seconds"));
  for (std::uint64_t i = 1; i < 130; i += 2) CHECK(shown.count(std::to_string(5000 + i)) == 1);   // 65 deadlocked
  for (std::uint64_t i = 60; i < 130; i += 2) CHECK(shown.count(std::to_string(5000 + i)) == 1);  // 35 oldest others
  // The sum is over all of them.
  const auto counted = family_of(families, "defused_stuck_pid_namespaces").samples;
  CHECK(counted.at(R"({wait_class="fuse_flush",verdict="deadlocked"})") == 65);
  CHECK(counted.at(R"({wait_class="fuse_flush",verdict="undetermined"})") == 65);
}

TEST_CASE("the connections of those namespaces are shown, then what has been stalled longest") {
  Report report = crowded_report();
  auto families = read_exposition(MetricsRenderer().render(view_of(report)));
  auto shown = first_labels(families, "defused_fuse_connection_info");
  CHECK(shown.size() == kMaxObjectSeries);
  CHECK(shown == first_labels(families, "defused_fuse_connection_waiting_requests"));
  for (const std::string& inode : first_labels(families, "defused_stuck_pid_namespace_info"))
    CHECK(shown.count(std::to_string(std::stoul(inode) - 4000)) == 1);
  // Of 20 namespaces: 80 places for 30 stalled and 5 orphaned ones, and all fit; of 80 the oldest stalled ones.
  report.findings.namespaces.resize(80);
  shown = first_labels(read_exposition(MetricsRenderer().render(view_of(report))), "defused_fuse_connection_info");
  for (std::uint32_t i = 0; i < 30; ++i) CHECK(shown.count(std::to_string(3000 + i)) == (i >= 10 ? 1 : 0));
  CHECK(shown.count("4000") == 0);
  report.findings.namespaces.resize(65);
  shown = first_labels(read_exposition(MetricsRenderer().render(view_of(report))), "defused_fuse_connection_info");
  CHECK(shown.size() == 100);
  CHECK(shown.count("3000") == 1);
  CHECK(shown.count("4004") == 1);
}

TEST_CASE("what a cap leaves out is counted once for each pass, whoever scrapes") {
  Report report = crowded_report();
  MetricsRenderer renderer;
  const auto dropped = [&](const std::string& family) {
    const auto families = read_exposition(renderer.render(view_of(report)));
    const auto samples = family_of(families, "defused_series_dropped_total").samples;
    return samples.at("{family=\"" + family + "\"}");
  };
  CHECK(dropped("defused_stuck_pid_namespace_info") == 30);
  CHECK(dropped("defused_stuck_pid_namespace_info") == 30);
  CHECK(dropped("defused_stuck_pid_namespace_since_timestamp_seconds") == 30);
  CHECK(dropped("defused_fuse_connection_info") == 65);
  CHECK(dropped("defused_fuse_connection_stalled_since_timestamp_seconds") == 30);  // the only ones that have one
  report.scanned_at = 2005s;
  CHECK(dropped("defused_stuck_pid_namespace_info") == 60);
  report.scanned_at = 2010s;
  report.findings = {};
  CHECK(dropped("defused_stuck_pid_namespace_info") == 60);  // a counter does not fall
  CHECK(dropped("defused_fuse_connection_stalled_since_timestamp_seconds") == 60);
}

TEST_CASE("a namespace that thousands of connections hold has a bounded label") {
  Report report = stuck_report();
  auto& held_by = report.findings.namespaces[0].connections;
  held_by.clear();
  for (std::uint32_t i = 0; i < 16; ++i) held_by.push_back({10 + i});
  const std::string sixteen = "connection=\"10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25";
  CHECK(MetricsRenderer().render(view_of(report)).find(sixteen + "\"") != std::string::npos);
  for (std::uint32_t i = 0; i < 3000; ++i) held_by.push_back({100 + i});
  CHECK(MetricsRenderer().render(view_of(report)).find(sixteen + ",+3000\"") != std::string::npos);
}
