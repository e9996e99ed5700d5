// SPDX-License-Identifier: Apache-2.0
// The inhibit file, `<state directory>/inhibit`: while it is there, nothing is done. `defused pause` writes it; a plain
// `touch` does as well. What is there and cannot be read inhibits too.
#pragma once

#include <optional>
#include <string>

#include "base/clock.h"
#include "base/result.h"

namespace defused {

inline constexpr const char* kInhibitName = "inhibit";
inline constexpr std::size_t kMaxInhibitReason = 256;  ///< bytes

struct Inhibition {
  std::string reason;    ///< its first line, sanitized; "no reason given" where it is empty
  Nanoseconds since{0};  ///< wall clock: its mtime; 0: not known
};

/// Nothing: there is no such file. Never follows a link, never blocks on a FIFO.
std::optional<Inhibition> read_inhibition(const std::string& state_directory);

/// Makes it or replaces it, durably. malformed: an empty reason, one with a line break, one that is too long.
Result<void> write_inhibition(const std::string& state_directory, const std::string& reason);

/// True: it was there and is gone, durably.
Result<bool> remove_inhibition(const std::string& state_directory);

}  // namespace defused
