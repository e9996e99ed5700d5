// SPDX-License-Identifier: Apache-2.0
// LostProcesses: our processes that did not die of SIGKILL - probers, children of probers, and those that an earlier
// service recorded. Holds a pidfd of each, which tells its end without a look at /proc, and keeps the record on disk.
// Must not: wait, read a foreign /proc entry. Used by the supervisor's thread.
#pragma once

#include <poll.h>

#include <cstdint>
#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "daemon/log.h"
#include "daemon/lost_probers.h"
#include "daemon/spawn.h"
#include "model/ids.h"

namespace defused {

class LostProcesses {
 public:
  /// Takes over what is recorded at `record_path` and still there. Where the kernel cannot tell one process from
  /// another by its pidfd (before Linux 6.9), whatever has the recorded PID counts, until forget() or its end.
  LostProcesses(std::string record_path, Logger& log);

  /// Probers that are not lost, or not yet: recorded, so that one that hangs when the service itself is killed counts
  /// for the next one. Not counted here.
  void set_running(const std::vector<const Child*>& running);
  /// A child of ours.
  void add(Child child);
  /// A child of a prober, by its pidfd.
  void add_reader(ProcessId id, UniqueFd pidfd);
  /// It is not there any more, says a prober.
  void forget(const ProcessId& id);
  /// Takes out those that have ended and answers how many.
  std::size_t bury();
  /// Looks again for those that no descriptor could be had of.
  void look_again();

  [[nodiscard]] std::size_t size() const { return lost_.size(); }
  /// Those of which only the PID is known to be there: a prober can tell by their start time.
  [[nodiscard]] std::vector<ProcessId> unproven() const;
  /// "prober 4711 (started at tick 123)", one each.
  [[nodiscard]] std::vector<std::string> names() const;
  void add_polls(std::vector<pollfd>& polls) const;

 private:
  struct Lost {
    const char* what = "";
    Child child;              ///< without channel
    bool is_ours = false;     ///< to be reaped by us
    std::uint64_t inode = 0;  ///< of its pidfd; 0: that says nothing
    bool is_proven = false;
  };
  void take_over();
  static bool look_up(Lost& lost);
  static bool has_ended(Lost& lost);
  void write_record();

  std::string record_path_;
  Logger& log_;
  std::vector<Lost> lost_;
  std::vector<LostProber> running_;
};

/// "4711 (started at tick 123)".
std::string name_of(const ProcessId& id);

}  // namespace defused
