// SPDX-License-Identifier: Apache-2.0
// What of a snapshot calls for an index of holders, users and viewers, which costs far more than the rest of a pass: a
// host on which containers come and go has dying threads in most passes, but they move. Pure.
#pragma once

#include <set>

#include "model/history.h"
#include "model/snapshot.h"

namespace defused {

/// Threads that were told to die, sleep, and have not run since the last sample: on those a verdict is due.
std::set<ThreadId> standing_threads(const Snapshot& snapshot, const History& before);

/// Whether one of `standing` is there, and a connection with waiting requests for which it may wait.
bool needs_surroundings(const Snapshot& snapshot, const std::set<ThreadId>& standing);

}  // namespace defused
