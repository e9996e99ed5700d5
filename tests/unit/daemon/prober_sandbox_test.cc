// SPDX-License-Identifier: Apache-2.0
// The prober's sandbox on this kernel: each thing that must not be possible is tried, beside a real connection.
#include "daemon/prober_sandbox.h"

#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/capability.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>

#include "base/text.h"
#include "base/unique_fd.h"
#include "confined_child.h"
#include "daemon/capabilities.h"
#include "fusectl/fuse_root.h"
#include "procfs/proc_root.h"
#include "temporary_directory.h"

using namespace defused;

namespace {

#ifdef DEFUSED_SANITIZED
constexpr bool kSanitized = true;  // keeps the host's mounts and calls that its runtime needs
#else
constexpr bool kSanitized = false;
#endif

// A FUSE file system that is mounted and has no server; never touched by its path.
class Connection {
 public:
  Connection() : device_(open("/dev/fuse", O_RDWR | O_CLOEXEC)) {
    const std::string options = "fd=" + std::to_string(device_.get()) + ",rootmode=40000,user_id=0,group_id=0";
    REQUIRE(mount("sandbox", point().c_str(), "fuse.defusedlab", MS_NOSUID | MS_NODEV, options.c_str()) == 0);
    std::ifstream mounts("/proc/self/mountinfo");
    std::string line;
    while (std::getline(mounts, line)) {
      if (line.find(" " + point() + " ") == std::string::npos) continue;
      std::string_view rest = line;
      take_field(rest, ' ');
      take_field(rest, ' ');
      take_field(rest, ':');
      number_ = std::string(take_field(rest, ' '));
    }
    REQUIRE(!number_.empty());
  }
  ~Connection() { umount2(point().c_str(), MNT_DETACH); }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  [[nodiscard]] std::string file(const std::string& name) const {
    return std::string(FuseRoot::kDefaultPath) + "/" + number_ + "/" + name;
  }

 private:
  [[nodiscard]] std::string point() const { return directory_.path().string(); }
  TemporaryDirectory directory_;
  UniqueFd device_;
  std::string number_;
};

bool can_be_tried() {
  const bool can = geteuid() == 0 && effective_capabilities().count(CAP_SYS_ADMIN) > 0 && FuseRoot::open() &&
                   access("/dev/fuse", R_OK | W_OK) == 0;
  if (!can) WARN("not tried: it takes root, fusectl and /dev/fuse");
  return can;
}

// Confines as the prober does; what this kernel does not allow fails the test.
std::function<Result<void>()> confinement(const SandboxPlan& plan) {
  return [plan]() -> Result<void> {
    const auto notes = confine_prober(plan);
    if (!notes) return Failure(notes.error());
    if (!notes->empty()) return fail(ErrorKind::unsupported, notes->front());
    return {};
  };
}

SandboxPlan plan_of(bool acts, bool writes_state, const TemporaryDirectory& state, bool hooks = false) {
  return {acts, hooks, writes_state, state.path().string()};
}

long open_to(const std::string& path, int flags) { return open(path.c_str(), flags | O_CLOEXEC, 0600); }

long holds(bool condition) {
  errno = ECANCELED;
  return condition ? 0 : -1;
}

bool has_nothing_in_bounding_set() {
  for (int capability = 0; prctl(PR_CAPBSET_READ, capability) >= 0; ++capability) {
    if (is_in_bounding_set(capability)) return false;
  }
  return true;
}

CapabilitySet expected(Mode mode, bool hooks) {
  CapabilitySet both;
  const CapabilitySet own = effective_capabilities();
  const CapabilitySet kept = capabilities_of_prober(mode, hooks);
  std::set_intersection(own.begin(), own.end(), kept.begin(), kept.end(), std::inserter(both, both.end()));
  return both;
}

long capset_all() {
  const std::unique_ptr<void, int (*)(void*)> all(cap_from_text("all=ep"), &cap_free);
  return cap_set_proc(static_cast<cap_t>(all.get()));
}

long clone_with(unsigned long flag) {
  const long child = syscall(SYS_clone, flag | SIGCHLD, 0, 0, 0, 0);
  if (child == 0) _exit(0);
  return child;
}

long run_program(const char* path) {
  const pid_t child = fork();
  if (child == 0) {
    execl(path, path, nullptr);
    _exit(errno);
  }
  int status = 0;
  waitpid(child, &status, 0);
  errno = WEXITSTATUS(status);
  return errno == 0 ? 0 : -1;
}

bool reads(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return !text.str().empty();
}

}  // namespace

TEST_CASE("who looks can open no abort file, and write nothing but the state directory") {
  if (!can_be_tried()) return;
  const Connection connection;
  const TemporaryDirectory state;
  const TemporaryDirectory elsewhere;
  const auto looks = confinement(plan_of(false, true, state));
  CHECK(outcome_of(looks, [&] { return open_to(connection.file("waiting"), O_RDONLY); }) == 0);
  CHECK(outcome_of(looks, [&] { return open_to(state.file("ledger"), O_RDWR | O_CREAT); }) == 0);
  CHECK(access(state.file("ledger").c_str(), F_OK) == 0);
  CHECK(outcome_of(looks, [&] { return rename(state.file("ledger").c_str(), state.file("other").c_str()); }) == 0);
  CHECK(outcome_of(looks, [&] { return unlink(state.file("other").c_str()); }) == 0);
  if (kSanitized) return;
  CHECK(outcome_of(looks, [&] { return open_to(connection.file("abort"), O_WRONLY); }) == EROFS);
  CHECK(outcome_of(looks, [&] { return open_to(connection.file("max_background"), O_WRONLY); }) == EROFS);
  // By the root of others, which is a link like any other.
  const std::string parent = "/proc/" + std::to_string(getpid());
  for (const char* way : {"/root", "/cwd"}) {
    CHECK(outcome_of(looks, [&] { return open_to(parent + way + connection.file("abort"), O_WRONLY); }) == ELOOP);
    CHECK(outcome_of(looks, [&] { return open_to(parent + way, O_PATH); }) == ELOOP);
  }
  CHECK(outcome_of(looks, [&] { return open_to(elsewhere.file("a"), O_RDWR | O_CREAT); }) == ENOENT);
  CHECK(outcome_of(looks, [] { return open_to("/a", O_RDWR | O_CREAT); }) == EROFS);
  CHECK(outcome_of(looks, [] { return mkdir("/made", 0700); }) == EROFS);
  CHECK(outcome_of(looks, [] { return open_to("/proc/sys/kernel/core_pattern", O_WRONLY); }) == EROFS);
  CHECK(outcome_of(looks, [] { return open_to("/sys/kernel/mm/transparent_hugepage/enabled", O_WRONLY); }) == EROFS);
  CHECK(outcome_of(looks, [] { return open_to("/etc/passwd", O_RDONLY); }) == ENOENT);
  CHECK(outcome_of(looks, [&] { return chdir(".."); }) == 0);
}

TEST_CASE("who acts can open abort files, and write nothing else but the state directory") {
  if (!can_be_tried()) return;
  const Connection connection;
  const TemporaryDirectory state;
  const auto acts = confinement(plan_of(true, true, state));
  CHECK(outcome_of(acts, [&] { return open_to(connection.file("abort"), O_WRONLY); }) == 0);
  CHECK(outcome_of(acts, [&] { return open_to(state.file("ledger"), O_RDWR | O_CREAT); }) == 0);
  CHECK(outcome_of(acts, [] { return holds(effective_capabilities().count(CAP_DAC_OVERRIDE) == 1); }) == 0);
  if (kSanitized) return;
  CHECK(outcome_of(acts, [] { return open_to("/a", O_RDWR | O_CREAT); }) == EROFS);
  CHECK(outcome_of(acts, [] { return open_to("/proc/sys/kernel/core_pattern", O_WRONLY); }) == EROFS);
  CHECK(outcome_of(acts, [] { return run_program("/bin/true"); }) == EPERM);
}

TEST_CASE("who keeps no records writes nothing, and a state directory need not be there") {
  if (!can_be_tried() || kSanitized) return;
  const TemporaryDirectory state;
  const auto looks = confinement(plan_of(false, false, state));
  CHECK(outcome_of(looks, [&] { return open_to(state.file("ledger"), O_RDWR | O_CREAT); }) == EROFS);
  CHECK(outcome_of(looks, [&] { return open_to(state.path().string(), O_RDONLY | O_DIRECTORY); }) == 0);
  SandboxPlan without = plan_of(false, false, state);
  without.state_directory = state.file("none");
  CHECK(outcome_of(confinement(without), [&] { return open_to(without.state_directory, O_RDONLY); }) == ENOENT);
}

TEST_CASE("the sandbox leaves what reading other processes takes") {
  if (!can_be_tried()) return;
  const TemporaryDirectory state;
  const auto looks = confinement(plan_of(false, true, state));
  const std::string parent = "/proc/" + std::to_string(getpid());
  for (const char* file : {"/status", "/stack", "/wchan", "/stat", "/mountinfo", "/fdinfo/0"}) {
    CAPTURE(file);
    if (reads(parent + file)) CHECK(outcome_of(looks, [&] { return holds(reads(parent + file)); }) == 0);
  }
  std::array<char, 64> text{};
  CHECK(outcome_of(looks, [&] { return readlink((parent + "/ns/pid").c_str(), text.data(), text.size()); }) == 0);
  // A link like any other, which its /proc does not follow.
  CHECK(outcome_of(looks, [] {
          const auto proc = ProcRoot::open();
          return holds(proc && proc->files().read_link("self/ns/pid"));
        }) == 0);
  // A ledger is set aside by a second name.
  state.write("ledger.json", "broken");
  const std::string ledger = state.file("ledger.json");
  const std::string aside = ledger + ".corrupt";
  CHECK(outcome_of(looks, [&] { return linkat(AT_FDCWD, ledger.c_str(), AT_FDCWD, aside.c_str(), 0); }) == 0);
  CHECK(outcome_of(looks, [] { return clone_with(0); }) == 0);
  CHECK(outcome_of(looks, [] {
          const pid_t child = fork();
          if (child == 0) pause();
          return static_cast<long>(kill(child, SIGKILL));
        }) == 0);
}

TEST_CASE("capabilities are those of the table, and none comes back") {
  if (!can_be_tried()) return;
  const TemporaryDirectory state;
  for (const bool acts : {false, true}) {
    CAPTURE(acts);
    const auto confined = confinement(plan_of(acts, true, state));
    const CapabilitySet wanted = expected(acts ? Mode::enforce : Mode::observe, false);
    CHECK(outcome_of(confined, [&] { return holds(effective_capabilities() == wanted); }) == 0);
    CHECK(outcome_of(confined, [] { return holds(has_nothing_in_bounding_set()); }) == 0);
    CHECK(outcome_of(confined, [] { return holds(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1); }) == 0);
    CHECK(outcome_of(confined, [] { return holds(prctl(PR_GET_SECCOMP, 0, 0, 0, 0) == 2); }) == 0);
    CHECK(outcome_of(confined, [] { return capset_all(); }) == EPERM);
  }
}

TEST_CASE("calls that a reader of /proc does not need are refused, and do not end it") {
  if (!can_be_tried()) return;
  const TemporaryDirectory state;
  const auto looks = confinement(plan_of(false, true, state));
  const pid_t parent = getpid();
  CHECK(outcome_of(looks, [] { return socket(AF_UNIX, SOCK_STREAM, 0); }) == EPERM);
  CHECK(outcome_of(looks, [] { return socket(AF_INET, SOCK_STREAM, 0); }) == EPERM);
  CHECK(outcome_of(looks, [] { return mount("a", "/proc", "tmpfs", 0, nullptr); }) == EPERM);
  CHECK(outcome_of(looks, [] { return umount2("/proc", MNT_DETACH); }) == EPERM);
  CHECK(outcome_of(looks, [] { return unshare(CLONE_NEWNS); }) == EPERM);
  CHECK(outcome_of(looks, [] { return clone_with(CLONE_NEWUSER); }) == EPERM);
  CHECK(outcome_of(looks, [] { return clone_with(CLONE_NEWPID); }) == EPERM);
  CHECK(outcome_of(looks, [] { return syscall(SYS_clone3, nullptr, 0); }) == ENOSYS);
  CHECK(outcome_of(looks, [] { return setuid(65534); }) == EPERM);
  CHECK(outcome_of(looks, [] { return chroot("/proc"); }) == EPERM);
  CHECK(outcome_of(looks, [] { return syscall(SYS_setns, -1, 0); }) == EPERM);
  CHECK(outcome_of(looks, [] { return syscall(SYS_finit_module, -1, "", 0); }) == EPERM);
  CHECK(outcome_of(looks, [] { return syscall(SYS_kcmp, -1, -1, 0, 0, 0); }) == EPERM);
  CHECK(outcome_of(looks, [] { return syscall(SYS_keyctl, 0, 0); }) == EPERM);
  CHECK(outcome_of(looks, [] { return syscall(SYS_bpf, BPF_OBJ_GET, nullptr, 0); }) == EPERM);
  CHECK(outcome_of(looks, [] { return syscall(SYS_pidfd_getfd, -1, 0, 0); }) == EPERM);
  CHECK(outcome_of(looks, [] { return syscall(SYS_open_by_handle_at, -1, nullptr, 0); }) == EPERM);
  CHECK(outcome_of(looks, [&] { return syscall(SYS_process_vm_writev, parent, nullptr, 0, nullptr, 0, 0); }) == EPERM);
  CHECK(outcome_of(looks, [&] { return chmod(state.path().c_str(), 0777); }) == EPERM);
  CHECK(outcome_of(looks, [] { return syscall(452, -1, "", 0, 0); }) == ENOSYS);  // fchmodat2, Linux 6.6
  if (kSanitized) return;
  CHECK(outcome_of(looks, [&] { return ptrace(PTRACE_SEIZE, parent, nullptr, nullptr); }) == EPERM);
  CHECK(outcome_of(looks, [] { return run_program("/bin/true"); }) == EPERM);
}

TEST_CASE("with hooks programs of the host can be run, with what the service could give them") {
  if (!can_be_tried()) return;
  const TemporaryDirectory state;
  const auto hooks = confinement(plan_of(true, true, state, true));
  CHECK(outcome_of(hooks, [] { return run_program("/bin/true"); }) == 0);
  CHECK(outcome_of(hooks, [] { return socket(AF_UNIX, SOCK_STREAM, 0); }) == 0);
  CHECK(outcome_of(hooks, [] { return holds(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 0); }) == 0);
  const CapabilitySet wanted = expected(Mode::enforce, true);
  CHECK(outcome_of(hooks, [&] { return holds(effective_capabilities() == wanted); }) == 0);
  const bool whole = is_in_bounding_set(CAP_CHOWN);
  CHECK(outcome_of(hooks, [&] { return holds(is_in_bounding_set(CAP_CHOWN) == whole); }) == 0);
  CHECK(outcome_of(hooks, [] { return syscall(SYS_kcmp, -1, -1, 0, 0, 0); }) == EPERM);
}

TEST_CASE("a plan follows the mode and the hooks") {
  Settings settings;
  const SandboxPlan observe = plan_sandbox(settings);
  CHECK_FALSE(observe.acts);
  settings.policy.mode = Mode::dry_run;
  CHECK(plan_sandbox(settings) == observe);
  settings.remedy.before_hook = {"/bin/true"};
  CHECK(plan_sandbox(settings) == observe);  // none is run where nothing is done
  settings.policy.mode = Mode::enforce;
  CHECK(plan_sandbox(settings).acts);
  CHECK(plan_sandbox(settings).hooks);
  settings.remedy.before_hook.clear();
  CHECK_FALSE(plan_sandbox(settings).hooks);
}
