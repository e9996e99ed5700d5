// SPDX-License-Identifier: Apache-2.0
// From a JSON configuration (comments allowed) to Settings. Strict: an unknown key, a wrong type, a value out of range
// or a duration without a unit is an error of one sentence that says what, where and what was expected; an unknown key
// names the nearest known one. Keys, ranges and defaults stand in one table (settings_file.cc).
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "model/settings.h"

namespace defused {

/// Parses `text`. `where` (a file name) begins every error. Kinds: malformed.
Result<Settings> parse_settings(std::string_view text, std::string_view where);

/// Reads and parses the file at `path`. Kinds: malformed, and those of opening and reading (gone, denied, io).
Result<Settings> read_settings(const std::string& path);

/// A duration such as "500ms", "15s", "5m", "1h30m". Kinds: malformed.
Result<Nanoseconds> parse_duration(std::string_view text);

/// The shortest such text for `duration`.
std::string format_duration(Nanoseconds duration);

}  // namespace defused
