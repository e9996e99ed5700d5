// SPDX-License-Identifier: Apache-2.0
#include "daemon/front_sandbox.h"

#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "daemon/capabilities.h"
#include "daemon/front_landlock.h"
#include "daemon/seccomp_filter.h"
#include "exporters/textfile/textfile.h"

namespace defused {

namespace {

// What serving takes: waiting, sockets that are accepted, memory, time, its own end. No open, exec, socket, kill or
// ptrace. A thread that was started just before says its robust list and its rseq area once; malloc asks for the number
// of processors, qsort for the size of memory.
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
    SCMP_SYS(rseq),
    SCMP_SYS(rt_sigaction),
    SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigreturn),
    SCMP_SYS(sched_getaffinity),
    SCMP_SYS(sched_yield),
    SCMP_SYS(sendfile),
    SCMP_SYS(sendmsg),
    SCMP_SYS(sendto),
    SCMP_SYS(set_robust_list),
    SCMP_SYS(setsockopt),
    SCMP_SYS(shutdown),
    SCMP_SYS(sigaltstack),
    SCMP_SYS(sysinfo),
    SCMP_SYS(write),
    SCMP_SYS(writev),
    SCMP_SYS(eventfd2),
});

// Refused, not fatal: libraries ask for a locale or a time zone file and go on without.
constexpr std::array kRefused = std::to_array<int>(
    {SCMP_SYS(open), SCMP_SYS(openat2), SCMP_SYS(creat), SCMP_SYS(access), SCMP_SYS(faccessat), SCMP_SYS(faccessat2),
     SCMP_SYS(readlink), SCMP_SYS(readlinkat), SCMP_SYS(stat), SCMP_SYS(lstat), SCMP_SYS(statx), SCMP_SYS(socket)});

#ifdef DEFUSED_SANITIZED
// The runtimes of the sanitizers need more: their own threads, signals and maps of the process at its end.
constexpr std::uint32_t kElse = SCMP_ACT_ALLOW;
#else
constexpr std::uint32_t kElse = SCMP_ACT_KILL_PROCESS;
#endif

// 256 clients, 16 listeners, and what the front has for itself.
constexpr rlim_t kMaxDescriptors = 512;

scmp_arg_cmp argument(unsigned index, scmp_compare how, int value) {
  return {index, how, static_cast<scmp_datum_t>(value), 0};
}

// One new file below one directory, its name, its mode, its removal. Each openat is either all of that or refused: the
// conditions leave nothing between them, since what no rule speaks of ends the process.
Result<void> add_textfile_rules(SeccompFilter& filter) {
  constexpr int kFlags = TextfileWriter::kOpenFlags;
  const scmp_arg_cmp here = argument(0, SCMP_CMP_EQ, kTextfileDescriptor);
  const scmp_arg_cmp elsewhere = argument(0, SCMP_CMP_NE, kTextfileDescriptor);
  const scmp_arg_cmp to_here = argument(2, SCMP_CMP_EQ, kTextfileDescriptor);
  struct Rule {
    std::uint32_t action;
    int number;
    SeccompFilter::Conditions conditions;
  };
  const std::array rules = std::to_array<Rule>({
      {SCMP_ACT_ALLOW, SCMP_SYS(openat), {here, argument(2, SCMP_CMP_EQ, kFlags)}},
      {SCMP_ACT_ERRNO(EPERM), SCMP_SYS(openat), {here, argument(2, SCMP_CMP_NE, kFlags)}},
      {SCMP_ACT_ERRNO(EPERM), SCMP_SYS(openat), {elsewhere}},
      {SCMP_ACT_ALLOW, SCMP_SYS(renameat), {here, to_here}},
      {SCMP_ACT_ALLOW, SCMP_SYS(renameat2), {here, to_here, argument(4, SCMP_CMP_EQ, 0)}},
      {SCMP_ACT_ALLOW, SCMP_SYS(unlinkat), {here, argument(2, SCMP_CMP_EQ, 0)}},
      {SCMP_ACT_ALLOW, SCMP_SYS(fchmod), {}},
  });
  for (const Rule& rule : rules) {
    if (auto added = filter.add(rule.action, rule.number, rule.conditions); !added) return added;
  }
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
  const rlimit files{kMaxDescriptors, kMaxDescriptors};
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

Result<void> give_up_privileges(const FrontAccount& account, Textfile textfile) {
  if (chdir("/") < 0) return fail_errno(errno, "changing to /");
  if (auto done = limit_resources(); !done) return done;
  if (auto done = keep_bounding_set({}); !done) return done;
  if (auto done = change_account(account); !done) return done;
  if (auto done = keep_capabilities({}); !done) return done;
  if (prctl(PR_SET_DUMPABLE, 0) < 0) return fail_errno(errno, "PR_SET_DUMPABLE");
  // The change of user cleared it; without it a supervisor that dies would leave a front on the port.
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0) return fail_errno(errno, "PR_SET_PDEATHSIG");
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) return fail_errno(errno, "PR_SET_NO_NEW_PRIVS");
  return forbid_files(textfile == Textfile::written ? kTextfileDescriptor : -1);
}

Result<void> load_front_filter(Textfile textfile) {
  auto filter = SeccompFilter::create(kElse);
  if (!filter) return Failure(filter.error());
  for (const int number : kAllowed) {
    if (auto added = filter->add(SCMP_ACT_ALLOW, number); !added) return added;
  }
  for (const int number : kRefused) {
    if (auto added = filter->add(SCMP_ACT_ERRNO(EPERM), number); !added) return added;
  }
  auto files = textfile == Textfile::written ? add_textfile_rules(*filter)
                                             : filter->add(SCMP_ACT_ERRNO(EPERM), SCMP_SYS(openat));
  if (!files) return files;
  return filter->load();
}

}  // namespace defused
