// SPDX-License-Identifier: Apache-2.0
// KeptSurroundings: the index of holders, users and viewers costs a reading of every descriptor on the host. While what
// it was made for does not change it is kept, and made again after 10 s, 20 s ... at most 5 minutes. It serves for
// showing, never for acting. One thread.
#pragma once

#include <optional>
#include <set>
#include <tuple>

#include "model/snapshot.h"

namespace defused {

class KeptSurroundings {
 public:
  /// Puts the kept index, and the gaps of its making, into `snapshot` and returns true, where it still serves: the same
  /// threads sleep, the same connections wait, nobody whom it names is gone, and its time is not over.
  bool restore(Snapshot& snapshot) const;

  /// Keeps what was just read into `snapshot`; `gaps_before` are the gaps from before that.
  void keep(const Snapshot& snapshot, const Gaps& gaps_before);

 private:
  struct Reason {
    std::set<std::tuple<pid_t, std::uint64_t, std::uint64_t>> threads;     // tid, start, context switches
    std::set<std::tuple<std::uint32_t, std::uint64_t, bool>> connections;  // id, inode, waiting
    friend bool operator==(const Reason&, const Reason&) = default;
  };
  static Reason reason_of(const Snapshot& snapshot);
  [[nodiscard]] bool all_there(const Snapshot& snapshot) const;

  std::optional<Surroundings> kept_;
  Reason reason_;
  Gaps gaps_;
  Nanoseconds taken_{0};
  Nanoseconds hold_for_{0};
};

}  // namespace defused
