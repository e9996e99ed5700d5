// SPDX-License-Identifier: Apache-2.0
#include "inject.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace lab {

#if defined(__x86_64__)

namespace {

constexpr unsigned long kBelowStack = 4096;  // well below the red zone

InjectResult failed(const std::string& what) { return {true, what + ": " + std::strerror(errno), std::nullopt, 0}; }

bool copy(pid_t pid, unsigned long address, void* ours, std::size_t size, bool write) {
  iovec local{ours, size};
  iovec remote{reinterpret_cast<void*>(address), size};  // NOLINT(performance-no-int-to-ptr): an address over there
  const ssize_t done =
      write ? process_vm_writev(pid, &local, 1, &remote, 1, 0) : process_vm_readv(pid, &local, 1, &remote, 1, 0);
  return done == static_cast<ssize_t>(size);
}

bool wait_for_stop(pid_t pid) {
  for (int tries = 0; tries < 2000; ++tries) {
    int status = 0;
    const pid_t stopped = waitpid(pid, &status, __WALL | WNOHANG);
    if (stopped == pid) return WIFSTOPPED(status);
    if (stopped < 0) return false;
    usleep(1000);
  }
  errno = ETIMEDOUT;
  return false;
}

// What the kernel would have done for the call that our stop interrupted (arch/x86/kernel/signal.c).
void restart_interrupted(user_regs_struct& regs) {
  constexpr long kRestartSys = 512;
  constexpr long kRestartBlock = 516;
  const long value = -static_cast<long>(regs.rax);
  if (static_cast<long>(regs.orig_rax) < 0) return;
  if (value >= kRestartSys && value < kRestartSys + 3) {
    regs.rax = regs.orig_rax;
    regs.rip -= 2;
  } else if (value == kRestartBlock) {
    regs.rax = static_cast<unsigned long long>(-EINTR);
  }
  regs.orig_rax = static_cast<unsigned long long>(-1);
}

// A directory that the confined prober has and does not need (daemon/confined_root.h).
constexpr const char* kDoor = "/sys/fs/cgroup";

ino_t mount_namespace_of(pid_t pid) {
  struct stat found {};
  return stat(("/proc/" + std::to_string(pid) + "/ns/mnt").c_str(), &found) == 0 ? found.st_ino : 0;
}

// In a child, since who changes its mount namespace does not come back: takes the mount that `path` is on along to
// kDoor.
bool carry_there(pid_t pid, const std::string& directory) {
  const pid_t child = fork();
  if (child == 0) {
    constexpr unsigned kClone = 1;      // OPEN_TREE_CLONE
    constexpr unsigned kEmptyPath = 4;  // MOVE_MOUNT_F_EMPTY_PATH
    const long tree = syscall(SYS_open_tree, AT_FDCWD, directory.c_str(), kClone | O_CLOEXEC);
    const int there = open(("/proc/" + std::to_string(pid) + "/ns/mnt").c_str(), O_RDONLY | O_CLOEXEC);
    const bool done = tree >= 0 && there >= 0 && setns(there, CLONE_NEWNS) == 0 &&
                      syscall(SYS_move_mount, tree, "", AT_FDCWD, kDoor, kEmptyPath) == 0;
    _exit(done ? 0 : errno);
  }
  int status = 0;
  if (child < 0 || waitpid(child, &status, 0) != child) return false;
  errno = WEXITSTATUS(status);
  return errno == 0;
}

InjectResult run(pid_t pid, std::string path, bool wait) {
  if (path.front() == '/' && !wait && mount_namespace_of(pid) != mount_namespace_of(getpid())) {
    const std::size_t slash = path.rfind('/');
    if (!carry_there(pid, path.substr(0, slash))) return failed("bringing the file to the process");
    path = kDoor + path.substr(slash);
  }
  user_regs_struct saved{};
  if (ptrace(PTRACE_GETREGS, pid, nullptr, &saved) < 0) return failed("reading registers");
  unsigned short instruction = 0;
  constexpr unsigned short kSyscall = 0x050f;
  if (!copy(pid, saved.rip - 2, &instruction, sizeof instruction, false) || instruction != kSyscall) {
    return {true, "the process was not inside a system call; try again", std::nullopt, 0};
  }
  std::string text(path.c_str(), path.size() + 1);
  const unsigned long address = saved.rsp - kBelowStack;
  if (!copy(pid, address, text.data(), text.size(), true)) return failed("writing the path");
  user_regs_struct regs = saved;
  regs.rip -= 2;
  regs.rax = SYS_openat;
  regs.orig_rax = static_cast<unsigned long long>(-1);
  regs.rdi = static_cast<unsigned long long>(AT_FDCWD);
  regs.rsi = address;
  regs.rdx = O_RDONLY | O_CLOEXEC;
  if (ptrace(PTRACE_SETREGS, pid, nullptr, &regs) < 0) return failed("writing registers");
  if (!wait) return {true, "", std::nullopt, pid};
  for (int stop = 0; stop < 2; ++stop) {  // the entry and the exit of the call
    if (ptrace(PTRACE_SYSCALL, pid, nullptr, nullptr) < 0) return failed("letting it run");
    if (!wait_for_stop(pid)) return failed("waiting for the call to end");
  }
  if (ptrace(PTRACE_GETREGS, pid, nullptr, &regs) < 0) return failed("reading the result");
  const long result = static_cast<long>(regs.rax);
  restart_interrupted(saved);
  if (ptrace(PTRACE_SETREGS, pid, nullptr, &saved) < 0) return failed("restoring registers");
  return {true, "", result, pid};
}

}  // namespace

InjectResult inject_open(pid_t pid, const std::string& path, bool wait) {
  if (ptrace(PTRACE_SEIZE, pid, nullptr, nullptr) < 0) return failed("attaching");
  if (ptrace(PTRACE_INTERRUPT, pid, nullptr, nullptr) < 0 || !wait_for_stop(pid)) {
    InjectResult result = failed("stopping it");
    ptrace(PTRACE_DETACH, pid, nullptr, nullptr);
    return result;
  }
  InjectResult result = run(pid, path, wait);
  ptrace(PTRACE_DETACH, pid, nullptr, nullptr);
  return result;
}

InjectResult let_go_into_open(pid_t pid, const std::string& path) { return run(pid, path, false); }

#else

InjectResult inject_open(pid_t, const std::string&, bool) { return {false, "only on x86-64", std::nullopt, 0}; }
InjectResult let_go_into_open(pid_t, const std::string&) { return {false, "only on x86-64", std::nullopt, 0}; }

#endif

}  // namespace lab
