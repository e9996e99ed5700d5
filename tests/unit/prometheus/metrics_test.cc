// SPDX-License-Identifier: Apache-2.0
#include "exporters/prometheus/metrics.h"

#include <stdlib.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <fstream>

#include "exporters/prometheus/catalogue.h"
#include "exposition.h"
#include "temporary_directory.h"

using namespace defused;

namespace {

// Everything that has a family is there.
View full_view() {
  Report report = stuck_report();
  report.findings.stuck_exits = {StuckExit{}};
  report.findings.connections[0].orphaned = true;
  report.remedy.abort_budget = 3;
  View view = view_of(std::move(report));
  PassResult pass = *view.pass;
  pass.memory.counters.read_gaps = {{{"stack", "denied"}, 5}};
  pass.memory.counters.recovery_duration = Histogram{{60}, {1, 0}, 59.5};
  view.pass = std::make_shared<const PassResult>(std::move(pass));
  view.supervisor.supervisor = {1.5, 4096, 9, 1000};
  view.supervisor.prober = {2.5, 8192, 8, 1001};
  view.front = {0.5, 4096, 7, 1002};
  return view;
}

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& each : words) text += (text.empty() ? "" : ", ") + each;
  return text;
}

bool ends_with(const std::string& text, const std::string& end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

}  // namespace

TEST_CASE("a stuck namespace in all its families") {
  MetricsRenderer renderer;
  const std::string text = renderer.render(view_of(stuck_report()));
  CHECK(has_line(text, R"(defused_stuck_pid_namespaces{wait_class="fuse_flush",verdict="deadlocked"} 1)"));
  CHECK(has_line(text, R"(defused_dying_pid_namespaces{state="reaping"} 1)"));
  CHECK(has_line(text, R"(defused_dying_pid_namespaces{state="draining"} 0)"));
  CHECK(has_line(text, R"(defused_stuck_pid_namespace_info{pid_namespace="4026532178",init_pid="4711",)"
                       R"(container_id="abc\\xff\"<script>",runtime="docker",pod_uid="uid",wait_class="fuse_flush",)"
                       R"(verdict="deadlocked",connection="40,41"} 1)"));
  CHECK(has_line(text, R"(defused_stuck_pid_namespace_since_timestamp_seconds{pid_namespace="4026532178"} 1000)"));
  CHECK(has_line(text, R"(defused_holds{reason="too_young"} 1)"));
  CHECK(has_line(text, R"(defused_blind{what="fusectl"} 1)"));
  CHECK(has_line(text, R"(defused_blind{what="stack"} 0)"));
  CHECK(has_line(text, "defused_fuse_connections 2"));
  CHECK(has_line(text, "defused_fuse_waiting_requests 4"));
  CHECK(has_line(text, R"(defused_fuse_connection_info{connection="40",fstype="fuse.s3fs",)"
                       R"(source="https://bucket/path",server_state="none"} 1)"));
  CHECK(text.find(R"(connection="42")") == std::string::npos);  // neither stuck, stalled nor orphaned
  CHECK(text.find("secret") == std::string::npos);
  CHECK(has_line(text, R"(defused_aborts_total{outcome="released"} 0)"));
  CHECK(has_line(text, "defused_scans_total 7"));
  CHECK(has_line(text, R"(defused_scan_duration_seconds_bucket{le="1"} 7)"));
  CHECK(has_line(text, "defused_kernel_fuse_request_timeout_seconds 30"));
}

TEST_CASE("circuit breaker, pause and budget: zeros too") {
  MetricsRenderer renderer;
  Report report;
  report.remedy.abort_budget = 3;
  report.remedy.breaker_cause = BreakerCause::ledger_lost;  // closed: a cause alone opens nothing
  std::string text = renderer.render(view_of(report));
  CHECK(has_line(text, R"(defused_breaker_open{cause="failed_outcomes"} 0)"));
  CHECK(has_line(text, R"(defused_breaker_open{cause="ledger_lost"} 0)"));
  CHECK(text.find(R"(cause="none")") == std::string::npos);
  CHECK(has_line(text, "defused_inhibited 0"));
  CHECK(has_line(text, "defused_abort_budget_remaining 3"));
  report.remedy.breaker_open = true;
  report.remedy.inhibited = true;
  report.remedy.abort_budget = 0;
  text = renderer.render(view_of(report));
  CHECK(has_line(text, R"(defused_breaker_open{cause="failed_outcomes"} 0)"));
  CHECK(has_line(text, R"(defused_breaker_open{cause="ledger_lost"} 1)"));
  CHECK(has_line(text, "defused_inhibited 1"));
  CHECK(has_line(text, "defused_abort_budget_remaining 0"));
}

TEST_CASE("holds are counted by gate, of stuck namespaces only") {
  Report report = stuck_report();
  report.findings.namespaces.push_back(stuck_namespace(5001));
  report.findings.namespaces.push_back(stuck_namespace(5002));
  report.findings.namespaces[2].stuck = false;
  Decision second;
  second.reasons = {Gate::too_young, Gate::vetoed};
  report.decisions.push_back(second);
  second.reasons = {Gate::progressing};
  report.decisions.push_back(second);
  const std::string text = MetricsRenderer().render(view_of(report));
  CHECK(has_line(text, R"(defused_holds{reason="mode"} 1)"));
  CHECK(has_line(text, R"(defused_holds{reason="too_young"} 2)"));
  CHECK(has_line(text, R"(defused_holds{reason="vetoed"} 1)"));
  CHECK(text.find("progressing") == std::string::npos);
}

TEST_CASE("a namespace that is dying but not stuck has no series of its own, nor has its connection") {
  Report report = stuck_report();
  report.findings.namespaces[0].stuck = false;
  report.findings.connections[0].stalled_since.reset();
  const std::string text = MetricsRenderer().render(view_of(report));
  CHECK(has_line(text, R"(defused_dying_pid_namespaces{state="reaping"} 1)"));
  for (const char* absent : {"defused_stuck_pid_namespace", "defused_fuse_connection_", "defused_holds"})
    CHECK(text.find("\n" + std::string(absent)) == std::string::npos);
}

TEST_CASE("series of gone objects vanish") {
  MetricsRenderer renderer;
  REQUIRE(renderer.render(view_of(stuck_report())).find("4026532178") != std::string::npos);
  Report empty;
  empty.scanned_at = 2005s;
  const std::string text = renderer.render(view_of(std::move(empty)));
  CHECK(text.find("4026532178") == std::string::npos);
  CHECK(text.find("defused_stuck_pid_namespaces") == std::string::npos);
}

TEST_CASE("before the first pass: blind, and nothing that needs one") {
  MetricsRenderer renderer;
  const std::string text = renderer.render(View{});
  CHECK(has_line(text, R"(defused_blind{what="prober"} 1)"));
  for (const char* unknown_yet : {"bpf", "fusectl", "processes", "stack"})
    CHECK(text.find(unknown_yet) == std::string::npos);  // neither 1 nor 0: nobody has looked
  CHECK(text.find("defused_build_info{") != std::string::npos);
  for (const char* name : {"defused_pid_namespaces", "defused_breaker_open", "defused_inhibited", "defused_abort_"})
    CHECK(text.find(name) == std::string::npos);
}

TEST_CASE("every family of the table is shown, as the table describes it and in its order") {
  const std::vector<ReadFamily> families = read_exposition(MetricsRenderer().render(full_view()));
  REQUIRE(families.size() == metric_catalogue().size());
  for (std::size_t i = 0; i < families.size(); ++i) {
    const FamilyRow& row = metric_catalogue()[i];
    CAPTURE(row.name);
    CHECK(families[i].name == row.name);
    CHECK(families[i].help == row.help);
    CHECK(joined(families[i].labels) == row.labels);
  }
}

TEST_CASE("names, types and texts follow the conventions of Prometheus") {
  for (const FamilyRow& row : metric_catalogue()) {
    CAPTURE(row.name);
    const std::string name = row.name;
    const std::string help = row.help;
    CHECK(name.rfind("defused_", 0) == 0);
    CHECK((row.type == prometheus::MetricType::Counter) == ends_with(name, "_total"));
    CHECK(help.back() == '.');
    CHECK(help.find_first_of("\\\n|") == std::string::npos);
    CHECK(std::string(row.meaning).size() > 10);
    CHECK(std::string(row.query).find(name) != std::string::npos);
    if (ends_with(name, "_info")) CHECK(ends_with(help, "always 1."));
    if (name.find("time") != std::string::npos && name.find("timeout") == std::string::npos)
      CHECK((ends_with(name, "_timestamp_seconds") || ends_with(name, "start_time_seconds")));
    for (const char* unit : {"milli", "micro", "nano", "minutes", "percent", "kilo"})
      CHECK(name.find(unit) == std::string::npos);
  }
}

TEST_CASE("counters and small sets of labels are there with 0 before anything happens") {
  View view;
  view.pass = std::make_shared<const PassResult>();  // not even what the prober puts there
  std::map<std::string, ReadFamily> shown;
  for (ReadFamily& family : read_exposition(MetricsRenderer().render(view))) shown[family.name] = std::move(family);
  const std::map<std::string, std::size_t> sizes = {{"defused_scans_total", 1},
                                                    {"defused_scan_failures_total", 1},
                                                    {"defused_probers_lost_total", 1},
                                                    {"defused_blind", 5},
                                                    {"defused_dying_pid_namespaces", 3},
                                                    {"defused_series_dropped_total", 5},
                                                    {"defused_remediation_mode", 3},
                                                    {"defused_decisions_total", 2},
                                                    {"defused_aborts_total", 7},
                                                    {"defused_breaker_open", 2},
                                                    {"defused_inhibited", 1},
                                                    {"defused_recovery_duration_seconds", 3},
                                                    {"defused_fuse_connections", 1},
                                                    {"defused_pid_namespaces", 1},
                                                    {"defused_fuse_waiting_requests", 1},
                                                    {"defused_scan_duration_seconds", 3}};
  for (const auto& [name, size] : sizes) {
    CAPTURE(name);
    CHECK(shown[name].samples.size() == size);
  }
  // As they occur: 17 wait classes, 23 gates, files and processes that nobody has seen yet.
  for (const char* name : {"defused_stuck_pid_namespaces", "defused_stuck_exits", "defused_holds",
                           "defused_read_gaps_total", "defused_process_open_fds"})
    CHECK(shown.count(name) == 0);
}

TEST_CASE("a histogram counts upwards to its count") {
  const std::string text = MetricsRenderer().render(full_view());
  for (const char* line :
       {R"(defused_scan_duration_seconds_bucket{le="0.1"} 5)", R"(defused_scan_duration_seconds_bucket{le="1"} 7)",
        R"(defused_scan_duration_seconds_bucket{le="+Inf"} 7)", "defused_scan_duration_seconds_count 7",
        "defused_scan_duration_seconds_sum 0.9"})
    CHECK(has_line(text, line));
}

TEST_CASE("a process that is not running has no series") {
  View view = full_view();
  view.supervisor.prober = {};
  const std::string text = MetricsRenderer().render(view);
  CHECK(has_line(text, R"(defused_process_cpu_seconds_total{process="front"} 0.5)"));
  CHECK(text.find(R"(process="prober")") == std::string::npos);
}

TEST_CASE("promtool finds nothing to complain about, whatever is wrong") {
  Report many;
  for (std::uint64_t i = 0; i < 200; ++i) {
    many.findings.namespaces.push_back(stuck_namespace(5000 + i));
    ConnectionFinding connection;
    connection.id = {static_cast<std::uint32_t>(100 + i)};
    connection.stalled_since = 5s;
    many.findings.connections.push_back(connection);
  }
  Report hostile = stuck_report();
  for (const char* text : {"\xff\xfe\n# HELP x\n\"}\\", "\x1b[31m{}=,\"\r\n", "\xed\xa0\x80\x01"}) {
    hostile.kernel.release = text;
    NamespaceFinding& found = hostile.findings.namespaces[0];
    found.container = Container{text, text, text};
    hostile.findings.connections[0].fstype = text;
    hostile.findings.connections[0].source = text;
    hostile.findings.namespaces.push_back(found);
    hostile.findings.namespaces.back().id.inode += hostile.findings.namespaces.size();
  }
  Report healthy;
  const std::vector<std::pair<const char*, View>> views = {
      {"before the first pass", View{}}, {"healthy", view_of(healthy)}, {"stuck", view_of(stuck_report())},
      {"everything", full_view()},       {"hostile", view_of(hostile)}, {"200 stuck", view_of(many)}};
  for (const auto& [name, view] : views) {
    CAPTURE(name);
    const std::string text = MetricsRenderer().render(view);
    CHECK_FALSE(read_exposition(text).empty());
    const auto [code, words] = check_with_promtool(text);
    CAPTURE(words);
    CHECK(code == 0);
    CHECK(words.empty());
  }
}

TEST_CASE("docs/METRICS.md describes each family once, with an example") {
  const std::string doc = render_metrics_doc();
  for (const FamilyRow& row : metric_catalogue()) {
    CAPTURE(row.name);
    const std::string heading = "\n## " + std::string(row.name) + "\n";
    const std::size_t at = doc.find(heading);
    REQUIRE(at != std::string::npos);
    CHECK(doc.find(heading, at + 1) == std::string::npos);
    const std::size_t end = std::min(doc.find("\n## ", at + 1), doc.size());
    const std::string section = doc.substr(at, end - at);
    for (const char* part : {row.labels, row.help, row.meaning, row.query})
      CHECK(section.find(part) != std::string::npos);
    CHECK(section.find("\n    " + std::string(row.query) + "\n") != std::string::npos);
    CHECK(doc.find("| [" + std::string(row.name) + "](#") != std::string::npos);
  }
}

TEST_CASE("docs/METRICS.md is what the table says") {
  const std::string doc = render_metrics_doc();
  if (getenv("DEFUSED_WRITE_DOCS") != nullptr) std::ofstream("docs/METRICS.md") << doc;
  CHECK(read_whole("docs/METRICS.md") == doc);
}
