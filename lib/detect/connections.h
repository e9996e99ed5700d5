// SPDX-License-Identifier: Apache-2.0
// Judging connections: who could answer on them, who would be hurt. Private to lib/detect. Pure.
#pragma once

#include <map>
#include <set>
#include <vector>

#include "detect/world.h"
#include "model/history.h"
#include "model/report.h"

namespace defused {

/// One finding for each connection of the snapshot, by id, and for those that are only mounted where fusectl is absent.
std::vector<ConnectionFinding> judge_connections(const Snapshot& snapshot, const ProcessTree& tree,
                                                 const std::map<ConnectionId, MountFacts>& mounts,
                                                 const History& history);

/// Connections whose writeback hangs: those of a kernel thread `kworker/u8:3+flush-0:40` in D. The flusher of a
/// connection waits for the same pages as the thread that closes or unmaps the file (KERNEL.md 2). `-flush` is what it
/// did last, and says nothing.
std::set<ConnectionId> find_hung_flushers(const std::vector<ProcessBrief>& processes);

/// Connections with waiting requests that are in no mount table that was read (lazily detached, the lower layer of an
/// overlay): a thread's own mounts do not show that it waits for one of them. Tables that could not be read only make
/// these more.
std::vector<ConnectionId> find_out_of_sight(const Snapshot& snapshot, const std::map<ConnectionId, MountFacts>& mounts);

}  // namespace defused
