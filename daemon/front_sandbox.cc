// SPDX-License-Identifier: Apache-2.0
#include "daemon/front_sandbox.h"

#include <grp.h>
#include <pwd.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <memory>

namespace defused {

namespace {

// What serving takes: waiting, sockets that are accepted, memory, time, its own end. No open, exec, socket, kill or
// ptrace.
constexpr std::array kAllowed = std::to_array<int>({
    SCMP_SYS(accept4),
    SCMP_SYS(brk),
    SCMP_SYS(clock_gettime),
    SCMP_SYS(clock_nanosleep),
    SCMP_SYS(close),
    SCMP_SYS(epoll_create1),
    SCMP_SYS(epoll_ctl),
    SCMP_SYS(epoll_pwait),
    SCMP_SYS(epoll_wait),
    SCMP_SYS(exit),
    SCMP_SYS(exit_group),
    SCMP_SYS(fcntl),
    SCMP_SYS(fstat),
    SCMP_SYS(futex),
    SCMP_SYS(getdents64),
    SCMP_SYS(getpeername),
    SCMP_SYS(getpid),
    SCMP_SYS(getrandom),
    SCMP_SYS(getrusage),
    SCMP_SYS(getsockname),
    SCMP_SYS(getsockopt),
    SCMP_SYS(gettid),
    SCMP_SYS(gettimeofday),
    SCMP_SYS(lseek),
    SCMP_SYS(madvise),
    SCMP_SYS(mmap),
    SCMP_SYS(mprotect),
    SCMP_SYS(mremap),
    SCMP_SYS(munmap),
    SCMP_SYS(newfstatat),
    SCMP_SYS(pipe2),
    SCMP_SYS(poll),
    SCMP_SYS(ppoll),
    SCMP_SYS(pread64),
    SCMP_SYS(read),
    SCMP_SYS(readv),
    SCMP_SYS(recvfrom),
    SCMP_SYS(recvmsg),
    SCMP_SYS(restart_syscall),
    SCMP_SYS(rt_sigaction),
    SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigreturn),
    SCMP_SYS(sched_yield),
    SCMP_SYS(sendfile),
    SCMP_SYS(sendmsg),
    SCMP_SYS(sendto),
    SCMP_SYS(setsockopt),
    SCMP_SYS(shutdown),
    SCMP_SYS(sigaltstack),
    SCMP_SYS(write),
    SCMP_SYS(writev),
    SCMP_SYS(eventfd2),
});

// Refused, not fatal: libraries ask for a locale or a time zone file and go on without.
constexpr std::array kRefused =
    std::to_array<int>({SCMP_SYS(open), SCMP_SYS(openat), SCMP_SYS(openat2), SCMP_SYS(creat), SCMP_SYS(access),
                        SCMP_SYS(faccessat), SCMP_SYS(faccessat2), SCMP_SYS(readlink), SCMP_SYS(readlinkat),
                        SCMP_SYS(stat), SCMP_SYS(lstat), SCMP_SYS(statx), SCMP_SYS(socket)});

#ifdef DEFUSED_SANITIZED
// The runtimes of the sanitizers need more: their own threads, signals and maps of the process at its end.
constexpr std::uint32_t kElse = SCMP_ACT_ALLOW;
#else
constexpr std::uint32_t kElse = SCMP_ACT_KILL_PROCESS;
#endif

Result<void> load_filter() {
  const std::unique_ptr<void, decltype(&seccomp_release)> filter(seccomp_init(kElse), &seccomp_release);
  if (!filter) return fail(ErrorKind::io, "seccomp_init failed");
  for (const int number : kAllowed) {
    if (kElse == SCMP_ACT_ALLOW) break;
    if (const int error = seccomp_rule_add(filter.get(), SCMP_ACT_ALLOW, number, 0); error < 0) {
      return fail_errno(-error, "adding a seccomp rule");
    }
  }
  for (const int number : kRefused) {
    if (const int error = seccomp_rule_add(filter.get(), SCMP_ACT_ERRNO(EPERM), number, 0); error < 0) {
      return fail_errno(-error, "adding a seccomp rule");
    }
  }
  if (const int error = seccomp_load(filter.get()); error < 0) return fail_errno(-error, "loading the seccomp filter");
  return {};
}

Result<void> drop_bounding_set() {
  for (int capability = 0; prctl(PR_CAPBSET_READ, capability) >= 0; ++capability) {
    if (prctl(PR_CAPBSET_DROP, capability) < 0) return fail_errno(errno, "dropping a capability from the bounding set");
  }
  return {};
}

Result<void> drop_capabilities() {
  const std::unique_ptr<void, int (*)(void*)> none(cap_init(), &cap_free);
  if (!none || cap_set_proc(static_cast<cap_t>(none.get())) < 0) return fail_errno(errno, "dropping capabilities");
  if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
    return fail_errno(errno, "dropping ambient capabilities");
  return {};
}

Result<void> change_account(const FrontAccount& account) {
  if (setgroups(0, nullptr) < 0) return fail_errno(errno, "dropping groups");
  if (setresgid(account.gid, account.gid, account.gid) < 0) return fail_errno(errno, "changing the group");
  if (setresuid(account.uid, account.uid, account.uid) < 0) return fail_errno(errno, "changing the user");
  return {};
}

Result<void> limit_resources() {
  const rlimit no_core{0, 0};
  const rlimit files{256, 256};
  if (setrlimit(RLIMIT_CORE, &no_core) < 0 || setrlimit(RLIMIT_NOFILE, &files) < 0)
    return fail_errno(errno, "setting limits");
  return {};
}

}  // namespace

FrontAccount find_front_account(const std::string& name) {
  const passwd* found = getpwnam(name.c_str());
  if (found == nullptr || found->pw_uid == 0 || found->pw_gid == 0) return {kSpareId, kSpareId, false};
  return {found->pw_uid, found->pw_gid, true};
}

Result<void> enter_sandbox(const FrontAccount& account) {
  if (chdir("/") < 0) return fail_errno(errno, "changing to /");
  if (auto done = limit_resources(); !done) return done;
  if (auto done = drop_bounding_set(); !done) return done;
  if (auto done = change_account(account); !done) return done;
  if (auto done = drop_capabilities(); !done) return done;
  if (prctl(PR_SET_DUMPABLE, 0) < 0) return fail_errno(errno, "PR_SET_DUMPABLE");
  // The change of user cleared it; without it a supervisor that dies would leave a front on the port.
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0) return fail_errno(errno, "PR_SET_PDEATHSIG");
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) return fail_errno(errno, "PR_SET_NO_NEW_PRIVS");
  return load_filter();
}

}  // namespace defused
