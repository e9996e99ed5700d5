// SPDX-License-Identifier: Apache-2.0
// The index of holders, users and viewers over small trees: what is unreadable, late, or of one thread alone.
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <map>

#include "procfs/proc_root.h"
#include "temporary_directory.h"

using namespace defused;
using namespace std::chrono_literals;

namespace {

// A /proc of our own; gone with the test.
class HolderTree {
 public:
  HolderTree() = default;
  explicit HolderTree(const std::filesystem::path& below) : root_(below) {}

  void write(const std::string& path, const std::string& text) const { root_.write(path, text); }
  void add_status(const std::string& base, int pid, int threads) const {
    write(base + "/status", "Name:\tx\nState:\tS (sleeping)\nTgid:\t" + std::to_string(pid) + "\nPid:\t" +
                                std::to_string(pid) + "\nPPid:\t1\nNStgid:\t" + std::to_string(pid) +
                                "\nFDSize:\t64\nVmSize:\t1 kB\nThreads:\t" + std::to_string(threads) +
                                "\nvoluntary_ctxt_switches:\t1\nnonvoluntary_ctxt_switches:\t1\n");
  }
  // A living process that sees a FUSE mount, number 66, of connection 40, where `sees` says so.
  void add_process(int pid, int threads = 1, bool sees = false, int first_mount = 22) const {
    const std::string base = std::to_string(pid);
    add_status(base, pid, threads);
    add_mounts(base, sees, first_mount);
    std::filesystem::create_directories(root_.path() / base / "fdinfo");
  }
  void add_mounts(const std::string& base, bool sees, int first_mount) const {
    const std::string first = std::to_string(first_mount) + " 1 0:21 / / rw - ext4 /dev/x rw\n";
    write(base + "/mountinfo", first + (sees ? "66 22 0:40 / /mnt rw - fuse.lab lab rw\n" : ""));
  }
  void add_device(const std::string& base, int number) const {
    write(base + "/fdinfo/" + std::to_string(number), "pos:\t0\nflags:\t02100002\nmnt_id:\t22\nfuse_connection:\t40\n");
  }
  void add_file(const std::string& base, int number, int mount) const {
    write(base + "/fdinfo/" + std::to_string(number),
          "pos:\t0\nflags:\t0100002\nmnt_id:\t" + std::to_string(mount) + "\nino:\t7\n");
  }

  [[nodiscard]] std::string path(const std::string& below) const { return root_.file(below); }

  Surroundings read(ReadHook hook = {}, Gaps* gaps = nullptr, const Clock& clock = SystemClock(),
                    const ReadLimits& limits = {}) const {
    const auto proc = ProcRoot::open(root_.path(), std::move(hook));
    REQUIRE(proc);
    Snapshot snapshot;
    snapshot.kernel.fdinfo_names_connection = true;
    REQUIRE(read_processes(*proc, limits, snapshot));
    Surroundings around = read_surroundings(*proc, limits, OwnProcesses{}, clock, snapshot);
    if (gaps != nullptr) *gaps = snapshot.gaps;
    return around;
  }

 private:
  TemporaryDirectory root_;
};

// Fails the first `times` readings of `path`; counts them all.
ReadHook fail_reads(std::map<std::string, int>& seen, const std::string& path, int times, ErrorKind kind) {
  return [&seen, path, times, kind](std::string_view at) -> std::optional<Error> {
    const int count = ++seen[std::string(at)];
    if (at != path || count > times) return std::nullopt;
    return Error{kind, "made to fail", 0};
  };
}

}  // namespace

TEST_CASE("a holder without status") {
  const HolderTree tree;
  tree.add_process(10);
  tree.add_process(20);
  tree.add_device("20", 3);
  std::map<std::string, int> seen;
  SECTION("is found by the second look, and the index says that the walk had a gap") {
    const Surroundings around = tree.read(fail_reads(seen, "20/status", 1, ErrorKind::io));
    REQUIRE(around.holders.size() == 1);
    CHECK(around.holders[0].pid == 20);
    CHECK_FALSE(around.holders_complete);
  }
  SECTION("is in nothing: no holder is not known, nor no user, nor no viewer") {
    const Surroundings around = tree.read(fail_reads(seen, "20/status", 100, ErrorKind::denied));
    CHECK(around.holders.empty());
    CHECK_FALSE(around.holders_complete);
    CHECK_FALSE(around.users_complete);
    CHECK_FALSE(around.viewers_complete);
  }
}

TEST_CASE("a server that came after the walk is read too") {
  const HolderTree tree;
  tree.add_process(10);
  tree.add_process(20);
  tree.add_device("20", 3);
  std::map<std::string, int> seen;
  const Surroundings around = tree.read(fail_reads(seen, "20/status", 1, ErrorKind::gone));
  REQUIRE(around.holders.size() == 1);
  CHECK(around.holders[0].pid == 20);
  CHECK(around.holders_complete);
}

TEST_CASE("a process that ends before its mounts are read does not hide its namespace") {
  const HolderTree tree;
  tree.add_process(10, 1, true);
  tree.add_process(11, 1, true);
  std::map<std::string, int> seen;
  const auto end_at_second_read = [&](std::string_view at) -> std::optional<Error> {
    if (at != "10/mountinfo" || ++seen["10"] < 2) return std::nullopt;
    return Error{ErrorKind::gone, "made to fail", 0};
  };
  const Surroundings around = tree.read(end_at_second_read);
  REQUIRE(around.viewers.size() == 1);
  CHECK(around.viewers[0].pids == std::vector<pid_t>{11});
  CHECK(around.viewers[0].mounts.fuse_mounts.size() == 1);
}

TEST_CASE("what one thread alone has") {
  const HolderTree tree;
  tree.add_process(10, 2);
  tree.add_status("10/task/10", 10, 2);
  tree.add_status("10/task/12", 12, 2);
  tree.add_mounts("10/task/10", false, 22);
  tree.add_file("10", 0, 22);
  tree.add_file("10/task/10", 0, 22);
  tree.add_file("10/task/12", 0, 22);
  SECTION("a descriptor table of its own") {
    tree.add_mounts("10/task/12", false, 22);
    tree.add_device("10/task/12", 5);
    const Surroundings around = tree.read();
    REQUIRE(around.holders.size() == 1);
    CHECK(around.holders[0].connections == std::vector{ConnectionId{40}});
  }
  SECTION("a mount namespace of its own") {
    tree.add_mounts("10/task/12", true, 99);
    const Surroundings around = tree.read();
    REQUIRE(around.viewers.size() == 2);
    CHECK(around.viewers[1].pids == std::vector<pid_t>{10});
    CHECK(around.viewers[1].mounts.fuse_mounts.size() == 1);
  }
}

TEST_CASE("a process with 100,000 descriptors is read whole, or its rest is a gap") {
  const HolderTree tree(std::filesystem::exists("/dev/shm") ? "/dev/shm" : std::filesystem::temp_directory_path());
  tree.add_process(10, 1, true);
  constexpr int kTexts = 10;  // the others are links to them: a file of ext4 has 65,000 at most
  for (int number = 0; number < 100'000; ++number) {
    if (number < kTexts) {
      tree.add_file("10", number, 22);
    } else {
      const std::string of = tree.path("10/fdinfo/" + std::to_string(number % kTexts));
      REQUIRE(link(of.c_str(), tree.path("10/fdinfo/" + std::to_string(number)).c_str()) == 0);
    }
  }
  tree.add_device("10", 100'000);
  tree.add_file("10", 100'001, 66);
  ReadLimits limits;
  limits.surroundings_budget = 60s;
  Gaps gaps;
  const Surroundings whole = tree.read({}, &gaps, SystemClock(), limits);
  REQUIRE(whole.holders.size() == 1);
  CHECK(whole.holders[0].connections == std::vector{ConnectionId{40}});
  CHECK(whole.users.size() == 1);
  CHECK(whole.holders_complete);
  CHECK(gaps.empty());
  limits.max_descriptors = 50'000;
  const Surroundings part = tree.read({}, &gaps, SystemClock(), limits);
  CHECK_FALSE(part.holders_complete);
  CHECK_FALSE(part.users_complete);
  CHECK(gaps.count({"fdinfo", ErrorKind::unsupported}) == 1);
}

TEST_CASE("over its budget the index is not whole, and says so") {
  const HolderTree tree;
  tree.add_process(10);
  tree.add_process(20);
  tree.add_device("20", 3);
  ManualClock clock({1000s, 0s});
  Gaps gaps;
  const Surroundings around = tree.read(
      [&](std::string_view at) -> std::optional<Error> {
        if (at == "10/fdinfo") clock.advance(10s);
        return std::nullopt;
      },
      &gaps, clock);
  CHECK(around.holders.empty());
  CHECK_FALSE(around.holders_complete);
  CHECK_FALSE(around.users_complete);
  CHECK(gaps.count({"fdinfo", ErrorKind::timeout}) == 1);
}

TEST_CASE("users: those with a file on a FUSE mount") {
  const HolderTree tree;
  tree.add_process(10, 1, true);
  tree.add_process(20, 1, true);
  tree.add_file("20", 4, 66);
  tree.add_file("10", 4, 22);
  tree.write("20/stat", "20 (x) S 1 20 20 0 -1 4194304 3 0 0 0 0 0 0 0 20 0 1 0 4711 0 0 0\n");
  const Surroundings around = tree.read();
  REQUIRE(around.users.size() == 1);
  CHECK(around.users[0].id == ProcessId{20, 4711});
  CHECK(around.users[0].mount_ids == std::vector{66});
  CHECK(around.users_complete);
}
