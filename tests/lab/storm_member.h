// SPDX-License-Identifier: Apache-2.0
// A process of a namespace of the storm: its init, its FUSE server or a client. It does what its director says, one
// order and one answer at a time, and ends when the socket does.
#pragma once

#include <sys/types.h>

#include <string>

namespace lab {

/// An order is one letter and, for those of a client, the digit of the file: "w0".
namespace order {
inline constexpr char kMount = 'm';       ///< mount the file system and serve it
inline constexpr char kTeach = 't';       ///< open and close a file: the kernel learns that there is no FLUSH
inline constexpr char kOwn = 'o';         ///< have a file of one's own mount open, and mapped, both clean
inline constexpr char kOwnOnce = 'c';     ///< open, write and close a file of one's own mount
inline constexpr char kHold = 'h';        ///< have a file open
inline constexpr char kWrite = 'w';       ///< write to it, to the page cache where the server wants that
inline constexpr char kMap = 'p';         ///< leave pages of a shared mapping dirty
inline constexpr char kMapClosed = 'P';   ///< the same, with the file closed before
inline constexpr char kMute = 'q';        ///< answer no read any more
inline constexpr char kRead = 'r';        ///< read through the page cache; no answer
inline constexpr char kReadDirect = 'R';  ///< read past it; no answer
inline constexpr char kExit = 'x';        ///< exit; no answer
}  // namespace order

/// How the file system of a namespace is.
struct Place {
  std::string mount_point;
  bool writeback_cache = false;
  bool has_flush = true;
  pid_t inside = 0;  ///< the server is outside, and mounts in the mount namespace of this process
};

/// Keeps of its descriptors the standard streams and `socket`; says "k" once it is there.
[[noreturn]] void run_member(int socket, const Place& place);

}  // namespace lab
