// SPDX-License-Identifier: Apache-2.0
// WalkMemory: what earlier passes read of each process, so that a pass that only looks for changes need not read all of
// it again. It serves for showing, never for acting. A process is known to be the same one by the inode number that
// /proc lists beside its PID: as long as the kernel keeps that inode it belongs to one process, and a PID that is used
// again has another one (fs/proc/base.c, proc_pid_instantiate; tried on 6.18). Passive data, bounded by what is there.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "model/snapshot.h"

namespace defused {

/// A suspect as it was last read in full.
struct KeptSuspect {
  ProcessSample sample;
  std::uint64_t inode = 0;
  Nanoseconds read_at{0};   ///< boot time
  Nanoseconds hold_for{0};  ///< until it is read again although none of its threads has run: 10 s, doubled up to 5 min
};

struct WalkMemory {
  /// What stands beside a process of `processes`.
  struct Beside {
    std::uint64_t inode = 0;
    Nanoseconds first_seen{0};                       ///< boot time
    std::optional<std::vector<std::string>> cgroup;  ///< of a living init
  };
  std::vector<ProcessBrief> processes;  ///< of the last pass, by PID
  std::vector<Beside> beside;           ///< in the same order
  std::map<pid_t, KeptSuspect> suspects;
  pid_t turn = 0;                     ///< the last process whose turn it was
  std::optional<Nanoseconds> walked;  ///< boot time of the last pass
};

}  // namespace defused
