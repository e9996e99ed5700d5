// SPDX-License-Identifier: Apache-2.0
// `defused connections`: a line for each connection. Pure. Strings in it are sanitised already.
#pragma once

#include <string>
#include <vector>

#include "model/report.h"
#include "model/settings.h"

namespace defused {

/// Stalled ones first, then by id.
void sort_connections(std::vector<ConnectionFinding>& connections);

/// The table, in the order of the report. Ends with a newline.
std::string render_connections(const Report& report, ExposeSource expose);

}  // namespace defused
