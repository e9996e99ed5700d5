// SPDX-License-Identifier: Apache-2.0
// The report for people on a terminal. Strings in it are sanitised already (no control characters, valid UTF-8).
#pragma once

#include <string>

#include "daemon/terminal.h"
#include "model/report.h"
#include "model/settings.h"

namespace defused {

/// The whole of `defused scan`: what is stuck, why, and what could not be seen. Ends with a newline. Lines are wrapped
/// where there is a screen.
std::string render_table(const Report& report, ExposeSource expose, const Screen& screen = {});

/// What could not be seen and how to mend that; "" where there is nothing.
std::string render_blindness(const Report& report, const Screen& screen = {});

}  // namespace defused
