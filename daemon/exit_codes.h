// SPDX-License-Identifier: Apache-2.0
// Exit codes. `check` has those of monitoring plugins; all other commands share one set. The table is what --help and
// internal-describe print; docs/OPERATING.md repeats it for people, and a test compares them.
#pragma once

#include <span>
#include <string_view>
#include <vector>

namespace defused {

inline constexpr int kExitOk = 0;
inline constexpr int kExitFailure = 1;         ///< it could not do its work
inline constexpr int kExitUsage = 2;           ///< bad command line or bad configuration
inline constexpr int kExitNotPermitted = 3;    ///< not root, or a capability is missing
inline constexpr int kExitAddress = 4;         ///< a listen address cannot be used
inline constexpr int kExitAlreadyRunning = 5;  ///< another defused runs with this runtime directory, or acts now
inline constexpr int kExitNothingThere = 6;    ///< explain, replay, abort: no such thing on this host
inline constexpr int kExitHeld = 7;            ///< abort: a gate or the hook holds it, nothing was written
inline constexpr int kExitNotConfirmed = 8;    ///< abort: the question was not answered with yes, nothing was written
inline constexpr int kExitNotFreed = 9;        ///< abort: tried, but the namespace is not gone

// Of `check`.
inline constexpr int kCheckOk = 0;
inline constexpr int kCheckWarning = 1;
inline constexpr int kCheckCritical = 2;
inline constexpr int kCheckUnknown = 3;  ///< also a bad command line, bad configuration, not root

struct ExitCode {
  int code;
  std::string_view word;     ///< one or two words
  std::string_view meaning;  ///< what is the case when a command ends with it
  /// Names of the commands that end with it, with spaces between; "": all but `check`.
  std::string_view commands;
};

/// All of them; a code stands twice where it means something else for `check`.
std::span<const ExitCode> exit_codes();

/// Those that `command` can end with, in the order of their numbers.
std::vector<ExitCode> exit_codes_of(std::string_view command);

}  // namespace defused
