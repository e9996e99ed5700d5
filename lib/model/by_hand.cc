// SPDX-License-Identifier: Apache-2.0
#include "model/by_hand.h"

#include <algorithm>

namespace defused {

namespace {

// `defused abort` does not ask `mode`. Where another action comes first the budget is not used up: only the turn is
// another one's.
std::vector<Gate> gates_by_hand(const Decision& decision) {
  std::vector<Gate> out = decision.reasons;
  std::erase(out, Gate::mode);
  if (decision.abort_budget > 0) std::erase(out, Gate::rate_limited);
  return out;
}

bool is_age(Gate gate) { return gate == Gate::too_young || gate == Gate::too_few_samples; }

bool goes_through(const Decision& decision) {
  const std::vector<Gate> gates = gates_by_hand(decision);
  return std::all_of(gates.begin(), gates.end(), is_age);
}

// Whether the gates would be asked for this connection as well, and `connection_ambiguous` would not hold for certain.
bool may_act_on(const NamespaceFinding& finding, ConnectionId id) {
  const auto& holding = finding.connections;
  return std::find(holding.begin(), holding.end(), id) != holding.end() &&
         std::any_of(finding.blocked_threads.begin(), finding.blocked_threads.end(),
                     [&](const BlockedThread& thread) { return thread.connection == id; });
}

}  // namespace

HandJudgement judge_by_hand(const Report& report, ConnectionId id) {
  const Decision* about = nullptr;
  std::optional<ConnectionId> instead;
  const auto& namespaces = report.findings.namespaces;
  for (std::size_t i = 0; i < report.decisions.size(); ++i) {
    const Decision& decision = report.decisions[i];
    if (decision.connection == id) {
      if (about == nullptr || (!goes_through(*about) && goes_through(decision))) about = &decision;
      if (decision.action == Action::abort) about = &decision;
    } else if (decision.connection && i < namespaces.size() && may_act_on(namespaces[i], id)) {
      instead = decision.connection;
    }
  }
  HandJudgement out;
  if (about != nullptr && goes_through(*about)) {
    out.answer = HandAnswer::passes;
  } else if (instead) {
    out.answer = HandAnswer::unasked;
    out.asked_instead = instead;
    return out;
  }
  if (about != nullptr) {
    out.gates = gates_by_hand(*about);
    out.acts_by_itself = about->action == Action::abort;
  }
  return out;
}

}  // namespace defused
