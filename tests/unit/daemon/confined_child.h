// SPDX-License-Identifier: Apache-2.0
// A call tried by a child that is confined for good.
#pragma once

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cerrno>
#include <functional>

#include "base/result.h"

namespace defused {

inline constexpr int kKilled = -1;
inline constexpr int kBroken = 250;

/// The errno that `call` left in a child after `confine`, 0 where it went well; kKilled: a filter ended the child;
/// kBroken: it could not be confined.
inline int outcome_of(const std::function<Result<void>()>& confine, const std::function<long()>& call) {
  const pid_t child = fork();
  if (child == 0) {
    if (!confine()) _exit(kBroken);
    errno = 0;
    _exit(call() < 0 ? errno : 0);
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS) return kKilled;
  REQUIRE(WIFEXITED(status));
  return WEXITSTATUS(status);
}

}  // namespace defused
