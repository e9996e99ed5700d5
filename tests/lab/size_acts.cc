// SPDX-License-Identifier: Apache-2.0
#include "size_acts.h"

#include <fcntl.h>
#include <linux/fuse.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>

namespace lab {

namespace {

// What the threads of one act do, and how many of them have begun.
struct Work {
  std::string path;
  bool own_table = false;
  std::atomic<long> begun = 0;
  std::atomic<long> failed = 0;
};

void* work_on(void* data) {
  auto& work = *static_cast<Work*>(data);
  if (work.own_table) {
    const bool done = unshare(CLONE_FILES) == 0 && open(work.path.c_str(), O_RDWR | O_CLOEXEC) >= 0;
    ++(done ? work.begun : work.failed);
  } else {
    ++work.begun;
    // It does not come back: the server is silent.
    if (!work.path.empty() && open(work.path.c_str(), O_RDWR | O_CLOEXEC) < 0) ++work.failed;
  }
  while (true) pause();
}

// `count` threads with the smallest stacks there are, and without guards: each would be a mapping more.
std::string start_threads(long count, const std::string& path, bool own_table) {
  auto* work = new Work;  // for threads that never end
  work->path = path;
  work->own_table = own_table;
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, 64 << 10);
  pthread_attr_setguardsize(&attributes, 0);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  for (long made = 0; made < count; ++made) {
    pthread_t thread{};
    if (const int error = pthread_create(&thread, &attributes, work_on, work); error != 0) {
      errno = error;
      return result("pthread_create", -1);
    }
  }
  pthread_attr_destroy(&attributes);
  for (int tries = 0; tries < 6000 && work->begun + work->failed < count; ++tries) usleep(10'000);
  return work->begun == count ? result("threads", count) : "error only " + std::to_string(work->begun) + " threads";
}

// By trees of a hundred, since the kernel waits for all CPUs after each call, not after each mount.
std::string make_binds(const std::string& directory, long count, std::size_t length) {
  constexpr long kTree = 100;
  const auto named = [&](const char* kind, long number) {
    std::string name = kind + std::to_string(number);
    if (name.size() < length) name.append(length - name.size(), 'x');
    return name;
  };
  const std::string tree = directory + "/" + named("t", 0);
  if (mkdir(tree.c_str(), 0755) < 0) return result("mkdir", -1);
  if (mount(tree.c_str(), tree.c_str(), nullptr, MS_BIND, nullptr) < 0) return result("mount", -1);
  for (long i = 1; i < kTree; ++i) {
    const std::string path = tree + "/" + named("b", i);
    if (mkdir(path.c_str(), 0755) < 0) return result("mkdir", -1);
    if (mount(directory.c_str(), path.c_str(), nullptr, MS_BIND, nullptr) < 0) return result("mount", -1);
  }
  for (long made = kTree; made < count; made += kTree) {
    const std::string path = directory + "/" + named("t", made);
    if (mkdir(path.c_str(), 0755) < 0) return result("mkdir", -1);
    if (mount(tree.c_str(), path.c_str(), nullptr, MS_BIND | MS_REC, nullptr) < 0) return result("mount", -1);
  }
  return result("binds", count);
}

std::string open_descriptors(long count) {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  const int first = open("/dev/null", O_RDONLY | O_CLOEXEC);
  long made = first < 0 ? 0 : 1;
  while (made > 0 && made < count && fcntl(first, F_DUPFD_CLOEXEC, 0) >= 0) ++made;
  return result("descriptors", made == 0 ? -1 : made);
}

// The answer to INIT (fs/fuse/inode.c, process_init_reply), which is the first request of a mount.
bool answer_init(int device) {
  alignas(fuse_in_header) std::array<char, FUSE_MIN_READ_BUFFER> request{};
  if (read(device, request.data(), request.size()) < static_cast<ssize_t>(sizeof(fuse_in_header))) return false;
  fuse_in_header asked{};
  std::memcpy(&asked, request.data(), sizeof asked);
  struct {
    fuse_out_header header{};
    fuse_init_out body{};
  } reply;
  reply.header.len = sizeof reply;
  reply.header.unique = asked.unique;
  reply.body.major = FUSE_KERNEL_VERSION;
  reply.body.minor = FUSE_KERNEL_MINOR_VERSION;
  reply.body.max_write = 4096;
  return write(device, &reply, sizeof reply) == static_cast<ssize_t>(sizeof reply);
}

std::string make_connections(const std::string& directory, long count, bool silent) {
  for (long i = 0; i < count; ++i) {
    const std::string path = directory + "/c" + std::to_string(i);
    const int device = open("/dev/fuse", O_RDWR | O_CLOEXEC);
    const std::string data = "fd=" + std::to_string(device) + ",rootmode=40000,user_id=0,group_id=0";
    if (device < 0 || mkdir(path.c_str(), 0755) < 0 ||
        mount("many", path.c_str(), "fuse.defusedlab", MS_NOSUID | MS_NODEV, data.c_str()) < 0) {
      return result("mount", -1);
    }
    if (!silent && !answer_init(device)) return result("answering INIT", -1);
  }
  return result("connections", count);
}

}  // namespace

std::string result(const char* what, long value) {
  if (value < 0) return std::string("error ") + what + ": " + std::strerror(errno);
  return "ok " + std::to_string(value);
}

void add_size_acts(Acts& acts) {
  acts["binds"] = [](const Words& words) {
    return make_binds(words.at(1), std::stol(words.at(2)), words.size() > 3 ? std::stoul(words.at(3)) : 0);
  };
  acts["threads"] = [](const Words& words) { return start_threads(std::stol(words.at(1)), "", false); };
  acts["openers"] = [](const Words& words) { return start_threads(std::stol(words.at(1)), words.at(2), false); };
  acts["holders"] = [](const Words& words) { return start_threads(std::stol(words.at(1)), words.at(2), true); };
  acts["descriptors"] = [](const Words& words) { return open_descriptors(std::stol(words.at(1))); };
  acts["connections"] = [](const Words& words) {
    return make_connections(words.at(1), std::stol(words.at(2)), words.size() > 3);
  };
}

}  // namespace lab
