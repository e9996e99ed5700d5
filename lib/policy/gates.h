// SPDX-License-Identifier: Apache-2.0
// The table of gates: each gate once, what it looks at, why it exists, the configuration key that moves it (the words
// are those of model/sentences.h), and the question itself. A gate that cannot tell holds. Pure.
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "model/history.h"
#include "model/report.h"
#include "model/settings.h"
#include "policy/decide.h"

namespace defused {

/// One namespace with one connection to act on, and all that the gates may look at.
struct Case {
  const NamespaceFinding& finding;
  std::optional<ConnectionId> id;              ///< nothing: no connection was singled out in this namespace
  const ConnectionFinding* connection;         ///< null: `id` is nothing, or no such connection was found
  std::vector<const BlockedThread*> deciding;  ///< the threads that wait for `id`: on them the decision rests
  const PolicySettings& policy;
  const Ledger& ledger;
  const Restraints& restraints;
  Instant now;
};

struct GateRule {
  Gate gate{};
  std::string_view looks_at;
  std::string_view why;
  std::string_view knob;  ///< configuration key ("remedy.min_stuck") or object of keys ("remedy.deny"); "": none
  bool (*holds)(const Case&) = nullptr;
};

inline constexpr std::size_t kGateRules = AllWords<Gate>::values.size();

/// Entries of the last `window` by which something was written, or may have been.
std::size_t count_attempts(const Ledger& ledger, Nanoseconds window, Instant now);

/// Whether an entry of the last `window` may be missing: the ledger is as long as it may be, and no older entry is
/// left.
bool may_have_forgotten(const Ledger& ledger, Nanoseconds window, Instant now);

/// In the order of the enum.
const std::array<GateRule, kGateRules>& gate_rules();

}  // namespace defused
