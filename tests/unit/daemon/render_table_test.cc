// SPDX-License-Identifier: Apache-2.0
#include "daemon/render_table.h"

#include <catch2/catch.hpp>

#include "daemon/describe.h"

using namespace defused;

TEST_CASE("ages for people") {
  CHECK(render_age(400ms) == "0.4s");
  CHECK(render_age(59s) == "59s");
  CHECK(render_age(192s) == "3m12s");
  CHECK(render_age(2h + 5min) == "2h05m");
}

TEST_CASE("the table says what is blind and how to mend it") {
  Report report;
  report.host = "h";
  report.kernel.release = "6.1";
  report.blind = {"fusectl", "stack"};
  add_gap(report.gaps, "fdinfo", ErrorKind::denied);
  const std::string table = render_table(report, ExposeSource::redacted);
  CHECK(table.find("mount -t fusectl fusectl /sys/fs/fuse/connections") != std::string::npos);
  CHECK(table.find("CAP_SYS_ADMIN") != std::string::npos);
  CHECK(table.find("fdinfo (denied, 1x)") != std::string::npos);
  add_gap_process(report.gap_processes, {"fdinfo", ErrorKind::denied}, {4711, "python"});
  CHECK(render_table(report, ExposeSource::redacted).find("fdinfo (denied, 1x: 4711 'python')") != std::string::npos);
}

TEST_CASE("the table says in one line each that actions are paused, or that the breaker is open") {
  Report report;
  const std::string calm = render_table(report, ExposeSource::redacted);
  CHECK(calm.find("inhibited") == std::string::npos);
  CHECK(calm.find("breaker") == std::string::npos);
  report.remedy.inhibited = true;
  report.remedy.inhibited_reason = "kernel upgrade";
  report.remedy.inhibited_since = 1000s;
  CHECK(render_table(report, ExposeSource::redacted).find("breaker") == std::string::npos);
  CHECK(render_table(report, ExposeSource::redacted).find("\nPaused (inhibited)") != std::string::npos);
  report.remedy.breaker_open = true;
  report.remedy.breaker_cause = BreakerCause::ledger_lost;
  report.remedy.breaker_detail = "wrong checksum";
  const std::string table = render_table(report, ExposeSource::redacted);
  CHECK(table.find("\nPaused (inhibited) since 1970-01-01T00:16:40.000Z: kernel upgrade\n") != std::string::npos);
  CHECK(table.find("\nCircuit breaker open (ledger_lost): wrong checksum; to close it: defused resume "
                   "--reset-breaker\n") != std::string::npos);
}

TEST_CASE("an action in one line") {
  OutcomeRecord action{NamespaceId{7}, ConnectionId{40}, Outcome::released, "all gone", 62s, 1000s};
  CHECK(describe_action(action) ==
        "1970-01-01T00:16:40.000Z, connection 40 for PID namespace 7: `released` after 1m02s: all gone");
  action = {NamespaceId{0}, ConnectionId{0}, Outcome::write_failed, "", 0s, 1000s, true};
  CHECK(describe_action(action) == "1970-01-01T00:16:40.000Z, by hand: `write_failed`");
}

TEST_CASE("on a screen the table is wrapped; what is bad has a colour") {
  Report report;
  report.host = "a-host-with-a-name";
  report.kernel.release = "6.1.0-13-amd64";
  NamespaceFinding finding;
  finding.id = {4026532178};
  finding.init = {4711, 1};
  finding.init_comm = "tini";
  finding.stuck = true;
  finding.verdict = Verdict::deadlocked;
  finding.container = Container{"0123456789ab", "docker", ""};
  finding.blocked_threads.resize(1);
  finding.blocked_threads[0].comm = "s3fs";
  report.findings.namespaces = {finding};
  report.blind = {"fusectl"};
  const std::string table = render_table(report, ExposeSource::redacted, Screen{40, false});
  for (std::size_t at = 0; at < table.size();) {
    const std::size_t end = table.find('\n', at);
    const std::string line = table.substr(at, end - at);
    at = end + 1;
    CAPTURE(line);
    CHECK((line.size() <= 40 || line == "    mount -t fusectl fusectl /sys/fs/fuse/connections"));
  }
  const std::string painted = render_table(report, ExposeSource::redacted, Screen{80, true});
  CHECK(painted.find("\033[2mverdict     \033[0m\033[1;31mdeadlocked") != std::string::npos);
}
