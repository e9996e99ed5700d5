// SPDX-License-Identifier: Apache-2.0
// One namespace of the storm that mounts FUSE: what it is made of, how it ends, and the director, a process beside it
// that plays it and sees that it ends by itself. Every combination here does: no holder of /dev/fuse ever waits for its
// own server (KERNEL.md sections 1 and 2), so any of them that is told to be stuck is a false alarm.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "guardian.h"

namespace lab {

enum class Kind : std::uint32_t {
  separate,     ///< the server is a process of the namespace, and holds nothing
  outside,      ///< the server is a process of the host and mounts in the namespace
  own_files,    ///< the server has a file of its own mount open and mapped, clean, and does not know FLUSH
  own_closed,   ///< the server had a file of its own mount open
  init_serves,  ///< as own_files, and the server is PID 1
};
inline constexpr std::array<const char*, 5> kKindNames = {"separate", "outside", "own_files", "own_closed",
                                                          "init_serves"};

struct Plan {
  struct Act {
    std::size_t member = 0;  ///< 0 is init, 1 the server where it is another one, then the clients
    bool killed = true;      ///< by SIGKILL; else it exits
    int after_ms = 0;        ///< after the act before
  };
  std::uint32_t number = 0;
  Kind kind = Kind::separate;
  bool writeback_cache = false;
  std::vector<std::string> orders;  ///< one for each client
  std::vector<Act> ending;          ///< one act for each member
};

/// The same for the same seed and number.
Plan draw_plan(std::uint64_t seed, std::uint32_t number);

/// What came of it. Passed through a pipe.
struct Outcome {
  std::uint32_t number = 0;
  Kind kind = Kind::separate;
  bool made = false;    ///< it stood as planned before its end began
  bool ended = false;   ///< by itself; init, and the server outside
  std::int32_t ms = 0;  ///< from the first act of its end until init was gone
  pid_t init = 0;
  std::uint64_t pid_namespace = 0;
  long connection = 0;
};

/// Plays it below `directory`; takes half a minute at most. For a process of its own. What did not end by itself was
/// told on stderr with its kernel stacks, and then aborted.
Outcome play_scene(const Plan& plan, const std::string& directory, const Fusectl& fusectl, Guardian& guardian);

}  // namespace lab
