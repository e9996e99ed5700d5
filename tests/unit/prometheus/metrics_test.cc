// SPDX-License-Identifier: Apache-2.0
#include "exporters/prometheus/metrics.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <fstream>
#include <sstream>

#include "exporters/prometheus/catalogue.h"

using namespace defused;

namespace {

NamespaceFinding stuck_namespace(std::uint64_t inode) {
  NamespaceFinding finding;
  finding.id = {inode};
  finding.init = {4711, 99};
  finding.init_comm = "init";
  finding.state = DyingState::reaping;
  finding.wait_class = WaitClass::fuse_flush;
  finding.verdict = Verdict::deadlocked;
  finding.evidence = Evidence::proven;
  finding.since = 1000s;
  finding.stuck = true;
  finding.container = Container{"abc\\xff\"<script>", "docker", "uid"};
  finding.connections = {{40}, {41}};
  return finding;
}

View view_of(Report report) {
  View view;
  PassResult pass;
  pass.report = std::move(report);
  for (const Action action : AllWords<Action>::values) pass.memory.counters.decisions[action] = 0;
  for (const Outcome outcome : AllWords<Outcome>::values) pass.memory.counters.aborts[outcome] = 0;
  pass.memory.counters.scans = 7;
  pass.memory.counters.scan_duration = Histogram{{0.1, 1}, {5, 2, 0}, 0.9};
  view.pass = std::make_shared<const PassResult>(std::move(pass));
  return view;
}

Report stuck_report() {
  Report report;
  report.scanned_at = 2000s;
  report.kernel.release = "6.18.44";
  report.kernel.max_request_timeout_seconds = 0;
  report.kernel.default_request_timeout_seconds = 30;
  report.blind = {"fusectl"};
  report.findings.namespaces = {stuck_namespace(4026532178)};
  ConnectionFinding connection;
  connection.id = {40};
  connection.fstype = "fuse.s3fs";
  connection.source = "https://user:secret@bucket/path?token=1";
  connection.waiting = 3;
  connection.stalled_since = 1000s;
  connection.server_state = ServerState::none;
  ConnectionFinding healthy;
  healthy.id = {42};
  healthy.waiting = 1;
  report.findings.connections = {connection, healthy};
  Decision decision;
  decision.reasons = {Gate::mode, Gate::too_young};
  report.decisions = {decision};
  return report;
}

bool has_line(const std::string& text, const std::string& line) {
  return ("\n" + text).find("\n" + line + "\n") != std::string::npos;
}

std::string read_whole(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

// Exit code of promtool check metrics with `text` on its standard input; -1 where it is not installed.
int check_with_promtool(const std::string& text) {
  if (access("/usr/bin/promtool", X_OK) != 0) return -1;
  std::string name = "/tmp/defused-metrics-XXXXXX";
  const int file = mkstemp(name.data());
  REQUIRE(write(file, text.data(), text.size()) == static_cast<ssize_t>(text.size()));
  lseek(file, 0, SEEK_SET);
  const pid_t child = fork();
  if (child == 0) {
    dup2(file, STDIN_FILENO);
    execl("/usr/bin/promtool", "promtool", "check", "metrics", nullptr);
    _exit(127);
  }
  int status = 0;
  waitpid(child, &status, 0);
  close(file);
  unlink(name.c_str());
  return WEXITSTATUS(status);
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
  CHECK(text.find("defused_build_info{") != std::string::npos);
  for (const char* name : {"defused_pid_namespaces", "defused_breaker_open", "defused_inhibited", "defused_abort_"})
    CHECK(text.find(name) == std::string::npos);
}

TEST_CASE("a cap that bites is counted once for each pass, whoever scrapes") {
  Report report;
  report.scanned_at = 2000s;
  for (std::uint64_t i = 0; i < 130; ++i) report.findings.namespaces.push_back(stuck_namespace(5000 + i));
  MetricsRenderer renderer;
  const std::string line = R"(defused_series_dropped_total{family="defused_stuck_pid_namespace_info"} )";
  CHECK(has_line(renderer.render(view_of(report)), line + "30"));
  CHECK(has_line(renderer.render(view_of(report)), line + "30"));
  report.scanned_at = 2005s;
  CHECK(has_line(renderer.render(view_of(report)), line + "60"));
}

TEST_CASE("promtool finds nothing to complain about") {
  MetricsRenderer renderer;
  const int code = check_with_promtool(renderer.render(view_of(stuck_report())));
  if (code < 0)
    WARN("promtool is not installed");
  else
    CHECK(code == 0);
}

TEST_CASE("docs/METRICS.md is what the table says") {
  const std::string doc = render_metrics_doc();
  if (getenv("DEFUSED_WRITE_DOCS") != nullptr) std::ofstream("docs/METRICS.md") << doc;
  CHECK(read_whole("docs/METRICS.md") == doc);
}
