// SPDX-License-Identifier: Apache-2.0
// Exit codes of all commands but `check`, which has those of monitoring plugins. Documented in docs/OPERATING.md.
#pragma once

namespace defused {

inline constexpr int kExitOk = 0;
inline constexpr int kExitFailure = 1;         ///< it could not do its work
inline constexpr int kExitUsage = 2;           ///< bad command line or bad configuration
inline constexpr int kExitNotPermitted = 3;    ///< not root, or a capability is missing
inline constexpr int kExitAddress = 4;         ///< a listen address cannot be used
inline constexpr int kExitAlreadyRunning = 5;  ///< another defused runs with this runtime directory
inline constexpr int kExitNothingThere = 6;    ///< explain: no such thing on this host

}  // namespace defused
