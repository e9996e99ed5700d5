// SPDX-License-Identifier: Apache-2.0
// The captures of three kernels, judged by the whole cycle.
#include <catch2/catch.hpp>

#include "capture_cycle.h"
#include "model/find_connection.h"

using namespace defused;

namespace {

struct Expected {
  std::string capture;
  NamespaceId pid_namespace;
  pid_t init;
  pid_t blocked_tid;
  WaitClass wait_class;
  ConnectionId connection;
  Evidence evidence;
};

const std::vector<Expected> kDeadlocks = {
    {"linux-6.1.192-flush", {4026532115}, 93, 94, WaitClass::fuse_flush, {23}, Evidence::inferred},
    {"linux-6.1.192-mmap", {4026532115}, 1977, 1979, WaitClass::fuse_flush, {23}, Evidence::inferred},
    {"linux-6.12.107-flush", {4026532115}, 148, 151, WaitClass::fuse_flush, {25}, Evidence::inferred},
    {"linux-6.12.107-mmap", {4026532115}, 2378, 2379, WaitClass::fuse_flush, {25}, Evidence::inferred},
    {"linux-6.18.44-flush", {4026532178}, 3898, 3901, WaitClass::fuse_flush, {40}, Evidence::proven},
    {"linux-6.18.44-mmap", {4026532178}, 4955, 4959, WaitClass::fuse_writeback, {40}, Evidence::proven},
    {"linux-6.18.44-docker", {4026532180}, 7245, 7261, WaitClass::fuse_flush, {50}, Evidence::proven},
};

}  // namespace

TEST_CASE("each captured deadlock gets its verdict") {
  for (const Expected& expected : kDeadlocks) {
    CAPTURE(expected.capture);
    ManualClock clock({10000s, 1'800'000'000s});
    const auto cycle = make_capture_cycle(expected.capture, clock);
    REQUIRE(cycle);
    const Report report = run_passes(*cycle, clock, 3);
    REQUIRE(report.findings.namespaces.size() == 1);
    const NamespaceFinding& found = report.findings.namespaces[0];
    CHECK(found.state == DyingState::reaping);
    CHECK(found.id.inode == expected.pid_namespace.inode);
    CHECK(found.init.pid == expected.init);
    CHECK(found.init.start_ticks > 0);
    CHECK(to_string(found.wait_class) == to_string(expected.wait_class));
    CHECK(to_string(found.verdict) == "deadlocked");
    CHECK(to_string(found.evidence) == to_string(expected.evidence));
    CHECK(found.stuck);
    CHECK_FALSE(found.gap);
    REQUIRE(found.blocked_threads.size() == 1);
    CHECK(found.blocked_threads[0].id.tid == expected.blocked_tid);
    CHECK(to_string(found.blocked_threads[0].attribution) == "only_candidate");
    CHECK(found.connections == std::vector{expected.connection});
    const ConnectionFinding* connection = find_connection(report, expected.connection);
    REQUIRE(connection != nullptr);
    CHECK(to_string(connection->server_state) == "none");
    CHECK(connection->fstype == "fuse.ndrive");
    CHECK(connection->outside_users == 0U);
    CHECK(connection->outside_viewers == 0U);
    CHECK(report.findings.stuck_exits.empty());
  }
}

TEST_CASE("healthy captures: nothing is found") {
  for (const char* name : {"linux-6.1.192-healthy", "linux-6.12.107-healthy", "linux-6.18.44-healthy"}) {
    CAPTURE(name);
    ManualClock clock({10000s, 1'800'000'000s});
    const auto cycle = make_capture_cycle(name, clock);
    REQUIRE(cycle);
    const Report report = run_passes(*cycle, clock, 3);
    CHECK(report.findings.namespaces.empty());
    CHECK(report.findings.stuck_exits.empty());
    CHECK(report.findings.connections.size() == 1);
    CHECK(report.pid_namespace_count == 1);
  }
}

TEST_CASE("the Docker capture: its container, and a second waiting connection that nobody shows") {
  ManualClock clock({10000s, 1'800'000'000s});
  const auto cycle = make_capture_cycle("linux-6.18.44-docker", clock);
  REQUIRE(cycle);
  const Report report = run_passes(*cycle, clock, 3);
  REQUIRE(report.findings.namespaces.size() == 1);
  const auto& container = report.findings.namespaces[0].container;
  REQUIRE(container);
  CHECK(container->id == "3bd9ede1fe0b02766920dc46597acfc53e635a5a9bc494cce3d79e78e75b5bde");
  CHECK(container->runtime == "docker");
  // Connection 52 waits too and is in no mountinfo of the capture: an abort of 50 would rest on a guess.
  const auto& reasons = report.decisions[0].reasons;
  CHECK(std::find(reasons.begin(), reasons.end(), Gate::connection_ambiguous) != reasons.end());
}

TEST_CASE("ages come from sched, counted in the capture's own time") {
  ManualClock clock({10000s, 1'800'000'000s});
  const auto cycle = make_capture_cycle("linux-6.18.44-flush", clock);
  REQUIRE(cycle);
  const Report report = run_passes(*cycle, clock, 2);
  // exec_start 3292.530 s, uptime 3295.76 s, and five seconds between the two passes.
  CHECK(report.findings.namespaces.at(0).stuck_for > 8s);
  CHECK(report.findings.namespaces.at(0).stuck_for < 9s);
}

TEST_CASE("observe holds for the mode alone, where all else would allow it") {
  ManualClock clock({10000s, 1'800'000'000s});
  const auto cycle = make_capture_cycle("linux-6.18.44-flush", clock);
  REQUIRE(cycle);
  const Report report = run_passes(*cycle, clock, 3);
  REQUIRE(report.decisions.size() == 1);
  CHECK(report.decisions[0].reasons == std::vector{Gate::mode});
  CHECK(report.decisions[0].connection == ConnectionId{40});
}

TEST_CASE("enforce holds where the record cannot be written") {
  ManualClock clock({10000s, 1'800'000'000s});
  const auto cycle = make_capture_cycle("linux-6.18.44-flush", clock, Mode::enforce);
  REQUIRE(cycle);
  const Report report = run_passes(*cycle, clock, 4);
  REQUIRE(report.decisions.size() == 1);
  CHECK(report.decisions[0].reasons == std::vector{Gate::record_unwritable});
  CHECK(report.outcomes.empty());
}
