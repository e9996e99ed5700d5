// SPDX-License-Identifier: Apache-2.0
// Make the n-th read fail, for every n, over a directory of the shape of tests/captures: what cannot be read may weaken
// what is said, never strengthen it.
#pragma once

#include <string>
#include <vector>

#include "daemon/cycle.h"

namespace defused {

/// Failures to read. `gone` is none: what vanished is not there any more, and less may then be in the way.
inline const std::vector<ErrorKind> kFailures = {ErrorKind::io, ErrorKind::denied, ErrorKind::unsupported,
                                                 ErrorKind::timeout};

struct FaultSweep {
  std::size_t reads = 0;                ///< of one pass, nothing failing
  std::size_t runs = 0;                 ///< sets of passes with one failing read each
  std::size_t weakened = 0;             ///< of these, with another report than the whole data give: the faults bit
  std::vector<std::string> violations;  ///< a sentence for each run that says more than the whole data
};

/// The report of the last of three passes over `root`, the cycle of tests/scenario/capture_cycle.h in mode observe.
Report judge_tree(const std::string& root);

/// Each read of the second and of the third pass fails once in each of `kinds`.
FaultSweep sweep_faults(const std::string& root, const std::vector<ErrorKind>& kinds);

/// What `faulty` claims that `whole` does not: a deadlock, a connection to act on, a server that is gone, fewer users,
/// viewers or gates that hold. Empty: nothing.
std::string find_stronger_claim(const Report& whole, const Report& faulty);

}  // namespace defused
