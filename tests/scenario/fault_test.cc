// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "fault_sweep.h"

using namespace defused;

namespace {

void check_sweep(const std::string& name, const std::vector<ErrorKind>& kinds) {
  CAPTURE(name);
  const FaultSweep sweep = sweep_faults(std::string(DEFUSED_CAPTURES) + "/" + name, kinds);
  CHECK(sweep.violations == std::vector<std::string>());
  CHECK(sweep.reads > 8);
  CHECK(sweep.weakened > sweep.reads / 4);
}

}  // namespace

TEST_CASE("a failing n-th read never says more than the whole data, where nothing is wrong") {
  check_sweep("linux-6.18.44-healthy", {ErrorKind::gone});
  for (const char* name : {"linux-6.18.44-healthy", "linux-6.12.107-healthy", "linux-6.1.192-healthy"}) {
    check_sweep(name, kFailures);
  }
}

TEST_CASE("a failing n-th read never says more than the whole data, in a deadlock") {
  for (const char* name : {"linux-6.18.44-flush", "linux-6.18.44-mmap", "linux-6.18.44-docker"}) {
    check_sweep(name, kFailures);
  }
}

TEST_CASE("a stronger claim is noticed") {
  Report told = judge_tree(std::string(DEFUSED_CAPTURES) + "/linux-6.18.44-flush");
  REQUIRE(told.findings.namespaces.size() == 1);
  CHECK(find_stronger_claim(told, told).empty());
  Report weaker = told;
  weaker.findings.namespaces[0].verdict = Verdict::undetermined;
  weaker.findings.namespaces[0].blocked_threads[0].verdict = Verdict::undetermined;
  weaker.findings.connections[0].server_state = ServerState::unknown;
  weaker.findings.connections[0].outside_users.reset();
  weaker.decisions[0].reasons = {Gate::mode, Gate::verdict};
  CHECK(find_stronger_claim(told, weaker).empty());
  SECTION("a deadlock") { CHECK_FALSE(find_stronger_claim(weaker, told).empty()); }
  SECTION("another connection") {
    Report other = told;
    other.findings.namespaces[0].blocked_threads[0].connection = ConnectionId{4711};
    CHECK_FALSE(find_stronger_claim(told, other).empty());
  }
  SECTION("no user") {
    Report used = told;
    used.findings.connections[0].outside_users = 1;
    CHECK_FALSE(find_stronger_claim(used, told).empty());
  }
  SECTION("no gate") {
    Report held = told;
    held.decisions[0].reasons = {Gate::mode, Gate::outside_viewers};
    CHECK_FALSE(find_stronger_claim(held, told).empty());
  }
}
