// SPDX-License-Identifier: Apache-2.0
// What X of `explain X` means on this host: which processes, namespaces, containers and connections it names, and which
// findings concern each. Pure: from what was read and what was concluded.
#pragma once

#include <set>

#include "model/history.h"
#include "model/report.h"
#include "model/subject.h"

namespace defused {

/// The processes whose threads have to be read to explain `subject`; known before anything is judged. For a container
/// or a namespace those of its members that stand still first. Bounded.
std::set<pid_t> processes_to_read(const Subject& subject, const Snapshot& snapshot, const History& history);

/// All readings of `subject`, each with what concerns it.
SubjectFinding find_subject(const Subject& subject, const Snapshot& snapshot, const Findings& findings,
                            const History& history);

/// The servers and the outside users of the connections that `subject` is about: worth reading in the next pass.
std::set<pid_t> processes_around(const SubjectFinding& subject, const Findings& findings);

}  // namespace defused
