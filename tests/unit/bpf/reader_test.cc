// SPDX-License-Identifier: Apache-2.0
// The real program on this kernel, where it may be loaded.
#include <fcntl.h>
#include <sched.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <future>
#include <string>
#include <thread>

#include "base/unique_fd.h"
#include "bpf/file_reader.h"
#include "bpf/place_reader.h"

using namespace defused;

TEST_CASE("the iterator sees a /dev/fuse of ours, and not the one of its self-test") {
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
