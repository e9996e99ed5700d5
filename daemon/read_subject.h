// SPDX-License-Identifier: Apache-2.0
// Reading what a person asked about (`defused explain`): a step of the pass between the walk and the hazards.
#pragma once

#include <set>

#include "model/history.h"
#include "model/subject.h"
#include "procfs/proc_root.h"

namespace defused {

/// Adds the processes that `subject` names, as far as `history` and `snapshot` tell, and those of `around` to the
/// suspects, and looks up whose thread or namespace a number is.
void read_subject(const ProcRoot& proc, const ReadLimits& limits, const Subject& subject, const History& history,
                  const std::set<pid_t>& around, Snapshot& snapshot);

}  // namespace defused
