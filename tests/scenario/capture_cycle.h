// SPDX-License-Identifier: Apache-2.0
// Passes over a capture with time made by hand: the production code path over a directory.
#pragma once

#include <memory>
#include <string>

#include "daemon/cycle.h"

namespace defused {

/// A cycle over the directory `root`, in `mode`, thresholds of 2 s, nothing required to be proven.
inline std::unique_ptr<Cycle> make_tree_cycle(const std::string& root, Clock& clock, Mode mode = Mode::observe,
                                              ReadHook hook = {}) {
  CycleSources sources;
  sources.proc_path = root + "/proc";
  sources.fusectl_path = root + "/sys/fs/fuse/connections";
  sources.capture = true;
  sources.hook = std::move(hook);
  if (mode == Mode::enforce) sources.records = RecordUse::keep;
  Settings settings;
  settings.policy.mode = mode;
  settings.policy.min_stuck = 2s;
  settings.policy.require_proven = false;
  settings.detect.stuck_after = 2s;
  settings.state_directory = "/nonexistent/defused";
  auto cycle = Cycle::create(settings, std::move(sources), CycleEvents{}, clock);
  return cycle ? *std::move(cycle) : nullptr;
}

/// The same over the capture `name`.
inline std::unique_ptr<Cycle> make_capture_cycle(const std::string& name, Clock& clock, Mode mode = Mode::observe) {
  return make_tree_cycle(std::string(DEFUSED_CAPTURES) + "/" + name, clock, mode);
}

/// The report of the last of `passes` passes, five seconds apart.
inline Report run_passes(Cycle& cycle, ManualClock& clock, int passes) {
  Report report;
  for (int i = 0; i < passes; ++i) {
    if (i > 0) clock.advance(5s);
    report = cycle.run(Bar::none).report;
  }
  return report;
}

}  // namespace defused
