// SPDX-License-Identifier: Apache-2.0
// Waits by ptrace until a prober announces a phase of its pass (daemon/channel.h), and leads it into openat(2) of a
// file that never answers, or kills it and others there: in that phase, between two of its own system calls. The prober
// needs no hook for that.
// Everything is let go when this process ends. x86-64 only.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "inject.h"

namespace lab {

struct Ambush {
  std::string phase;      ///< as announced; "start": once it has its first message, before it says `ready`
  unsigned nth = 1;       ///< the n-th announcement
  bool of_child = false;  ///< the PID is that of who starts the prober: its next child is waited for
  bool of_reader =
      false;  ///< not the prober is led away but the next child that it forks, once that opens its first file
  unsigned seconds = 20;
  std::vector<pid_t> kill;  ///< these get SIGKILL instead, in this order
};

/// Prints "waiting" as a line once it is attached. Errors: nothing was caught within `seconds`.
InjectResult inject_open_in_phase(pid_t pid, const std::string& path, const Ambush& ambush);

}  // namespace lab
