// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "bpf/file_reader.h"

using namespace defused;

namespace {

std::vector<ProcessBrief> processes() {
  ProcessBrief brief;
  brief.pid = 10;
  brief.name = "server";
  return {brief};
}

}  // namespace

TEST_CASE("what the kernel says makes an incomplete index whole") {
  Surroundings around;
  around.holders_complete = around.users_complete = false;
  REQUIRE(merge_open_files({{10, true, {40}}, {10, true, {40}}, {10, true, {0}}, {11, false, {40}}, {11, false, {40}}},
                           processes(), around));
  CHECK(around.exact);
  CHECK(around.holders_complete);
  CHECK(around.users_complete);
  REQUIRE(around.holders.size() == 1);
  CHECK(around.holders[0].pid == 10);
  CHECK(around.holders[0].name == "server");
  CHECK(around.holders[0].connections == std::vector{ConnectionId{40}});
  REQUIRE(around.users.size() == 1);
  CHECK(around.users[0].pid == 11);
  CHECK(around.users[0].connections == std::vector{ConnectionId{40}});
}

TEST_CASE("what /proc saw stays, and a descriptor without a name gets one") {
  Surroundings around;
  around.holders = {DeviceHolder{10, "server", 77, {}, 1}};
  REQUIRE(merge_open_files({{10, true, {40}}}, processes(), around));
  REQUIRE(around.holders.size() == 1);
  CHECK(around.holders[0].start_ticks == 77);
  CHECK(around.holders[0].connections == std::vector{ConnectionId{40}});
}

TEST_CASE("a holder that the kernel's list does not have: the list is not believed") {
  Surroundings around;
  around.holders = {DeviceHolder{10, "server", 0, {{40}}, 0}};
  around.holders_complete = false;
  CHECK_FALSE(merge_open_files({{11, true, {41}}}, processes(), around));
  CHECK_FALSE(around.exact);
  CHECK_FALSE(around.holders_complete);
  CHECK(around.holders.size() == 1);
}
