// SPDX-License-Identifier: Apache-2.0
// Makes another process call openat(2), by ptrace: to lead a running prober into a FUSE file that never answers, and to
// try from inside of a sandboxed front what it may open. x86-64 only.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>

namespace lab {

struct InjectResult {
  bool supported = true;
  std::string error;           ///< empty: done
  std::optional<long> result;  ///< what openat returned (negative errno), where it was waited for
  pid_t caught = 0;            ///< the process that was led into the call
};

/// Lets `pid` open `path` for reading. With `wait` its own work goes on afterwards as if nothing had happened, a
/// returned descriptor stays open in it; without, it is let go into the call and not looked at again.
InjectResult inject_open(pid_t pid, const std::string& path, bool wait);

/// For a process that this one traces and that stands at the end of a system call: lets it go into openat of `path`.
InjectResult let_go_into_open(pid_t pid, const std::string& path);

}  // namespace lab
