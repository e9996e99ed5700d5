// SPDX-License-Identifier: Apache-2.0
// The table of gates: each gate once, what it looks at, why it exists, and the question itself. A gate that cannot tell
// holds. Pure; inner part of lib/policy. Not asked here: breaker_open and readers_disagree (nothing feeds them yet) and
// identity_changed, which lib/remedy finds and tells as an outcome.
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
  Gate gate;
  std::string_view looks_at;
  std::string_view why;
  bool (*holds)(const Case&);
};

inline constexpr std::size_t kGateRules = 19;

/// In the order of the enum.
const std::array<GateRule, kGateRules>& gate_rules();

}  // namespace defused
