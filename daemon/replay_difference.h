// SPDX-License-Identifier: Apache-2.0
// Whether a capture concluded something else when it was made than what its replay says. Pure.
#pragma once

#include <string>
#include <string_view>

#include "model/report.h"

namespace defused {

/// What is different in `report` from `recorded` (a report.json), as far as a person must know it - verdicts,
/// whether they are stuck, connections and, where both were made in the same mode, decisions of dying namespaces and
/// stuck exits; how many of them there are, what could not be seen, whether it is provisional: half a sentence, such as
/// "PID namespace 4026532178 was 'not_fuse' and is 'deadlocked'". "": nothing, or it is no report.
std::string find_difference(std::string_view recorded, const Report& report);

}  // namespace defused
