// SPDX-License-Identifier: Apache-2.0
// Deciding: Findings + PolicySettings + Ledger + now -> one Decision for each dying namespace. Pure: no I/O, no clock,
// no state. A Decision carries every gate that holds, not the first. A gap never leads to an abort.
#pragma once

#include <vector>

#include "base/clock.h"
#include "model/history.h"
#include "model/report.h"
#include "model/settings.h"

namespace defused {

/// What stands outside of Findings and still holds an action back.
struct Restraints {
  bool record_unwritable = false;  ///< ledger or audit cannot be written and fsynced
  bool may_act = true;             ///< false: an earlier prober may still act (counted as `inhibited`)
};

/// One Decision per finding, in the order of `findings.namespaces`. At most one of them is `abort`: one action at a
/// time.
std::vector<Decision> decide(const Findings& findings, const PolicySettings& policy, const Ledger& ledger,
                             const Restraints& restraints, Instant now);

/// Whether a connection of this file-system type may be aborted at all: Gate::denied, Gate::not_allowed or nothing.
std::vector<Gate> selector_gates(const PolicySettings& policy, const std::string& fstype);

}  // namespace defused
