// SPDX-License-Identifier: Apache-2.0
// The clock that the scheduler of one CPU counts by (rq_clock_task: without steal time and interrupts, so that those of
// two CPUs drift apart for ever). Nothing tells it but the se.exec_start of a task that runs there: so a child process
// goes there (bounded_read.h). It needs no capability. Private to lib/procfs.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

#include "base/beneath.h"

namespace defused {

/// Binds the calling thread to `cpu` and gives its own `sched`; it stays there. Errors: unsupported where it may not
/// run there (offline, not in its cpuset) or has no such file in `proc`; io.
Result<std::string> read_own_sched(const Beneath& proc, std::uint32_t cpu);

/// Takes `child` away from a CPU that it does not get to run on, where a task of higher priority never sleeps: there it
/// could not even die.
void move_to_this_cpu(pid_t child);

}  // namespace defused
