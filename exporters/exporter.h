// SPDX-License-Identifier: Apache-2.0
// What an exporter gets: the last pass and what the supervisor knows beside it. All exporters live in the front, which
// has no privilege; none reads anything of the host itself.
#pragma once

#include <sys/types.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "model/history.h"
#include "model/report.h"
#include "model/settings.h"

namespace defused {

/// CPU, memory, descriptors and start of one of our three processes.
struct ProcessUsage {
  double cpu_seconds = 0;
  std::uint64_t resident_bytes = 0;
  std::uint64_t open_fds = 0;
  double start_time_seconds = 0;  ///< wall clock
};

/// What the supervisor tells the front with each hand-over, fixed size: it goes over the socket as it is.
struct SupervisorStatus {
  std::uint64_t probers_lost = 0;       ///< total since the service started
  std::uint32_t lost_probers_left = 0;  ///< unkillable and still there: probers, readers, those of earlier services
  std::uint8_t prober_blind = 0;        ///< 1: no prober is running, or the running one has missed its deadline
  std::uint8_t at_cap = 0;              ///< 1: so many are left that no new one is started
  Nanoseconds interval{0};
  ProcessUsage supervisor;
  ProcessUsage prober;
};

/// All that a page or a scrape is made from. `pass` is null before the first report. Ages of the pass are counted by
/// both clocks: its own time is wall-clock time, which somebody may set back, and a successor of a front gets it late.
struct View {
  std::shared_ptr<const PassResult> pass;
  SupervisorStatus supervisor;
  ProcessUsage front;
  Settings settings;
  Instant now;
  Nanoseconds arrived{0};  ///< boot time at which `pass` came

  /// How long ago the pass began, by the clock that says more; 0 before the first report.
  [[nodiscard]] Nanoseconds age_of_pass() const {
    if (!pass) return Nanoseconds(0);
    return std::max({now.wall - pass->report.scanned_at, now.boottime - arrived, Nanoseconds(0)});
  }
};

}  // namespace defused
