// SPDX-License-Identifier: Apache-2.0
// Who is looked at closely. Private to lib/procfs. Pure.
#pragma once

#include <sys/types.h>

#include <set>
#include <vector>

#include "model/snapshot.h"

namespace defused {

struct Suspects {
  std::set<pid_t> below;   ///< the trees of inits that are dying, those included
  std::set<pid_t> chosen;  ///< all that are looked at: `below`, who was told to die, who may have been put into a dying
                           ///< namespace from outside
};

/// `processes` are those of one pass, by PID.
Suspects choose_suspects(const std::vector<ProcessBrief>& processes);

/// Told to die, or stopped on the way there.
bool is_told_to_die(const ProcessBrief& process);

}  // namespace defused
