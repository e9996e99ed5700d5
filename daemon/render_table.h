// SPDX-License-Identifier: Apache-2.0
// The report for people on a terminal. Strings in it are sanitised already (no control characters, valid UTF-8).
#pragma once

#include <string>

#include "model/report.h"
#include "model/settings.h"

namespace defused {

/// The whole of `defused scan`: what is stuck, why, and what could not be seen. Ends with a newline.
std::string render_table(const Report& report, ExposeSource expose);

/// "3m12s", "0.4s", "2h05m": for people.
std::string render_age(Nanoseconds age);

}  // namespace defused
