// SPDX-License-Identifier: Apache-2.0
// Judging blocked threads: progress, wait class, connection, verdict. Private to lib/detect. Pure.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <vector>

#include "detect/connections.h"
#include "detect/world.h"
#include "model/history.h"
#include "model/report.h"

namespace defused {

/// What of a thread is known after this sample: same context switches as before adds a sample, any change starts anew.
/// At first sight it has stood since it last ran where `sched` tells that.
ThreadMemory remember_thread(const ThreadSample& thread, const std::map<ThreadId, ThreadMemory>& before, Instant now);

/// Gives blocked threads their verdicts. `connections` are the findings of this pass, `mounts` what they were made
/// from.
class ThreadJudge {
 public:
  ThreadJudge(const Snapshot& snapshot, const History& before, const std::map<ConnectionId, MountFacts>& mounts,
              const std::vector<ConnectionFinding>& connections);

  [[nodiscard]] BlockedThread judge(const ProcessSample& process, const ThreadSample& thread,
                                    const ThreadMemory& memory) const;

  /// Those of one process that wait for another thread of it (for its io_uring workers, for the writer of its core
  /// dump, for a lock) get the verdict of that one.
  static void follow_each_other(std::vector<BlockedThread>& threads);

 private:
  /// What a thread may wait for, by /proc alone.
  struct Pool {
    std::set<ConnectionId> candidates;
    std::set<ConnectionId> own;  ///< those of its own mount table that wait
    bool all_in_sight = true;    ///< false: it may wait for something that its mounts do not show
    bool all_known = true;       ///< false: it may wait for something that is no candidate at all
    std::size_t mounted = 0;     ///< connections in its mount table, waiting or not
  };
  [[nodiscard]] Pool pool_of(const ProcessId& process, const ThreadSample& thread, const BlockedThread& out) const;
  [[nodiscard]] std::set<ConnectionId> opened_by(const ProcessId& process, const ThreadSample& thread) const;
  static bool is_through_overlay(const ThreadSample& thread);
  bool attribute_exactly(const ThreadSample& thread, BlockedThread& out) const;
  /// False: it may wait for something that is no candidate, so the candidates say nothing.
  bool attribute(const ProcessId& process, const ThreadSample& thread, BlockedThread& out) const;
  [[nodiscard]] bool knows_open_files(const ThreadSample& thread) const;
  bool attribute_aio(const ProcessId& process, const ThreadSample& thread, BlockedThread& out) const;
  void conclude(bool all_known, BlockedThread& out) const;
  [[nodiscard]] bool none_waits() const;
  [[nodiscard]] bool waits_in_both_samples(ConnectionId id) const { return waiting_in_both_.count(id) > 0; }
  [[nodiscard]] bool waits_for_unlisted(const ThreadSample& thread) const;
  /// The one of several candidates whose writeback hangs, for a thread that waits for pages.
  [[nodiscard]] std::optional<ConnectionId> flushed(const BlockedThread& out, const Pool& pool) const;
  [[nodiscard]] std::optional<ConnectionId> remembered(const ProcessId& process, const BlockedThread& out,
                                                       const Pool& pool) const;
  [[nodiscard]] const ConnectionFinding* find(ConnectionId id) const;

  const Snapshot& snapshot_;
  const History& before_;
  std::map<ConnectionId, const ConnectionFinding*> finding_of_;
  std::set<ConnectionId> waiting_in_both_;  ///< may have had requests waiting in this sample and in the last one
  std::map<int, ConnectionId> connection_of_mount_;
  std::vector<ConnectionId> out_of_sight_;
  std::set<ConnectionId> hung_flushers_;
  bool any_virtiofs_;  ///< in any mount table that was read
};

}  // namespace defused
