// SPDX-License-Identifier: Apache-2.0
// Identities. Never a bare number: PIDs, minors and inodes are used again at once.
#pragma once

#include <sys/types.h>

#include <compare>
#include <cstdint>

namespace defused {

/// A process (its thread-group leader): PID in the host's PID namespace and start time in clock ticks since boot
/// (field 22 of stat). A start time of 0 means "not read": live processes are identified by a held descriptor instead.
struct ProcessId {
  pid_t pid = 0;
  std::uint64_t start_ticks = 0;
  friend auto operator<=>(const ProcessId&, const ProcessId&) = default;
};

/// One thread: the same two numbers for a TID.
struct ThreadId {
  pid_t tid = 0;
  std::uint64_t start_ticks = 0;
  friend auto operator<=>(const ThreadId&, const ThreadId&) = default;
};

/// A PID or mount namespace: its inode on nsfs, as in `pid:[4026532178]`.
struct NamespaceId {
  std::uint64_t inode = 0;
  friend auto operator<=>(const NamespaceId&, const NamespaceId&) = default;
};

/// A FUSE connection: the kernel's dev_t of its root superblock, `(major << 20) | minor`; the name of its directory
/// below /sys/fs/fuse/connections (fs/fuse/control.c, fuse_ctl_add_conn).
struct ConnectionId {
  std::uint32_t kernel_dev = 0;
  friend auto operator<=>(const ConnectionId&, const ConnectionId&) = default;
};

inline constexpr std::uint32_t kMaxMajor = 0xFFF;  // 12 bits, MINORBITS is 20: include/linux/kdev_t.h
inline constexpr std::uint32_t kMaxMinor = 0xFFFFF;

/// The id for the major:minor of a mountinfo line.
[[nodiscard]] constexpr ConnectionId connection_of_device(std::uint32_t major, std::uint32_t minor) {
  return ConnectionId{(major << 20U) | minor};
}

}  // namespace defused
