// SPDX-License-Identifier: Apache-2.0
// What a person asked about (`defused explain`): its reading is a step of the pass between the walk and the hazards,
// its telling the last one.
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

/// Puts what is known of `subject` into `pass`, which was made from `snapshot`; returns the processes that are worth
/// reading in the next one.
std::set<pid_t> tell_subject(const Subject& subject, const Snapshot& snapshot, PassResult& pass);

}  // namespace defused
