// SPDX-License-Identifier: Apache-2.0
// Deciding: Findings + PolicySettings + Ledger + now -> one Decision for each dying namespace. Pure: no I/O, no clock,
// no state. A Decision carries every gate that holds, not the first. A gap never leads to an abort.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "model/history.h"
#include "model/report.h"
#include "model/settings.h"

namespace defused {

/// What stands outside of Findings, PolicySettings and Ledger, and still holds an action back or lets it go on.
struct Restraints {
  bool record_unwritable = false;  ///< ledger or audit cannot be written and fsynced
  bool inhibited = false;          ///< the inhibit file is there, or somebody else may be acting
  /// `defused abort`: only this connection is judged, whether or not another one that holds the same namespace would
  /// pass. Whatever does not wait for it is held by not_allowed. `mode` is not asked: the person who typed it is the
  /// mode.
  std::optional<ConnectionId> by_hand = {};
  bool override_age = false;  ///< --override: too_young and too_few_samples are not asked; all others are
};

/// One Decision per finding, in the order of `findings.namespaces`. Reasons are every gate that holds, in the order of
/// the enum, each once; the table of gates is in gates.h, what selectors match in selectors.h.
/// - Several connections hold a namespace: the lowest id whose gates all pass is taken; where none passes, `connection`
///   and `reasons` are those of the one with the fewest gates, lowest id first.
/// - At most one Decision is `abort`, the first in order: one action at a time. The others that would be too wait for
///   the next pass, held by Gate::rate_limited.
/// - In Mode::dry_run (and observe) all gates are asked and Gate::mode holds: the action is never `abort`, but by hand.
///   Would-be aborts are the Decisions whose reasons are Gate::mode alone.
/// - A Ledger entry counts for rate_limited and cooldown whatever came of it (not_released, write_failed, interrupted,
///   no outcome yet), but for skipped_identity_changed and vetoed: nothing was written then, and they keep their
///   connection back for `min_stuck`, by Gate::identity_changed and Gate::vetoed. Of an entry of an earlier boot only
///   its time is known: it counts for rate_limited alone.
/// - A Ledger that is full and reaches back less than max_aborts_window (cooldown) may have forgotten an entry that
///   counts: rate_limited (cooldown) holds.
std::vector<Decision> decide(const Findings& findings, const PolicySettings& policy, const Ledger& ledger,
                             const Restraints& restraints, Instant now);

/// Aborts that the window still allows at `now`: what defused_abort_budget_remaining says. 0 where a full Ledger does
/// not reach back far enough to count them.
std::uint32_t remaining_budget(const PolicySettings& policy, const Ledger& ledger, Instant now);

/// Notes what came of an action in the circuit breaker: one that failed counts, `released` and `partly_released` begin
/// anew, where nothing was written nothing changes. Opens it at policy.breaker_failures; nothing closes it here.
/// `sentence` says which action it was.
void note_outcome(Breaker& breaker, Outcome outcome, const PolicySettings& policy, const std::string& sentence,
                  Nanoseconds now_wall);

}  // namespace defused
