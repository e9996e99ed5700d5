// SPDX-License-Identifier: Apache-2.0
#include "daemon/kernel_features.h"

#include <fcntl.h>
#include <linux/landlock.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "base/unique_fd.h"
#include "bpf/file_reader.h"
#include "bpf/place_reader.h"
#include "bpf/wait_reader.h"
#include "daemon/spawn.h"
#include "fusectl/fuse_root.h"
#include "procfs/proc_root.h"

namespace defused {

namespace {

bool has_openat2() {
  open_how how{};
  how.flags = O_PATH | O_DIRECTORY | O_CLOEXEC;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV;
  const UniqueFd proc(open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC));
  return UniqueFd(static_cast<int>(syscall(SYS_openat2, proc.get(), ".", &how, sizeof how))).valid();
}

bool has_landlock() { return syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION) > 0; }

// A file of this very process, which cannot be stuck while it reads.
std::optional<bool> can_read_own(const char* path) {
  const UniqueFd file(open(path, O_RDONLY | O_CLOEXEC));
  if (!file) return errno == ENOENT ? std::optional(false) : std::nullopt;
  std::array<char, 256> text{};
  return read(file.get(), text.data(), text.size()) >= 0;
}

std::optional<bool> is_fusectl_mounted() {
  const auto root = FuseRoot::open();
  if (root) return true;
  const ErrorKind kind = root.error().kind;
  return kind == ErrorKind::gone || kind == ErrorKind::unsupported ? std::optional(false) : std::nullopt;
}

void read_facts(KernelFeatures& features) {
  const auto proc = ProcRoot::open();
  if (!proc) return;
  const KernelFacts facts = read_kernel_facts(*proc);
  features.release = facts.release;
  if (!facts.release.empty()) features.fdinfo_fuse_connection = facts.fdinfo_names_connection;
  if (facts.fuse_flush_waits != FlushWaits::unknown) {
    features.fuse_flush_waits = facts.fuse_flush_waits == FlushWaits::yes;
  }
  features.default_request_timeout_seconds = facts.default_request_timeout_seconds;
  features.max_request_timeout_seconds = facts.max_request_timeout_seconds;
}

}  // namespace

bool has_bpf_built_in() { return DEFUSED_BPF_BUILT_IN != 0; }

KernelFeatures read_kernel_features() {
  KernelFeatures features;
  read_facts(features);
  features.openat2 = has_openat2();
  features.pidfd = open_pidfd(getpid()).valid();
  features.sched = can_read_own("/proc/self/sched");
  features.btf = access("/sys/kernel/btf/vmlinux", F_OK) == 0;
  features.fusectl_mounted = is_fusectl_mounted();
  features.landlock = has_landlock();
  if (geteuid() != 0) return features;
  features.stacks = can_read_own("/proc/self/stack").value_or(false);
  features.bpf_files = FileReader::load().has_value();
  features.bpf_waits = WaitReader::load().has_value();
  features.bpf_places = PlaceReader::load().has_value();
  return features;
}

}  // namespace defused
