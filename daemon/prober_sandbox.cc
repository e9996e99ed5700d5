// SPDX-License-Identifier: Apache-2.0
#include "daemon/prober_sandbox.h"

#include <linux/bpf.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <ctime>
#include <span>

#include "daemon/capabilities.h"
#include "daemon/confined_root.h"
#include "daemon/seccomp_filter.h"
#include "fusectl/fuse_root.h"

namespace defused {

namespace {

#ifdef DEFUSED_SANITIZED
constexpr bool kSanitized = true;  // the runtimes trace, execute and read /proc/self when they have something to say
#else
constexpr bool kSanitized = false;
#endif

// Of no use to a reader of /proc, nor to a hook: the kernel itself, its modules and keys, other processes' memory.
constexpr std::array kNobody = std::to_array<int>({
    SCMP_SYS(acct),
    SCMP_SYS(add_key),
    SCMP_SYS(delete_module),
    SCMP_SYS(fanotify_init),
    SCMP_SYS(finit_module),
    SCMP_SYS(init_module),
    SCMP_SYS(io_uring_enter),
    SCMP_SYS(io_uring_register),
    SCMP_SYS(io_uring_setup),
    SCMP_SYS(ioperm),
    SCMP_SYS(iopl),
    SCMP_SYS(kcmp),
    SCMP_SYS(kexec_file_load),
    SCMP_SYS(kexec_load),
    SCMP_SYS(keyctl),
    SCMP_SYS(lookup_dcookie),
    SCMP_SYS(move_pages),
    SCMP_SYS(name_to_handle_at),
    SCMP_SYS(nfsservctl),
    SCMP_SYS(open_by_handle_at),
    SCMP_SYS(perf_event_open),
    SCMP_SYS(pidfd_getfd),
    SCMP_SYS(process_madvise),
    SCMP_SYS(process_vm_readv),
    SCMP_SYS(process_vm_writev),
    SCMP_SYS(quotactl),
    SCMP_SYS(quotactl_fd),
    SCMP_SYS(reboot),
    SCMP_SYS(request_key),
    SCMP_SYS(swapoff),
    SCMP_SYS(swapon),
    SCMP_SYS(syslog),
    SCMP_SYS(userfaultfd),
    SCMP_SYS(vhangup),
});

// What a hook may need and the prober does not - linkat it does, to set a ledger aside: programs, sockets, mounts,
// namespaces, clocks, other users, whatever changes a file's owner, mode or name outside of what is opened for writing.
constexpr std::array kHooksOnly = std::to_array<int>({
    SCMP_SYS(accept),        SCMP_SYS(accept4),       SCMP_SYS(adjtimex),      SCMP_SYS(bind),
    SCMP_SYS(capset),        SCMP_SYS(chmod),         SCMP_SYS(chown),         SCMP_SYS(chroot),
    SCMP_SYS(clock_adjtime), SCMP_SYS(clock_settime), SCMP_SYS(connect),       SCMP_SYS(execveat),
    SCMP_SYS(fchmodat),      SCMP_SYS(fchown),        SCMP_SYS(fchownat),      SCMP_SYS(fremovexattr),
    SCMP_SYS(fsconfig),      SCMP_SYS(fsetxattr),     SCMP_SYS(fsmount),       SCMP_SYS(fsopen),
    SCMP_SYS(fspick),        SCMP_SYS(futimesat),     SCMP_SYS(lchown),        SCMP_SYS(link),
    SCMP_SYS(listen),        SCMP_SYS(lremovexattr),  SCMP_SYS(lsetxattr),     SCMP_SYS(mknod),
    SCMP_SYS(mknodat),       SCMP_SYS(mount),         SCMP_SYS(mount_setattr), SCMP_SYS(move_mount),
    SCMP_SYS(mq_open),       SCMP_SYS(msgget),        SCMP_SYS(open_tree),     SCMP_SYS(pivot_root),
    SCMP_SYS(removexattr),   SCMP_SYS(semget),        SCMP_SYS(setdomainname), SCMP_SYS(setfsgid),
    SCMP_SYS(setfsuid),      SCMP_SYS(setgid),        SCMP_SYS(setgroups),     SCMP_SYS(sethostname),
    SCMP_SYS(setns),         SCMP_SYS(setregid),      SCMP_SYS(setresgid),     SCMP_SYS(setresuid),
    SCMP_SYS(setreuid),      SCMP_SYS(settimeofday),  SCMP_SYS(setuid),        SCMP_SYS(setxattr),
    SCMP_SYS(shmget),        SCMP_SYS(socket),        SCMP_SYS(symlink),       SCMP_SYS(symlinkat),
    SCMP_SYS(truncate),      SCMP_SYS(umount2),       SCMP_SYS(unshare),       SCMP_SYS(utime),
    SCMP_SYS(utimensat),     SCMP_SYS(utimes),
});

// The same, but a sanitizer's runtime needs them at its end.
constexpr std::array kNotSanitized = std::to_array<int>(
    {SCMP_SYS(execve), SCMP_SYS(ioctl), SCMP_SYS(personality), SCMP_SYS(ptrace), SCMP_SYS(socketpair)});

// Of bpf(2): to reach programs and maps of others, or to attach one to a control group. Our own are loaded, linked to
// an iterator and read; what else a link may be is not told apart (docs/decisions/0009).
constexpr std::array kForeignBpf =
    std::to_array<int>({BPF_OBJ_PIN, BPF_OBJ_GET, BPF_PROG_ATTACH, BPF_PROG_DETACH, BPF_PROG_GET_FD_BY_ID,
                        BPF_MAP_GET_FD_BY_ID, BPF_LINK_UPDATE, BPF_LINK_GET_FD_BY_ID, BPF_LINK_DETACH});

constexpr std::array kNamespaces = std::to_array<unsigned>(
    {CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET});

Result<void> refuse_all(SeccompFilter& filter, std::span<const int> calls) {
  for (const int number : calls) {
    if (auto added = filter.add(SCMP_ACT_ERRNO(EPERM), number); !added) return added;
  }
  return {};
}

// What a kernel has learned since this list was made (fchmodat2, setxattrat ..) it has not learned for the prober:
// every libc goes on without.
Result<void> refuse_newer_calls(SeccompFilter& filter) {
  constexpr int kFirst = 451;  // behind set_mempolicy_home_node, Linux 5.17; the numbers are those of all architectures
  constexpr int kBehind = 600;
  for (int number = kFirst; number < kBehind; ++number) {
    if (auto added = filter.add(SCMP_ACT_ERRNO(ENOSYS), number); !added) return added;
  }
  return {};
}

// clone3 has its flags in memory, where a filter does not see them: libc goes on with clone where it is not there.
Result<void> refuse_namespaces(SeccompFilter& filter) {
  if (auto added = filter.add(SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3)); !added) return added;
  for (const unsigned flag : kNamespaces) {
    const scmp_arg_cmp has_flag = {0, SCMP_CMP_MASKED_EQ, flag, flag};
    if (auto added = filter.add(SCMP_ACT_ERRNO(EPERM), SCMP_SYS(clone), {has_flag}); !added) return added;
  }
  return {};
}

Result<void> refuse_foreign_bpf(SeccompFilter& filter) {
  for (const int command : kForeignBpf) {
    const scmp_arg_cmp is_command = {0, SCMP_CMP_EQ, static_cast<scmp_datum_t>(command), 0};
    if (auto added = filter.add(SCMP_ACT_ERRNO(EPERM), SCMP_SYS(bpf), {is_command}); !added) return added;
  }
  return {};
}

// What a person is told once: only what was there to be given up.
void try_confined_root(const SandboxPlan& plan, std::vector<std::string>& notes) {
  if (kSanitized) return;
  tzset();  // the time zone is a file that is not there any more
  const auto entered = enter_confined_root({plan.state_directory, plan.writes_state, plan.acts});
  if (!entered) notes.push_back("the prober keeps the mounts of the host: " + entered.error().message);
}

}  // namespace

SandboxPlan plan_sandbox(const Settings& settings) {
  SandboxPlan plan;
  plan.acts = settings.policy.mode == Mode::enforce;
  plan.hooks = plan.acts && (!settings.remedy.before_hook.empty() || !settings.remedy.after_hook.empty());
  plan.writes_state = true;
  plan.state_directory = settings.state_directory;
  return plan;
}

SandboxGround look_at_ground(const std::string& state_directory) {
  SandboxGround ground;
  if (const auto fusectl = FuseRoot::open()) {
    ground.fusectl = true;
    ground.fusectl_read_only = fusectl->is_read_only();
  }
  struct stat state {};
  if (stat(state_directory.c_str(), &state) == 0) {
    ground.state_device = state.st_dev;
    ground.state_inode = state.st_ino;
  }
  return ground;
}

Result<void> load_prober_filter(bool hooks) {
  auto filter = SeccompFilter::create(SCMP_ACT_ALLOW);
  if (!filter) return Failure(filter.error());
  // Of another architecture's calls the rules would say nothing: none of them.
  if (const int error = seccomp_attr_set(filter->get(), SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(EPERM)); error < 0)
    return fail_errno(-error, "refusing other architectures");
  // NoNewPrivs is set where it is to be: a hook may need a program that gains privileges.
  if (const int error = seccomp_attr_set(filter->get(), SCMP_FLTATR_CTL_NNP, 0); error < 0)
    return fail_errno(-error, "leaving NoNewPrivs alone");
  if (auto done = refuse_all(*filter, kNobody); !done) return done;
  if (!hooks) {
    if (auto done = refuse_all(*filter, kHooksOnly); !done) return done;
    if (!kSanitized) {
      if (auto done = refuse_all(*filter, kNotSanitized); !done) return done;
    }
    if (auto done = refuse_newer_calls(*filter); !done) return done;
    if (auto done = refuse_namespaces(*filter); !done) return done;
    if (auto done = refuse_foreign_bpf(*filter); !done) return done;
  }
  return filter->load();
}

Result<std::vector<std::string>> confine_prober(const SandboxPlan& plan) {
  std::vector<std::string> notes;
  const rlimit no_core{0, 0};
  if (setrlimit(RLIMIT_CORE, &no_core) < 0) return fail_errno(errno, "setting limits");
  // Before Linux 5.11 BPF programs take locked memory. Who may not have more has what he has.
  const rlimit all_memory{RLIM_INFINITY, RLIM_INFINITY};
  setrlimit(RLIMIT_MEMLOCK, &all_memory);
  // A hook is a program of this host: it finds the host as it is, and may become whatever the service could.
  if (!plan.hooks) {
    try_confined_root(plan, notes);
    if (auto done = keep_bounding_set({}); !done) return Failure(done.error());
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) return fail_errno(errno, "PR_SET_NO_NEW_PRIVS");
  }
  const Mode mode = plan.acts ? Mode::enforce : Mode::observe;
  const CapabilitySet kept = capabilities_of_prober(mode, plan.hooks);
  // A hook that gained capabilities would outlive the prober.
  if (auto done = plan.hooks ? use_capabilities(kept) : keep_capabilities(kept); !done) return Failure(done.error());
  auto filtered = load_prober_filter(plan.hooks);
  if (!filtered && filtered.error().kind == ErrorKind::denied && plan.hooks) {
    // Without CAP_SYS_ADMIN a filter needs it; then hooks are what the prober is.
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) return fail_errno(errno, "PR_SET_NO_NEW_PRIVS");
    filtered = load_prober_filter(plan.hooks);
  }
  if (!filtered) return Failure(filtered.error());
  return notes;
}

}  // namespace defused
