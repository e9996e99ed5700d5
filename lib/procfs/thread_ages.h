// SPDX-License-Identifier: Apache-2.0
// ThreadAges: for how long the suspects of one pass have not run. When a thread last ran stands in its `sched`, on the
// clock of the CPU that it ran on; what time it is there now is told by `sched` of a child of ours that runs there, and
// recorded as `self/sched-on-cpuN`, which no /proc has. A copy has that file, or is from before there was one: then
// its `self/sched` serves, or the uptime alone; no CPU of this host is asked. Private to lib/procfs.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "procfs/proc_root.h"

namespace defused {

class ThreadAges {
 public:
  /// How many CPUs are asked in one pass; what slept on another one is of unknown age.
  static constexpr std::size_t kMaxClocks = 64;

  ThreadAges(const ProcRoot& proc, const ReadLimits& limits) : proc_(proc), limits_(limits) {}

  /// Reads the clocks of the CPUs that threads of `snapshot` slept on, as far as that is known by now: each once.
  void read_clocks(const Snapshot& snapshot);

  /// Sets `slept` of all threads but those that were kept from an earlier pass.
  void tell(Snapshot& snapshot);

 private:
  /// `unknown`: nothing can be said of a thread that slept there.
  struct CpuClock {
    bool unknown = true;
    std::optional<Nanoseconds> now;
  };
  CpuClock read_copy(const std::string& path);
  CpuClock clock_of(const ThreadSample& thread);
  CpuClock clock_of_old_copy();
  std::optional<Nanoseconds> uptime();

  const ProcRoot& proc_;
  const ReadLimits& limits_;
  std::map<std::uint32_t, CpuClock> clocks_;
  std::optional<CpuClock> old_copy_;
  std::optional<std::optional<Nanoseconds>> uptime_;
};

}  // namespace defused
