// SPDX-License-Identifier: Apache-2.0
#include "procfs/bounded_read.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <catch2/catch.hpp>
#include <cerrno>
#include <cstddef>
#include <filesystem>
#include <fstream>

#include "temporary_directory.h"

using namespace defused;
using std::chrono::milliseconds;

namespace {

struct Tree {
  Tree() {
    directory.write("good", "text");
    REQUIRE(mkfifo(directory.file("hangs").c_str(), 0600) == 0);  // opening it to read waits for a writer for ever
    REQUIRE(symlink("pid:[17]", directory.file("link").c_str()) == 0);
  }
  TemporaryDirectory directory;
  std::string path = directory.path();
};

}  // namespace

TEST_CASE("a file that hangs costs its time-out and nothing else") {
  const Tree tree;
  const auto root = Beneath::open_root(tree.path);
  REQUIRE(root);
  const SystemClock clock;
  const Nanoseconds begin = clock.now().boottime;
  const auto reads = read_bounded(*root, {{"good", false}, {"hangs", false}, {"link", true}, {"absent", false}},
                                  milliseconds(100), milliseconds(2000));
  CHECK(clock.now().boottime - begin < milliseconds(2000));
  REQUIRE(reads.results.size() == 4);
  CHECK(reads.results[0].value() == "text");
  CHECK(reads.results[1].error().kind == ErrorKind::timeout);
  CHECK(reads.results[2].value() == "pid:[17]");
  CHECK(reads.results[3].error().kind == ErrorKind::gone);
  CHECK(reads.left_behind.empty());
  CHECK(waitpid(-1, nullptr, WNOHANG) == -1);  // no child is left
  CHECK(errno == ECHILD);
}

TEST_CASE("what a child could not read is noted, and what a hook says comes back whole") {
  const Tree tree;
  ReadRecorder recorder(10'000);
  auto root = Beneath::open_root(tree.path, [](std::string_view path) -> std::optional<Error> {
    if (path == "asked/not") return Error{ErrorKind::timeout, "as it was recorded", kNotAsked};
    if (path == "denied") return Error{ErrorKind::denied, "as it was recorded", EACCES};
    return std::nullopt;
  });
  REQUIRE(root);
  root->record_to(&recorder);
  const auto reads = read_bounded(
      *root, {{"good", false}, {"asked/not", false}, {"denied", true}, {"absent", false}, {"hangs", false}},
      milliseconds(100), milliseconds(2000));
  REQUIRE(reads.results.size() == 5);
  CHECK(reads.results[1].error().kind == ErrorKind::timeout);
  CHECK(reads.results[1].error().code == kNotAsked);
  CHECK(reads.results[2].error().code == EACCES);
  CHECK(recorder.entries().size() == 1);
  const auto& errors = recorder.errors();
  REQUIRE(errors.size() == 3);  // but not what is not there
  CHECK(errors.at("asked/not") == ReadRecorder::Failed{ErrorKind::timeout, kNotAsked});
  CHECK(errors.at("denied") == ReadRecorder::Failed{ErrorKind::denied, EACCES});
  CHECK(errors.at("hangs") == ReadRecorder::Failed{ErrorKind::timeout, 0});
}

TEST_CASE("where no reader is allowed, that is noted of each file") {
  const Tree tree;
  ReadRecorder recorder(10'000);
  auto proc = ProcRoot::open(tree.path);
  REQUIRE(proc);
  proc->record_to(&recorder);
  ReadLimits limits;
  limits.readers = 0;
  CHECK(read_hazardous(*proc, limits, {{"good", false}}).front().error().code == kNotAsked);
  CHECK(recorder.errors().at("good") == ReadRecorder::Failed{ErrorKind::timeout, kNotAsked});
}

namespace {

// From here on close_range does not exist for this process and its children, as before Linux 5.9.
bool forbid_close_range() {
  std::array<sock_filter, 4> code = {{
      {BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(seccomp_data, nr)},
      {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, SYS_close_range},
      {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | ENOSYS},
      {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW},
  }};
  const sock_fprog program{code.size(), code.data()};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0 &&
         syscall(SYS_close_range, 1000, 1000, 0) < 0 && errno == ENOSYS;
}

// The children of `pid`, of its only thread.
std::vector<pid_t> children_of(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/task/" + std::to_string(pid) + "/children");
  std::vector<pid_t> found;
  for (pid_t child = 0; file >> child;) found.push_back(child);
  return found;
}

std::size_t count_descriptors(pid_t pid) {
  std::error_code gone;
  const std::filesystem::directory_iterator all("/proc/" + std::to_string(pid) + "/fd", gone);
  return gone ? 0 : static_cast<std::size_t>(std::distance(begin(all), end(all)));
}

// How many descriptors the child that reads holds while it hangs.
std::size_t held_while_hanging(bool with_close_range) {
  const Tree tree;
  const auto root = Beneath::open_root(tree.path);
  REQUIRE(root);
  const pid_t reader = fork();
  if (reader == 0) {
    if (!with_close_range && !forbid_close_range()) _exit(77);
    const UniqueFd held(dup(0));  // one more to be closed
    read_bounded(*root, {{"hangs", false}}, milliseconds(1000), milliseconds(1000));
    _exit(0);
  }
  std::size_t least = 1000;
  int status = 0;
  while (waitpid(reader, &status, WNOHANG) == 0) {
    for (const pid_t child : children_of(reader)) {
      const std::size_t count = count_descriptors(child);
      if (count > 0) least = std::min(least, count);
    }
    poll(nullptr, 0, 5);
  }
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
  return least;
}

}  // namespace

TEST_CASE("the child that reads holds nothing but the root and its pipe") { CHECK(held_while_hanging(true) == 2); }

TEST_CASE("so it is on a kernel without close_range") { CHECK(held_while_hanging(false) == 2); }

TEST_CASE("no more children at once than may be lost") {
  const Tree tree;
  const auto root = Beneath::open_root(tree.path);
  REQUIRE(root);
  std::vector<BoundedRequest> requests;
  for (const char* process : {"17", "18", "19", "20"}) {
    REQUIRE(mkdir(tree.directory.file(process).c_str(), 0700) == 0);
    REQUIRE(mkfifo(tree.directory.file(std::string(process) + "/stat").c_str(), 0600) == 0);
    requests.push_back({std::string(process) + "/stat", false});
  }
  const auto most_children = [&](std::size_t at_once) {
    const pid_t reader = fork();
    if (reader == 0) {
      read_bounded(*root, requests, milliseconds(300), milliseconds(600), at_once);
      _exit(0);
    }
    std::size_t most = 0;
    while (waitpid(reader, nullptr, WNOHANG) == 0) {
      most = std::max(most, children_of(reader).size());
      poll(nullptr, 0, 2);
    }
    return most;
  };
  CHECK(most_children(1) == 1);
  CHECK(most_children(2) == 2);
  CHECK(most_children(8) == 4);
}

TEST_CASE("where hazards are not allowed nothing is read and each is a timeout") {
  const Tree tree;
  const auto proc = ProcRoot::open(tree.path);
  REQUIRE(proc);
  ReadLimits limits;
  CHECK(read_hazardous(*proc, limits, {{"good", false}}).front().value() == "text");
  limits.readers = 0;
  const auto results = read_hazardous(*proc, limits, {{"good", false}, {"link", true}});
  REQUIRE(results.size() == 2);
  for (const auto& result : results) CHECK(result.error().kind == ErrorKind::timeout);
  CHECK(read_hazardous(*proc, limits, {}).empty());
}

TEST_CASE("of a process that hangs no other file is asked, and the others do not wait for it") {
  const Tree tree;
  std::vector<BoundedRequest> requests;
  for (int process = 0; process < 12; ++process) {
    const std::string directory = tree.directory.file(std::to_string(process));
    REQUIRE(mkdir(directory.c_str(), 0700) == 0);
    REQUIRE(mkfifo((directory + "/stat").c_str(), 0600) == 0);
    tree.directory.write(std::to_string(process) + "/stack", "never read");
    requests.push_back({std::to_string(process) + "/stat", false});
    requests.push_back({std::to_string(process) + "/stack", false});
  }
  requests.push_back({"good", false});
  const auto root = Beneath::open_root(tree.path);
  REQUIRE(root);
  const Stopwatch watch;
  const auto reads = read_bounded(*root, requests, milliseconds(300), milliseconds(3000));
  CHECK(watch.elapsed() < milliseconds(1800));  // one after the other they would take 3.6 s
  for (std::size_t i = 0; i < 24; ++i) {
    CAPTURE(i);
    REQUIRE_FALSE(reads.results[i]);
    CHECK(reads.results[i].error().kind == ErrorKind::timeout);
    CHECK(reads.results[i].error().code != kNotAsked);
  }
  CHECK(reads.results[24].value() == "text");
  CHECK(waitpid(-1, nullptr, WNOHANG) == -1);
}

TEST_CASE("where only one may be waited for, the others come after it") {
  const Tree tree;
  const auto root = Beneath::open_root(tree.path);
  REQUIRE(root);
  const auto reads = read_bounded(*root, {{"hangs", false}, {"good", false}}, milliseconds(100), milliseconds(2000), 1);
  REQUIRE(reads.results.size() == 2);
  CHECK(reads.results[0].error().kind == ErrorKind::timeout);
  CHECK(reads.results[1].value() == "text");
}

TEST_CASE("the total is a bound for all of them") {
  const Tree tree;
  const auto root = Beneath::open_root(tree.path);
  REQUIRE(root);
  std::vector<BoundedRequest> requests;
  for (int process = 0; process < 50; ++process) {
    const std::string directory = tree.directory.file(std::to_string(process));
    REQUIRE(mkdir(directory.c_str(), 0700) == 0);
    REQUIRE(mkfifo((directory + "/stat").c_str(), 0600) == 0);
    requests.push_back({std::to_string(process) + "/stat", false});
  }
  const SystemClock clock;
  const Nanoseconds begin = clock.now().boottime;
  const auto reads = read_bounded(*root, requests, milliseconds(50), milliseconds(200));
  CHECK(clock.now().boottime - begin < milliseconds(1500));
  REQUIRE(reads.results.size() == 50);
  for (const auto& result : reads.results) CHECK(result.error().kind == ErrorKind::timeout);
  CHECK(reads.results.back().error().code == kNotAsked);
}
