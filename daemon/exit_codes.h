// SPDX-License-Identifier: Apache-2.0
// Exit codes of all commands but `check`, which has those of monitoring plugins. Documented in docs/OPERATING.md.
#pragma once

namespace defused {

inline constexpr int kExitOk = 0;
inline constexpr int kExitFailure = 1;         ///< it could not do its work
inline constexpr int kExitUsage = 2;           ///< bad command line or bad configuration
inline constexpr int kExitNotPermitted = 3;    ///< not root, or a capability is missing
inline constexpr int kExitAddress = 4;         ///< a listen address cannot be used
inline constexpr int kExitAlreadyRunning = 5;  ///< another defused runs with this runtime directory, or acts now
inline constexpr int kExitNothingThere = 6;    ///< explain, abort: no such thing on this host
inline constexpr int kExitHeld = 7;            ///< abort: a gate or the hook holds it, nothing was written
inline constexpr int kExitNotConfirmed = 8;    ///< abort: the question was not answered with yes, nothing was written
inline constexpr int kExitNotFreed = 9;        ///< abort: tried, but the namespace is not gone

}  // namespace defused
