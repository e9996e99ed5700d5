// SPDX-License-Identifier: Apache-2.0
// The real program on this kernel, where it may be loaded.
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <catch2/catch.hpp>
#include <fstream>
#include <future>
#include <iterator>
#include <string>
#include <thread>

#include "base/unique_fd.h"
#include "bpf/file_reader.h"
#include "bpf/place_reader.h"

using namespace defused;

TEST_CASE("the iterator sees a /dev/fuse of ours") {
  // Also as on a kernel that has no bpf_loop.
  const auto detail = GENERATE(FileReader::Detail::oldest_request, FileReader::Detail::holders);
  const UniqueFd device(open("/dev/fuse", O_RDWR | O_CLOEXEC));
  auto reader = FileReader::load(detail);
  if (!device || !reader) {
    WARN("not tried: " << (reader ? "there is no /dev/fuse" : reader.error().message));
    return;
  }
  const auto files = (*reader)->read();
  REQUIRE(files);
  const auto ours = std::count_if(files->begin(), files->end(), [](const OpenFuseFile& file) {
    return file.process.pid == getpid() && file.device && file.connection.kernel_dev == 0;
  });
  CHECK(ours == 1);
}

namespace {

// What a reader made in namespaces of its own says, as in a container; as an exit code, since it is another process.
constexpr int kWell = 0;
constexpr int kMalformed = 1;
constexpr int kElse = 2;
constexpr int kNotTried = 77;

int read_in_container(FileReader::Detail detail, int namespaces) {
  const pid_t child = fork();
  if (child == 0) {
    if (unshare(namespaces) < 0) _exit(kNotTried);
    if (const pid_t inner = fork(); inner > 0) {  // a PID namespace is that of children
      int status = 0;
      waitpid(inner, &status, 0);
      _exit(WIFEXITED(status) ? WEXITSTATUS(status) : kElse);
    }
    mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr);
    if (mount("/dev/null", "/dev/fuse", nullptr, MS_BIND, nullptr) < 0) _exit(kNotTried);
    auto reader = FileReader::load(detail);
    if (!reader) _exit(kNotTried);
    const auto files = (*reader)->read();
    if (!files) _exit(files.error().kind == ErrorKind::malformed ? kMalformed : kElse);
    const bool own = std::any_of(files->begin(), files->end(),
                                 [](const OpenFuseFile& file) { return file.process.pid == getpid(); });
    _exit(own ? kElse : kWell);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : kElse;
}

}  // namespace

TEST_CASE("the self-test needs no /dev/fuse, tells nothing of its own, and fails where PIDs are others") {
  const auto detail = GENERATE(FileReader::Detail::oldest_request, FileReader::Detail::holders);
  const int found = read_in_container(detail, CLONE_NEWNS);
  if (found == kNotTried) {
    WARN("not tried: no namespace, no /dev/fuse or no BPF here");
    return;
  }
  CHECK(found == kWell);
  CHECK(read_in_container(detail, CLONE_NEWNS | CLONE_NEWPID) == kMalformed);
}

namespace {

std::uint64_t own_mount_namespace(const std::string& task) {
  struct stat status {};
  return stat((task + "/ns/mnt").c_str(), &status) == 0 ? status.st_ino : 0;
}

}  // namespace

TEST_CASE("the iterator says where processes are, and where a thread is that went elsewhere") {
  auto reader = PlaceReader::load();
  if (!reader) {
    WARN("not tried: " << reader.error().message);
    return;
  }
  std::promise<pid_t> ready;
  std::promise<void> done;
  std::thread elsewhere([&] {
    ready.set_value(unshare(CLONE_NEWNS) == 0 ? gettid() : 0);  // in a thread with others it takes CLONE_FS with it
    done.get_future().wait();
  });
  const pid_t tid = ready.get_future().get();
  const auto places = (*reader)->read();
  const std::uint64_t there = tid == 0 ? 0 : own_mount_namespace("/proc/self/task/" + std::to_string(tid));
  done.set_value();
  elsewhere.join();
  REQUIRE(places);
  const auto is_at = [&](pid_t wanted, std::uint64_t inode) {
    return std::any_of(places->begin(), places->end(), [&](const ThreadPlace& place) {
      return place.pid == getpid() && place.tid == wanted && place.mount_namespace.inode == inode;
    });
  };
  CHECK(is_at(getpid(), own_mount_namespace("/proc/self")));
  REQUIRE(tid != 0);
  CHECK(there != own_mount_namespace("/proc/self"));
  CHECK(is_at(tid, there));
}

namespace {

// A process whose first thread has ended, with a few others that share its table.
[[noreturn]] void live_without_leader(int ready) {
  for (int i = 0; i < 4; ++i) {
    std::thread([] {
      while (true) pause();
    }).detach();
  }
  std::thread([ready] {
    while (true) {
      std::ifstream status("/proc/self/status");
      const std::string text((std::istreambuf_iterator<char>(status)), {});
      if (text.find("State:\tZ") != std::string::npos) break;
      poll(nullptr, 0, 1);
    }
    if (write(ready, "r", 1) != 1) _exit(1);
    while (true) pause();
  }).detach();
  syscall(SYS_exit, 0);  // this thread alone; pthread_exit would unwind the test
  _exit(1);
}

}  // namespace

TEST_CASE("the table behind a leader that ended is gone through, and once") {
  const UniqueFd device(open("/dev/fuse", O_RDWR | O_CLOEXEC));
  auto reader = FileReader::load();
  if (!device || !reader) {
    WARN("not tried: " << (reader ? "there is no /dev/fuse" : reader.error().message));
    return;
  }
  std::array<int, 2> ready{};
  REQUIRE(pipe2(ready.data(), O_CLOEXEC) == 0);
  const pid_t child = fork();
  if (child == 0) live_without_leader(ready[1]);
  pollfd said{ready[0], POLLIN, 0};
  REQUIRE(poll(&said, 1, 10'000) == 1);
  const auto files = (*reader)->read();
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  close(ready[0]);
  close(ready[1]);
  REQUIRE(files);
  CHECK(std::count_if(files->begin(), files->end(),
                      [&](const OpenFuseFile& file) { return file.process.pid == child && file.device; }) == 1);
}
