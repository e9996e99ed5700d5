// SPDX-License-Identifier: Apache-2.0
// KeptSurroundings: the index of holders, users and viewers costs a look at every descriptor on the host. It is kept
// and made again after 10 s, 20 s ... at most 5 minutes, sooner where something new asks for it, and never so often
// that it takes more than a small share of one CPU. It serves for showing, never for acting. One thread.
#pragma once

#include <map>
#include <optional>
#include <set>

#include "model/snapshot.h"

namespace defused {

class KeptSurroundings {
 public:
  /// Puts the kept index, and the gaps of its making, into `snapshot` and returns true where it still serves: its time
  /// is not over, every thread of `standing` and every connection that waits was there when it was made, and its
  /// holders live or die as they did. Who is gone is left out. Where the last making cost much it serves a while all
  /// the same; of connections that came since nothing is known then, and where a holder is lost not whether there is
  /// another one.
  bool restore(Snapshot& snapshot, const std::set<ThreadId>& standing) const;

  /// Keeps what was just read into `snapshot` for `standing`; `gaps_before` are the gaps from before that, `cost` the
  /// CPU time of the reading.
  void keep(const Snapshot& snapshot, const std::set<ThreadId>& standing, const Gaps& gaps_before, Nanoseconds cost);

 private:
  [[nodiscard]] bool is_lost(const Snapshot& snapshot, pid_t holder) const;
  [[nodiscard]] bool knows(const ConnectionSample& sample) const;
  [[nodiscard]] bool answers(const Snapshot& snapshot, const std::set<ThreadId>& standing) const;

  std::optional<Surroundings> kept_;
  std::set<ThreadId> standing_;
  std::set<pid_t> living_;                             // the holders that lived
  std::map<ConnectionId, std::uint64_t> connections_;  // all that there were, with their directory inodes
  Gaps gaps_;
  Nanoseconds taken_{0};
  Nanoseconds hold_for_{0};
  Nanoseconds least_{0};
};

}  // namespace defused
