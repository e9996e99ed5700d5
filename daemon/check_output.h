// SPDX-License-Identifier: Apache-2.0
// A CheckResult as monitoring systems read it. Pure.
#pragma once

#include <string>

#include "daemon/check_judge.h"

namespace defused {

/// `text` on one line and harmless where monitoring systems put it - into an HTML page, a shell command, before the '|'
/// of performance data: control characters and | ~ $ & ' " < > ` become \xNN.
std::string escape_for_monitoring(std::string_view text);

/// "DEFUSED CRITICAL: summary | performance data", then the problems and what to type, at most kMostProblemLines of
/// them, and the notes. Ends with a newline.
std::string render_plugin(const CheckResult& result);
inline constexpr std::size_t kMostProblemLines = 16;

/// What node-problem-detector shows: one line of at most 80 bytes (its max_output_length), and a newline. The same text
/// as long as the same is wrong, as each other text makes another event there.
std::string render_node_problem(const CheckResult& result);
/// Its exit code: 0 well, 1 a problem, 2 unknown. `warnings`: for a rule that makes events; a warning is a problem too,
/// and what is unknown is none.
int node_problem_exit(const CheckResult& result, bool warnings);

/// `defused.check/v1`, with a newline at its end.
std::string render_check_json(const CheckResult& result);

}  // namespace defused
