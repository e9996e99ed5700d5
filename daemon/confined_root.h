// SPDX-License-Identifier: Apache-2.0
// A root of its own for the prober: a mount namespace that has /proc, /sys, fusectl and the state directory,
// each mounted so that only what has to be written can be, and no link of which is followed - not /proc/1/root either.
// Landlock cannot do this here: who is confined by it may read no descriptor, stack or namespace of a process outside
// (docs/decisions/0009).
#pragma once

#include <string>

#include "base/result.h"

namespace defused {

struct RootPlan {
  std::string state_directory;  ///< left out where it is not there
  bool state_writable = false;
  bool fusectl_writable = false;  ///< abort files may be opened
};

/// Moves this process there, for good; while it has one thread, and before it holds a directory. Needs CAP_SYS_ADMIN.
/// Errors: denied, unsupported, io - one sentence; then it has copies of the mounts that it had, where that could be
/// done with a /proc of which no link is followed and fusectl as planned.
Result<void> enter_confined_root(const RootPlan& plan);

}  // namespace defused
