// SPDX-License-Identifier: Apache-2.0
// `defused connections`: a line for each connection. Pure. Strings in it are sanitised already.
#pragma once

#include <string>
#include <vector>

#include "daemon/terminal.h"
#include "model/report.h"
#include "model/settings.h"

namespace defused {

/// Stalled ones first, then by id.
void sort_connections(std::vector<ConnectionFinding>& connections);

/// The table, in the order of the report. Ends with a newline. Where there is a screen, no line is wider than it: what
/// does not fit stands in further lines below, and a cell longer than a line is cut and ends in "..".
std::string render_connections(const Report& report, ExposeSource expose, const Screen& screen = {});

}  // namespace defused
