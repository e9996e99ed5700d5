// SPDX-License-Identifier: Apache-2.0
// The processes that a report rests on, of all that were read: a capture of the candidates has no others (decision
// 0008). A replay of them alone says the same. Pure.
#pragma once

#include <sys/types.h>

#include <set>

#include "base/recorder.h"
#include "model/history.h"
#include "model/snapshot.h"
#include "procfs/proc_root.h"

namespace defused {

/// From what a pass read of /proc (`snapshot`, `record`) and what is remembered after it (`history`): suspects, inits,
/// who holds, uses or sees a connection, who could not be read, flushers, tracers, ours, PID 1 - and of all of them the
/// parents, and those who stand for their mount namespace.
std::set<pid_t> concerned_processes(const Snapshot& snapshot, const History& history, const OwnProcesses& own,
                                    const ReadRecorder& record);

}  // namespace defused
