// SPDX-License-Identifier: Apache-2.0
// Detecting: Snapshot + History -> Findings with their evidence, and the History for the next pass. Pure: no I/O, no
// clock, no system header. The theory is docs/DETECTION.md. Unreadable means unknown, never "none".
#pragma once

#include "model/history.h"
#include "model/report.h"
#include "model/settings.h"
#include "model/snapshot.h"

namespace defused {

struct Detection {
  Findings findings;
  History history;
};

Detection detect(const Snapshot& snapshot, const History& before, const DetectSettings& settings);

}  // namespace defused
