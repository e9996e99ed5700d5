// SPDX-License-Identifier: Apache-2.0
#include "procfs/proc_root.h"

#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <set>

using namespace defused;

namespace {

const std::string kCaptures = DEFUSED_CAPTURES;

Snapshot read_capture(const std::string& name, std::vector<std::string>* opened = nullptr) {
  ReadHook hook;
  if (opened != nullptr) {
    hook = [opened](std::string_view path) -> std::optional<Error> {
      opened->emplace_back(path);
      return std::nullopt;
    };
  }
  const auto proc = ProcRoot::open(kCaptures + "/" + name + "/proc", hook);
  REQUIRE(proc);
  Snapshot snapshot;
  snapshot.kernel = read_kernel_facts(*proc);
  REQUIRE(read_processes(*proc, ReadLimits{}, snapshot));
  read_hazards(*proc, ReadLimits{}, snapshot);
  return snapshot;
}

const ProcessSample* suspect(const Snapshot& snapshot, pid_t pid) {
  for (const ProcessSample& sample : snapshot.suspects) {
    if (sample.id.pid == pid) return &sample;
  }
  return nullptr;
}

}  // namespace

TEST_CASE("the suspects of a deadlock are read closely, others not at all") {
  std::vector<std::string> opened;
  const Snapshot snapshot = read_capture("linux-6.18.44-flush", &opened);
  REQUIRE(snapshot.processes.size() == 3);
  REQUIRE(snapshot.suspects.size() == 2);
  const ProcessSample* init = suspect(snapshot, 3898);
  REQUIRE(init != nullptr);
  CHECK(init->brief.is_init());
  CHECK(init->id.start_ticks == 328974);
  CHECK(init->pid_namespace == NamespaceId{4026532178});
  const ProcessSample* server = suspect(snapshot, 3899);
  REQUIRE(server != nullptr);
  REQUIRE(server->threads.size() == 2);
  const ThreadSample& blocked = server->threads[1];
  CHECK(blocked.id.tid == 3901);
  CHECK(blocked.exiting == true);
  CHECK(blocked.mount_namespace == NamespaceId{4026532177});
  REQUIRE(blocked.mounts);
  CHECK(blocked.mounts->fuse_mounts.size() == 1);
  CHECK(blocked.slept > std::chrono::seconds(3));
  CHECK(blocked.slept < std::chrono::seconds(4));
  // PID 1 lives: of it only `status` may have been opened.
  for (const std::string& path : opened) {
    if (path.rfind("1/", 0) == 0) CHECK(path == "1/status");
  }
}

TEST_CASE("a healthy host has no suspects") {
  for (const char* name : {"linux-6.1.192-healthy", "linux-6.12.107-healthy", "linux-6.18.44-healthy"}) {
    CAPTURE(name);
    const Snapshot snapshot = read_capture(name);
    CHECK(snapshot.suspects.empty());
  }
}

TEST_CASE("files that are never opened are never opened") {
  static const std::set<std::string> kForbidden = {"cmdline",      "environ", "maps", "smaps",
                                                   "smaps_rollup", "mem",     "exe",  "numa_maps"};
  for (const char* name : {"linux-6.1.192-mmap", "linux-6.18.44-docker"}) {
    std::vector<std::string> opened;
    Snapshot snapshot = read_capture(name, &opened);
    const auto proc =
        ProcRoot::open(kCaptures + "/" + name + "/proc", [&](std::string_view path) -> std::optional<Error> {
          opened.emplace_back(path);
          return std::nullopt;
        });
    REQUIRE(proc);
    const SystemClock clock;
    snapshot.surroundings = read_surroundings(*proc, ReadLimits{}, OwnProcesses{}, clock, snapshot);
    REQUIRE_FALSE(opened.empty());
    for (const std::string& path : opened) {
      CAPTURE(path);
      CHECK(kForbidden.count(path.substr(path.rfind('/') + 1)) == 0);
      CHECK(path.find("/root/") == std::string::npos);
      CHECK(path.find("/cwd/") == std::string::npos);
    }
  }
}

TEST_CASE("kernel facts: the release where symbols are hidden") {
  const auto facts = [](const std::string& name) {
    const auto proc = ProcRoot::open(kCaptures + "/" + name + "/proc");
    REQUIRE(proc);
    return read_kernel_facts(*proc);
  };
  CHECK_FALSE(facts("linux-6.1.192-flush").fdinfo_names_connection);
  CHECK_FALSE(facts("linux-6.12.107-flush").fdinfo_names_connection);
  CHECK(facts("linux-6.18.44-flush").fdinfo_names_connection);
  CHECK(facts("linux-6.18.44-flush").fuse_flush_waits == FlushWaits::unknown);
  CHECK(facts("linux-6.18.44-flush").default_request_timeout_seconds == 0U);
}

TEST_CASE("kernel facts: the limits of requests are read again, and may come and go") {
  namespace fs = std::filesystem;
  const fs::path root = fs::temp_directory_path() / ("defused-limits-" + std::to_string(getpid()));
  const fs::path knobs = root / "sys/fs/fuse";
  fs::create_directories(knobs);
  const auto set = [&](const char* name, const char* text) { std::ofstream(knobs / name) << text; };
  set("default_request_timeout", "0\n");
  set("max_request_timeout", "0\n");
  const auto proc = ProcRoot::open(root.string());
  REQUIRE(proc);
  KernelFacts facts = read_kernel_facts(*proc);
  CHECK(facts.max_request_timeout_seconds == 0U);
  set("max_request_timeout", "600\n");
  read_request_timeouts(*proc, facts);
  CHECK(facts.max_request_timeout_seconds == 600U);
  CHECK(facts.default_request_timeout_seconds == 0U);
  fs::remove(knobs / "max_request_timeout");
  read_request_timeouts(*proc, facts);
  CHECK_FALSE(facts.max_request_timeout_seconds);
  fs::remove_all(root);
}

TEST_CASE("surroundings of a healthy server name it") {
  Snapshot snapshot = read_capture("linux-6.18.44-healthy");
  const auto proc = ProcRoot::open(kCaptures + "/linux-6.18.44-healthy/proc");
  REQUIRE(proc);
  const SystemClock clock;
  const Surroundings around = read_surroundings(*proc, ReadLimits{}, OwnProcesses{}, clock, snapshot);
  REQUIRE(around.holders.size() == 1);
  CHECK(around.holders[0].pid == 5983);
  CHECK(around.holders[0].connections == std::vector<ConnectionId>{ConnectionId{40}});
  REQUIRE(around.users.size() == 1);
  CHECK(around.users[0].mount_ids == std::vector<int>{66});
  CHECK(around.holders_complete);
}

TEST_CASE("before 6.16 a server is found by the text of its descriptor") {
  Snapshot snapshot = read_capture("linux-6.1.192-healthy");
  const auto proc = ProcRoot::open(kCaptures + "/linux-6.1.192-healthy/proc");
  REQUIRE(proc);
  const SystemClock clock;
  const Surroundings around = read_surroundings(*proc, ReadLimits{}, OwnProcesses{}, clock, snapshot);
  REQUIRE(around.holders.size() == 1);
  CHECK(around.holders[0].pid == 3878);
  CHECK(around.holders[0].unattributed == 1);
  CHECK(around.holders_complete);
}
