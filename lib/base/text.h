// SPDX-License-Identifier: Apache-2.0
// Text and number parsing, and the one place where hostile bytes are made harmless.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace defused {

/// Longest string that leaves a parser, in bytes (DESIGN.md section 4).
inline constexpr std::size_t kMaxTextBytes = 256;

/// `raw` as valid UTF-8 without controls (C0, DEL, C1) and what is unseen or turns writing round (U+200B, U+202E ..):
/// each byte that is not fit becomes `\xNN`; a backslash stays one. Cut at `max_bytes` on a character boundary. Safe
/// for terminals, logs, labels and JSON; HTML and monitoring escape further.
[[nodiscard]] std::string sanitize(std::string_view raw, std::size_t max_bytes = kMaxTextBytes);

/// The whole of `text` as an unsigned decimal number; nothing else is accepted (no sign, space or rest).
[[nodiscard]] std::optional<std::uint64_t> parse_u64(std::string_view text);
/// The same for a signed one.
[[nodiscard]] std::optional<std::int64_t> parse_i64(std::string_view text);
/// The whole of `text` as an unsigned hexadecimal number without prefix.
[[nodiscard]] std::optional<std::uint64_t> parse_hex(std::string_view text);

/// `text` without spaces, tabs and newlines at both ends.
[[nodiscard]] std::string_view trim(std::string_view text);

/// The first field of `rest` up to `separator` (or all of it); `rest` moves behind the separator.
std::string_view take_field(std::string_view& rest, char separator);

/// `text` up to its last newline: what the kernel ends with one and a read cut short is left out.
[[nodiscard]] std::string_view whole_lines(std::string_view text);

/// All fields between `separator`s; runs of separators count as one, none at the ends.
[[nodiscard]] std::vector<std::string_view> split_fields(std::string_view text, char separator);

/// `\040` -> space: fs/proc_namespace.c writes space, tab, newline, backslash and '#' so, and seq_file others.
[[nodiscard]] std::string unescape_octal(std::string_view text);

/// Smallest number of edits (insert, delete, replace) that turn `a` into `b`: for "did you mean".
[[nodiscard]] std::size_t edit_distance(std::string_view a, std::string_view b);

/// Whether `text` matches a shell-like pattern: `*` any run of characters, `?` one; everything else stands for itself.
[[nodiscard]] bool matches_glob(std::string_view pattern, std::string_view text);

}  // namespace defused
