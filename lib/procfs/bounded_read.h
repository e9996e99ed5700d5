// SPDX-License-Identifier: Apache-2.0
// Reading files that may block for ever, in a child process made by fork that is killed when one does not answer in
// time. The child holds no descriptor but the root and its pipe. A child that does not die of SIGKILL within 100 ms is
// left behind (the kernel holds it; nothing can end it): it is named, and nothing more is read, so that one call leaves
// one at most.
#pragma once

#include <sys/types.h>

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
};

struct BoundedReads {
  std::vector<Result<std::string>> results;  ///< one per request, same order; `timeout` where it did not answer
  std::optional<pid_t> left_behind;          ///< the child that could not be ended
};

/// Reads each request below `root`; at most `each` for one and `total` for all.
BoundedReads read_bounded(const Beneath& root, const std::vector<BoundedRequest>& requests, Nanoseconds each,
                          Nanoseconds total);

/// The same below /proc as `limits` say: where hazards are not allowed each result is `timeout`, and a child that could
/// not be ended is told.
std::vector<Result<std::string>> read_hazardous(const ProcRoot& proc, const ReadLimits& limits,
                                                const std::vector<BoundedRequest>& requests);

}  // namespace defused
