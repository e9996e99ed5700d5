// SPDX-License-Identifier: Apache-2.0
// Judging blocked threads: progress, wait class, connection, verdict. Private to lib/detect. Pure.
#pragma once

#include <map>
#include <optional>
#include <vector>

#include "detect/world.h"
#include "model/history.h"
#include "model/report.h"

namespace defused {

/// What of a thread is known after this sample: same context switches as before adds a sample, any change starts anew.
/// At first sight it has stood since it last ran where `sched` tells that.
ThreadMemory remember_thread(const ThreadSample& thread, const std::map<ThreadId, ThreadMemory>& before, Instant now);

/// A blocked thread with its verdict. `connections` are the findings of this pass, `out_of_sight` what
/// waiting_out_of_sight() said.
class ThreadJudge {
 public:
  ThreadJudge(const Snapshot& snapshot, const History& before, const std::vector<ConnectionFinding>& connections,
              bool out_of_sight);

  [[nodiscard]] BlockedThread judge(const ProcessSample& process, const ThreadSample& thread,
                                    const ThreadMemory& memory) const;

 private:
  void attribute(const ThreadSample& thread, BlockedThread& out) const;
  void conclude(BlockedThread& out) const;
  [[nodiscard]] bool waits_in_both_samples(ConnectionId id) const;
  [[nodiscard]] const ConnectionFinding* find(ConnectionId id) const;

  const Snapshot& snapshot_;
  const History& before_;
  const std::vector<ConnectionFinding>& connections_;
  bool out_of_sight_;
};

}  // namespace defused
