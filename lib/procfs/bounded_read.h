// SPDX-License-Identifier: Apache-2.0
// Reading files that may block for ever, in child processes made by fork that are killed when one does not answer in
// time. What hangs is the process that is read, so after the first file that does not answer the others of the same
// process (the same first part of the path) are not asked; and a few processes are waited for at once, so that twenty
// that hang do not take the time of all the others. A child holds no descriptor but the root and its pipe. One that
// does not die of SIGKILL within 100 ms is left behind (the kernel holds it; nothing can end it): it is named, and no
// other is started.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/beneath.h"
#include "base/clock.h"
#include "base/result.h"
#include "procfs/proc_root.h"

namespace defused {

struct BoundedRequest {
  std::string path;
  bool link = false;  ///< read_link instead of read_file
  /// Instead of `path` the child reads its own `sched`, on this CPU (read_own_sched); by `path` that is recorded.
  std::optional<std::uint32_t> on_cpu = {};
};

struct BoundedReads {
  /// One per request, in the same order: `timeout` where it did not answer, with code kNotAsked where it was not asked.
  std::vector<Result<std::string>> results;
  std::vector<pid_t> left_behind;  ///< children that could not be ended, `at_once` at most
};

/// Reads each request below `root`; at most `each` for one and `total` for all (and 100 ms for each child to die), by
/// at most `at_once` (> 0) children at a time. More than 8 would not end sooner what hangs, and each might be lost.
BoundedReads read_bounded(const Beneath& root, const std::vector<BoundedRequest>& requests, Nanoseconds each,
                          Nanoseconds total, std::size_t at_once = 8);

/// The same below /proc as `limits` say: where they allow no reader each result is `timeout` (kNotAsked), and a child
/// that could not be ended is told.
std::vector<Result<std::string>> read_hazardous(const ProcRoot& proc, const ReadLimits& limits,
                                                const std::vector<BoundedRequest>& requests);
/// The same for requests with `on_cpu`, with the time that `limits` have for those.
std::vector<Result<std::string>> read_clocks(const ProcRoot& proc, const ReadLimits& limits,
                                             const std::vector<BoundedRequest>& requests);

}  // namespace defused
