// SPDX-License-Identifier: Apache-2.0
// From a JSON configuration (comments allowed) to Settings. Strict: an unknown key, a wrong type, a value out of range
// or a duration without a unit is an error of one sentence that says what, where and what was expected; an unknown key
// names the nearest known one, a key given twice is refused. Keys and ranges stand in one table (settings_table.h),
// from which the schema and the shipped configuration are made as well. Any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "model/settings.h"

namespace defused {

/// Largest configuration that is read, in bytes.
inline constexpr std::size_t kMaxSettingsBytes = 1U << 20U;

/// Parses `text`. `where` (a file name) begins every error, e.g.
/// `/etc/defused.json: detect.stuck_aftr: unknown key; did you mean "detect.stuck_after"?`. Kinds: malformed.
Result<Settings> parse_settings(std::string_view text, std::string_view where);

/// Reads and parses the regular file at `path`. Kinds: malformed, and those of opening and reading (gone, denied, io).
Result<Settings> read_settings(const std::string& path);

/// Whether the key at `path`, one that takes a text, takes `value`: for flags that stand for keys. Kinds: malformed,
/// `expected a path such as "/metrics" .., got "x"`.
Result<void> check_text(std::string_view path, const std::string& value);

/// The shipped configuration: every key at its default, each with a comment that says what it does and what it takes.
std::string render_default_settings();

/// A configuration with the keys that a report rests on, at the values of `settings`: thresholds, selectors, budgets,
/// mode and expose_source. No path, hook or address of this host. parse_settings takes it.
std::string render_report_settings(const Settings& settings);

/// The default of one key as JSON on one line, such as `"15s"` or `["fuse", "fuse.*"]`; "" where there is no such key.
std::string render_default(std::string_view path);

/// A JSON schema (2020-12) of the configuration, indented, with a newline at its end.
std::string render_settings_schema();

/// A duration: whole numbers with a unit (h, m, s, ms, us, ns), the larger unit first, such as "500ms", "15s" or
/// "1h30m"; no sign, no fraction, no spaces. Kinds: malformed (also where it is longer than 292 years).
Result<Nanoseconds> parse_duration(std::string_view text);

/// The way back, without parts that are 0: "1h30m", "1m30s", "0s".
std::string format_duration(Nanoseconds duration);

/// A size in bytes: a whole number with a unit (B, KiB, MiB, GiB), such as "64MiB"; no sign, no fraction, no spaces.
/// Kinds: malformed (also where it is more than 2^64 - 1 bytes).
Result<std::uint64_t> parse_size(std::string_view text);

/// The way back, in the largest unit that leaves a whole number: "64MiB", "1536KiB", "0B".
std::string format_size(std::uint64_t bytes);

}  // namespace defused
