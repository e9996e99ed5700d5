// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "bpf/file_reader.h"
#include "bpf/wait_reader.h"

using namespace defused;

namespace {

std::vector<ProcessBrief> processes() {
  ProcessBrief brief;
  brief.pid = 10;
  brief.name = "server";
  return {brief};
}

OpenFuseFile device(pid_t pid, std::uint32_t connection, std::uint64_t oldest = 0) {
  return {ProcessId{pid, 100U * static_cast<std::uint64_t>(pid)}, true, ConnectionId{connection}, oldest};
}
OpenFuseFile file(pid_t pid, std::uint32_t connection) {
  return {ProcessId{pid, 100U * static_cast<std::uint64_t>(pid)}, false, ConnectionId{connection}, 0};
}

bool is_there(pid_t /*pid*/) { return true; }

}  // namespace

TEST_CASE("what the kernel says makes an incomplete index whole") {
  Surroundings around;
  around.holders_complete = around.users_complete = false;
  REQUIRE(merge_open_files({device(10, 40), device(10, 40), device(10, 0), file(11, 40), file(11, 40)}, processes(),
                           is_there, around));
  CHECK(around.exact);
  CHECK(around.holders_complete);
  CHECK(around.users_complete);
  REQUIRE(around.holders.size() == 1);
  CHECK(around.holders[0].pid == 10);
  CHECK(around.holders[0].name == "server");
  CHECK(around.holders[0].connections == std::vector{ConnectionId{40}});
  REQUIRE(around.users.size() == 1);
  CHECK(around.users[0].id == ProcessId{11, 1100});
  CHECK(around.users[0].connections == std::vector{ConnectionId{40}});
}

TEST_CASE("what /proc saw stays, and a descriptor without a name gets one") {
  Surroundings around;
  around.holders = {DeviceHolder{10, "server", 77, {}, 1}};
  REQUIRE(merge_open_files({device(10, 40)}, processes(), is_there, around));
  REQUIRE(around.holders.size() == 1);
  CHECK(around.holders[0].start_ticks == 77);
  CHECK(around.holders[0].connections == std::vector{ConnectionId{40}});
}

TEST_CASE("a holder that the kernel's list does not have: the list is not believed") {
  Surroundings around;
  around.holders = {DeviceHolder{10, "server", 0, {{40}}, 0}};
  around.holders_complete = false;
  CHECK_FALSE(merge_open_files({device(11, 41)}, processes(), is_there, around));
  CHECK_FALSE(around.exact);
  CHECK_FALSE(around.holders_complete);
  CHECK(around.holders.size() == 1);
}

TEST_CASE("a holder that ended between the two readings contradicts nothing") {
  Surroundings around;
  around.holders = {DeviceHolder{10, "server", 0, {{40}}, 0}};
  REQUIRE(merge_open_files(
      {device(11, 41)}, processes(), [](pid_t pid) { return pid != 10; }, around));
  CHECK(around.exact);
  REQUIRE(around.holders.size() == 1);
  CHECK(around.holders[0].pid == 11);
}

TEST_CASE("a worker of io_uring, or a thread that exits, does not make its process one that was told to die") {
  TaskWait worker;
  worker.pid = 10;
  TaskWait leaver;
  leaver.pid = 11;
  leaver.group_exit = true;
  CHECK(told_to_die({worker, leaver, leaver}) == std::set<pid_t>{11});
}

TEST_CASE("the oldest request of a connection, over all descriptors of its servers") {
  const auto oldest =
      oldest_requests({device(10, 40, 8), device(11, 40, 4), device(12, 40), device(13, 41), file(14, 42)});
  CHECK(oldest == std::map<ConnectionId, std::uint64_t>{{{40}, 4}, {{41}, 0}});
}

TEST_CASE("a wait is put beside the thread with that TID and start time, and no other") {
  ProcessSample process;
  process.id = {10, 1000};
  for (const std::uint64_t start : {1000U, 1001U}) {
    ThreadSample thread;
    thread.id = {start == 1000U ? 10 : 11, start};
    process.threads.push_back(thread);
  }
  std::vector<ProcessSample> suspects = {process};
  TaskWait known{10, {10, 1000}, ConnectionId{40}, {ConnectionId{40}, ConnectionId{41}}, true};
  TaskWait recycled{10, {11, 7}, ConnectionId{42}, {}, true};
  merge_waits({known, recycled}, suspects);
  CHECK(suspects[0].threads[0].queued == ConnectionId{40});
  CHECK(suspects[0].threads[0].on_stack->size() == 2);
  CHECK_FALSE(suspects[0].threads[1].queued);
  CHECK_FALSE(suspects[0].threads[1].on_stack);

  known.on_stack_complete = false;
  suspects = {process};
  merge_waits({known}, suspects);
  CHECK_FALSE(suspects[0].threads[0].on_stack);
}
