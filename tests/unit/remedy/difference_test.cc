// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "fakes.h"
#include "remedy/remedy.h"

namespace defused {

namespace {

World::SecondLook look_at(const Asked& asked) { return {asked.findings, asked.decide_all()}; }

}  // namespace

TEST_CASE("The same situation has no difference") {
  Asked asked = make_clear_case();
  const RemedyOrder order = make_order(asked);
  CHECK(describe_difference(order, look_at(asked)) == "");
  SECTION("nor with more samples, age and requests") {
    asked.thread().samples += 1;
    asked.thread().blocked_for += std::chrono::seconds(5);
    asked.finding().stuck_for += std::chrono::seconds(5);
    asked.connection().waiting += 1;
  }
  SECTION("nor with a thread that got blocked since") {
    asked.finding().blocked_threads.push_back(make_waiting_thread(2000, 40));
  }
  SECTION("nor with another namespace before it") {
    asked.findings.namespaces.insert(asked.findings.namespaces.begin(), make_stuck_namespace(39));
  }
  SECTION("nor with mounts in another order") {
    asked.connection().mount_ids = {78, 77};
    RemedyOrder two = order;
    two.connection.mount_ids = {77, 78};
    CHECK(describe_difference(two, look_at(asked)) == "");
    return;
  }
  CHECK(describe_difference(order, look_at(asked)) == "");
}

TEST_CASE("Only threads that wait for the connection are compared") {
  Asked asked = make_clear_case();
  BlockedThread other = make_waiting_thread(2000, 41);
  other.connection.reset();
  asked.finding().blocked_threads.push_back(other);
  const RemedyOrder order = make_order(asked);
  asked.finding().blocked_threads.pop_back();
  CHECK(describe_difference(order, look_at(asked)) == "");
}

TEST_CASE("All threads that wait for the connection are compared") {
  Asked asked = make_clear_case();
  asked.finding().blocked_threads.push_back(make_waiting_thread(2000, 40));
  const RemedyOrder order = make_order(asked);
  asked.finding().blocked_threads.back().context_switches += 1;
  CHECK(describe_difference(order, look_at(asked)) == "thread 2000 (ndrive) has run: 17 context switches became 18");
}

TEST_CASE("A thread of another process with the same number is another thread") {
  Asked asked = make_clear_case();
  const RemedyOrder order = make_order(asked);
  asked.thread().pid = 5;
  CHECK(describe_difference(order, look_at(asked)) ==
        "thread 1040 (ndrive) is another thread now, with the same number");
}

TEST_CASE("An order that rests on no thread is never the same") {
  const Asked asked = make_clear_case();
  RemedyOrder order = make_order(asked);
  order.finding.blocked_threads.clear();
  CHECK(describe_difference(order, look_at(asked)) == "no blocked thread of the order waits for connection 40");
}

}  // namespace defused
