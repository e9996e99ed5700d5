// SPDX-License-Identifier: Apache-2.0
#include "daemon/confined_root.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <optional>
#include <string_view>
#include <vector>

#include "base/text.h"
#include "base/unique_fd.h"
#include "base/whole_io.h"
#include "fusectl/fuse_root.h"

namespace defused {

namespace {

constexpr unsigned long kNoFollow = 256;  // MS_NOSYMFOLLOW, Linux 5.10; an older one takes no notice of it
constexpr unsigned long kPlain = MS_NOSUID | MS_NOEXEC | kNoFollow;
// Where the new root is put together, by a path that every host has; what it covers is opened before.
constexpr const char* kWorkplace = "/sys";

// One thing that is taken along.
struct Taken {
  std::string path;         ///< absolute, the same there as here
  UniqueFd from;            ///< O_PATH, opened in the new namespace
  unsigned long flags = 0;  ///< MS_RDONLY, MS_NODEV beside kPlain
};

Result<Taken> take(std::string path, unsigned long flags) {
  Taken taken;
  taken.from.reset(open(path.c_str(), O_PATH | O_CLOEXEC | O_DIRECTORY));
  if (!taken.from) return fail_errno(errno, "opening " + path);
  taken.path = std::move(path);
  taken.flags = flags;
  // What is read-only on the host stays it.
  if (access(taken.path.c_str(), W_OK) < 0 && errno == EROFS) taken.flags |= MS_RDONLY;
  return taken;
}

// The parts in the order in which one is mounted below another. fusectl and the state directory may not be there.
Result<std::vector<Taken>> take_all(const RootPlan& plan) {
  std::vector<Taken> all;
  for (const char* path : {"/proc", "/sys"}) {
    auto taken = take(path, MS_RDONLY | MS_NODEV);
    if (!taken) return Failure(taken.error());
    all.push_back(*std::move(taken));
  }
  // Where fusectl is not mounted there is an empty directory: of use to nobody.
  if (FuseRoot::open()) {
    auto fusectl = take(FuseRoot::kDefaultPath, MS_NODEV | (plan.fusectl_writable ? 0 : MS_RDONLY));
    if (fusectl) all.push_back(*std::move(fusectl));
  }
  auto state = take(plan.state_directory, MS_NODEV | (plan.state_writable ? 0 : MS_RDONLY));
  if (!state && state.error().kind != ErrorKind::gone) return Failure(state.error());
  if (state) all.push_back(*std::move(state));
  return all;
}

// Below the working directory, which is the new root. What is on sysfs is there already.
Result<void> make_place(const Taken& taken) {
  std::string made = ".";
  std::string_view rest = taken.path;
  while (!rest.empty()) {
    const std::string_view name = take_field(rest, '/');
    if (name.empty()) continue;
    made.append("/").append(name);
    if (mkdir(made.c_str(), 0755) < 0 && errno != EEXIST && errno != EROFS) {
      return fail_errno(errno, "making " + made);
    }
  }
  return {};
}

Result<void> put_in_place(const Taken& taken) {
  if (auto made = make_place(taken); !made) return made;
  const std::string source = "/proc/self/fd/" + std::to_string(taken.from.get());
  const std::string target = "." + taken.path;
  if (mount(source.c_str(), target.c_str(), nullptr, MS_BIND, nullptr) < 0)
    return fail_errno(errno, "mounting " + taken.path);
  if (mount(nullptr, target.c_str(), nullptr, MS_REMOUNT | MS_BIND | kPlain | taken.flags, nullptr) < 0)
    return fail_errno(errno, "changing the mount of " + taken.path);
  return {};
}

Result<void> build(const RootPlan& plan) {
  const auto all = take_all(plan);
  if (!all) return Failure(all.error());
  if (mount("defused", kWorkplace, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0755,size=64k") < 0)
    return fail_errno(errno, "mounting a root");
  if (chdir(kWorkplace) < 0) return fail_errno(errno, "entering the root");
  for (const Taken& taken : *all) {
    if (auto put = put_in_place(taken); !put) return put;
  }
  return {};
}

// The old root lies on top of the new one for a moment; then nothing of it is left, no mount of a container either.
Result<void> swap_roots() {
  if (syscall(SYS_pivot_root, ".", ".") < 0) return fail_errno(errno, "pivot_root");
  if (umount2(".", MNT_DETACH) < 0 || chdir("/") < 0) return fail_errno(errno, "leaving the old root");
  // What is mounted here later than this comes to nobody by surprise: a new fusectl, writable.
  if (mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) < 0) return fail_errno(errno, "a private root");
  if (mount(nullptr, "/", nullptr, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NODEV | kPlain, nullptr) < 0)
    return fail_errno(errno, "a root that cannot be written");
  return {};
}

Result<void> build_and_enter(const RootPlan& plan) {
  // As slaves, so that an unmount on the host is one here too: these copies must keep no file system alive.
  if (mount(nullptr, "/", nullptr, MS_REC | MS_SLAVE, nullptr) < 0) return fail_errno(errno, "receiving unmounts");
  auto built = build(plan);
  return built ? swap_roots() : built;
}

std::optional<dev_t> device_of(const char* path) {
  struct stat status {};
  return stat(path, &status) == 0 ? std::optional(status.st_dev) : std::nullopt;
}

// Among copies of the host's mounts, where there is no root of its own to be had (Docker refuses pivot_root): no link
// of /proc is followed, and fusectl is as the plan says. What cannot be done even so is left. `workplace`: the device
// that was there before.
void confine_in_place(const RootPlan& plan, std::optional<dev_t> workplace) {
  const bool is_covered = device_of(kWorkplace) != workplace;
  if (is_covered && (chdir("/") < 0 || umount2(kWorkplace, MNT_DETACH) < 0)) return;
  mount(nullptr, "/proc", nullptr, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NODEV | kPlain, nullptr);
  if (plan.fusectl_writable || !FuseRoot::open()) return;
  mount(nullptr, FuseRoot::kDefaultPath, nullptr, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NODEV | kPlain, nullptr);
}

// pivot_root refuses the first root of a kernel, where an initramfs was never left.
bool is_on_first_root() {
  const UniqueFd file(open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC));
  const auto text = file ? read_up_to(file.get(), 1U << 20U) : Result<FileText>(fail(ErrorKind::io, ""));
  if (!text) return false;
  std::string_view rest = text->text;
  while (!rest.empty()) {
    std::string_view line = take_field(rest, '\n');
    const std::string_view id = take_field(line, ' ');
    const std::string_view parent = take_field(line, ' ');
    take_field(line, ' ');
    take_field(line, ' ');
    if (take_field(line, ' ') == "/" && id == parent) return true;
  }
  return false;
}

}  // namespace

Result<void> enter_confined_root(const RootPlan& plan) {
  if (is_on_first_root()) return fail(ErrorKind::unsupported, "the root of this host is its initramfs");
  const std::optional<dev_t> workplace = device_of(kWorkplace);
  if (unshare(CLONE_NEWNS) < 0) return fail_errno(errno, "making a mount namespace");
  const auto done = build_and_enter(plan);
  if (!done) confine_in_place(plan, workplace);
  return done;
}

}  // namespace defused
