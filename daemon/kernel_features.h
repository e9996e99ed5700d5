// SPDX-License-Identifier: Apache-2.0
// KernelFeatures: what this kernel, and this user on it, has of what defused uses. Reads /proc/self, kallsyms and the
// fusectl mount, loads the BPF programs for a moment as root; never touches a FUSE mount or another process, so it
// cannot hang with one.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "model/words.h"

namespace defused {

/// Nothing: not known, or not known without root.
struct KernelFeatures {
  std::string release;
  std::optional<bool> openat2;                 ///< reads that cannot leave /proc, in one call (Linux 5.6)
  std::optional<bool> pidfd;                   ///< children that are known by a descriptor (Linux 5.3)
  std::optional<bool> fdinfo_fuse_connection;  ///< fdinfo of /dev/fuse names its connection (Linux 6.16)
  std::optional<bool> stacks;                  ///< /proc/PID/stack can be read
  std::optional<bool> sched;  ///< /proc/PID/sched: since when a thread sleeps, also before it was first seen
  std::optional<bool> btf;    ///< the kernel describes its types: what BPF programs need
  // Whether the BPF programs can be loaded; `false` where this program was built without.
  std::optional<bool> bpf_files;         ///< who has /dev/fuse and files on FUSE open (Linux 5.8)
  std::optional<bool> bpf_waits;         ///< for which connection a thread waits (Linux 5.17, x86-64)
  std::optional<bool> bpf_places;        ///< in which mount namespace a thread is (Linux 5.8)
  std::optional<bool> fuse_flush_waits;  ///< an exiting thread waits for the answer to its FLUSH
  std::optional<bool> fusectl_mounted;
  std::optional<bool> landlock;  ///< the front is confined to the files that it writes (Linux 5.13)
  std::optional<std::uint64_t> default_request_timeout_seconds;  ///< fs.fuse.default_request_timeout (Linux 6.15)
  std::optional<std::uint64_t> max_request_timeout_seconds;
};

/// Whether this program has the BPF programs in it (-DDEFUSED_BPF).
bool has_bpf_built_in();

KernelFeatures read_kernel_features();

}  // namespace defused
