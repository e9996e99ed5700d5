// SPDX-License-Identifier: Apache-2.0
// Reading one suspect: its threads, and of each thread that may be blocked what detection needs. Private to lib/procfs.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "procfs/bounded_read.h"
#include "procfs/proc_root.h"

namespace defused {

/// "Now" on the two clocks that `sched` may be measured against (see read_sched_now).
struct SchedNow {
  std::optional<Nanoseconds> own_exec_start;  ///< se.exec_start of this process
  std::optional<Nanoseconds> uptime;
};
SchedNow read_sched_now(const ProcRoot& proc);

/// Reads the suspect `brief` with the files that do not block: those of threads without memory, and the safe class of
/// the others. Nothing where the process is gone.
std::optional<ProcessSample> read_suspect(const ProcRoot& proc, const ReadLimits& limits, const ProcessBrief& brief,
                                          bool below_dying, const SchedNow& now);

/// The reads of `sample` that were put off because they may block (paths below /proc).
std::vector<BoundedRequest> hazards_of(const ProcessSample& sample);

/// Puts the answer to one of hazards_of into `sample`.
void take_hazard(const BoundedRequest& request, const Result<std::string>& result, ProcessSample& sample);

}  // namespace defused
