// SPDX-License-Identifier: Apache-2.0
// What `defused check` finds wrong in a pass, problem by problem, in no order. Pure; inner part of check_judge.
#pragma once

#include <string>
#include <vector>

#include "daemon/check_judge.h"

namespace defused {

/// What keeps us from knowing: no diagnosis, a look that sees too little, a daemon that is not ready, does not answer
/// or lost its probers.
void add_own_problems(const CheckInput& input, std::vector<CheckProblem>& problems);

/// Stuck PID namespaces and stuck exits. A deadlock is critical once it is `critical_after` old, all else a warning.
void add_stuck(const PassResult& pass, Nanoseconds critical_after, std::vector<CheckProblem>& problems);

/// Dying PID namespaces that stood through a whole look of our own, where the kernel does not tell for how long before.
void add_unknown_ages(const CheckInput& input, std::vector<CheckProblem>& problems);

/// Connections that are stalled or orphaned.
void add_connections(const Report& report, std::vector<CheckProblem>& problems);

/// What holds every action back and needs a person; and what the pass could not see.
void add_restraints(const Report& report, std::vector<CheckProblem>& problems);

/// What is worth knowing and no problem.
void add_notes(const CheckInput& input, std::vector<std::string>& notes);

/// The performance data.
void add_measures(const CheckInput& input, std::vector<CheckMeasure>& measures);

}  // namespace defused
