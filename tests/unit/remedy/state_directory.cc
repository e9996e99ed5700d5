// SPDX-License-Identifier: Apache-2.0
#include "state_directory.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <catch2/catch.hpp>
#include <cerrno>
#include <csignal>
#include <cstddef>

namespace defused {

namespace fs = std::filesystem;  // for a directory of our own only

namespace {

int run_in_child(const std::function<int()>& run) {
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) _exit(run());
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  REQUIRE(WIFEXITED(status));
  return WEXITSTATUS(status);
}

}  // namespace

std::vector<std::string> StateDirectory::names() const {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(path())) names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

mode_t mode_of(const fs::path& path) {
  struct stat found {};
  REQUIRE(lstat(path.c_str(), &found) == 0);
  return found.st_mode & 07777U;
}

FileSizeLimit::FileSizeLimit(rlim_t bytes) : before_handler_(std::signal(SIGXFSZ, SIG_IGN)) {
  REQUIRE(getrlimit(RLIMIT_FSIZE, &before_) == 0);
  const rlimit limit{bytes, before_.rlim_max};
  REQUIRE(setrlimit(RLIMIT_FSIZE, &limit) == 0);
}

FileSizeLimit::~FileSizeLimit() {
  setrlimit(RLIMIT_FSIZE, &before_);
  std::signal(SIGXFSZ, before_handler_);
}

int run_without_fallocate(const std::function<int()>& check) {
  return run_in_child([&] {
    std::array<sock_filter, 4> code = {{
        {BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(seccomp_data, nr)},
        {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, SYS_fallocate},
        {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | EOPNOTSUPP},
        {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW},
    }};
    const sock_fprog program{code.size(), code.data()};
    const bool ready =
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
    return ready ? check() : 77;
  });
}

int run_on_small_disk(const std::string& path, std::size_t bytes, const std::function<int()>& check) {
  return run_in_child([&] {
    const std::string options = "mode=0700,size=" + std::to_string(bytes);
    const bool ready = unshare(CLONE_NEWNS) == 0 && mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
                       mount("tmpfs", path.c_str(), "tmpfs", 0, options.c_str()) == 0;
    return ready ? check() : 77;
  });
}

}  // namespace defused
