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
#include <vector>

#include "daemon/front_landlock.h"
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

using Conditions = std::vector<scmp_arg_cmp>;

Result<void> add_rule(scmp_filter_ctx filter, std::uint32_t action, int number, const Conditions& conditions = {}) {
  if (action == kElse) return {};  // libseccomp refuses a rule that says what is the case anyway
  const int error =
      seccomp_rule_add_array(filter, action, number, static_cast<unsigned>(conditions.size()), conditions.data());
  if (error < 0) return fail_errno(-error, "adding a seccomp rule");
  return {};
}

scmp_arg_cmp argument(unsigned index, scmp_compare how, int value) {
  return {index, how, static_cast<scmp_datum_t>(value), 0};
}

// One new file below one directory, its name, its mode, its removal. Each openat is either all of that or refused: the
// conditions leave nothing between them, since what no rule speaks of ends the process.
Result<void> add_textfile_rules(scmp_filter_ctx filter) {
  constexpr int kFlags = TextfileWriter::kOpenFlags;
  const scmp_arg_cmp here = argument(0, SCMP_CMP_EQ, kTextfileDescriptor);
  const scmp_arg_cmp elsewhere = argument(0, SCMP_CMP_NE, kTextfileDescriptor);
  const scmp_arg_cmp to_here = argument(2, SCMP_CMP_EQ, kTextfileDescriptor);
  struct Rule {
    std::uint32_t action;
    int number;
    Conditions conditions;
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
    if (auto added = add_rule(filter, rule.action, rule.number, rule.conditions); !added) return added;
  }
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
  if (auto done = drop_bounding_set(); !done) return done;
  if (auto done = change_account(account); !done) return done;
  if (auto done = drop_capabilities(); !done) return done;
  if (prctl(PR_SET_DUMPABLE, 0) < 0) return fail_errno(errno, "PR_SET_DUMPABLE");
  // The change of user cleared it; without it a supervisor that dies would leave a front on the port.
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0) return fail_errno(errno, "PR_SET_PDEATHSIG");
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) return fail_errno(errno, "PR_SET_NO_NEW_PRIVS");
  return forbid_files(textfile == Textfile::written ? kTextfileDescriptor : -1);
}

Result<void> load_front_filter(Textfile textfile) {
  const std::unique_ptr<void, decltype(&seccomp_release)> filter(seccomp_init(kElse), &seccomp_release);
  if (!filter) return fail(ErrorKind::io, "seccomp_init failed");
  // All threads, or none.
  if (const int error = seccomp_attr_set(filter.get(), SCMP_FLTATR_CTL_TSYNC, 1); error < 0)
    return fail_errno(-error, "asking for a filter of all threads");
  for (const int number : kAllowed) {
    if (auto added = add_rule(filter.get(), SCMP_ACT_ALLOW, number); !added) return added;
  }
  for (const int number : kRefused) {
    if (auto added = add_rule(filter.get(), SCMP_ACT_ERRNO(EPERM), number); !added) return added;
  }
  auto files = textfile == Textfile::written ? add_textfile_rules(filter.get())
                                             : add_rule(filter.get(), SCMP_ACT_ERRNO(EPERM), SCMP_SYS(openat));
  if (!files) return files;
  if (const int error = seccomp_load(filter.get()); error < 0) return fail_errno(-error, "loading the seccomp filter");
  return {};
}

}  // namespace defused
