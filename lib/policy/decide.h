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

/// One Decision per finding, in the order of `findings.namespaces`. Reasons are every gate that holds, in the order of
/// the enum, each once; the table of gates is in gates.h.
/// - Several connections hold a namespace: the lowest id whose gates all pass is taken; where none passes, `connection`
///   and `reasons` are those of the one with the fewest gates, lowest id first.
/// - At most one Decision is `abort`, the first in order: one action at a time. The others that would be too wait for
/// the
///   next pass, held by Gate::rate_limited.
/// - In Mode::dry_run (and observe) all gates are asked and Gate::mode holds: the action is never `abort`. Would-be
/// aborts
///   are the Decisions whose reasons are Gate::mode alone.
/// - A Ledger entry counts for rate_limited and cooldown whatever came of it (not_released, write_failed, interrupted,
/// no
///   outcome yet), but for skipped_identity_changed: nothing was written then, and it keeps its connection back for
///   `min_stuck` only.
std::vector<Decision> decide(const Findings& findings, const PolicySettings& policy, const Ledger& ledger,
                             const Restraints& restraints, Instant now);

/// Whether a connection of this file-system type may be aborted at all: Gate::denied, Gate::not_allowed, both or
/// nothing. An empty type (mounted nowhere that was read) is never allowed.
std::vector<Gate> selector_gates(const PolicySettings& policy, const std::string& fstype);

}  // namespace defused
