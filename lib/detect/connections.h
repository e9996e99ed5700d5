// SPDX-License-Identifier: Apache-2.0
// Judging connections: who could answer on them, who would be hurt. Private to lib/detect. Pure.
#pragma once

#include <map>
#include <vector>

#include "detect/world.h"
#include "model/history.h"
#include "model/report.h"

namespace defused {

/// One finding for each connection of the snapshot, by id, and for those that are only mounted where fusectl is absent.
std::vector<ConnectionFinding> judge_connections(const Snapshot& snapshot, const ProcessTree& tree,
                                                 const std::map<ConnectionId, MountFacts>& mounts,
                                                 const History& history);

/// Connections with waiting requests that are in no mount table that was read (lazily detached, the lower layer of an
/// overlay): a thread's own mounts do not show that it waits for one of them. Tables that could not be read only make
/// these more.
std::vector<ConnectionId> find_out_of_sight(const Snapshot& snapshot, const std::map<ConnectionId, MountFacts>& mounts);

}  // namespace defused
