// SPDX-License-Identifier: Apache-2.0
// What the commands of an operator have in common: who it is, the state directory, the actor lock.
#pragma once

#include <sys/types.h>

#include "base/clock.h"
#include "base/result.h"
#include "model/settings.h"

namespace defused {

/// The daemon holds the lock for a pass, a few milliseconds, or for an action of its own, much longer.
inline constexpr Nanoseconds kLockPatience = std::chrono::seconds(15);

/// Who logged in: the login uid of this session where there is one, else the real uid.
uid_t operator_uid();

/// Makes the directory and its parents where missing, like systemd would. Errors: denied, io.
Result<void> make_directory(const std::string& path, mode_t mode);
Result<void> make_state_directory(const Settings& settings);

/// The sentence and the exit code for an actor lock that could not be had.
int refuse_lock(const Error& error);

}  // namespace defused
