// SPDX-License-Identifier: Apache-2.0
#include "policy/decide.h"

#include <algorithm>
#include <map>
#include <optional>
#include <utility>

#include "policy/gates.h"

namespace defused {

namespace {

class Judge {
 public:
  Judge(const Findings& findings, const PolicySettings& policy, const Ledger& ledger, const Restraints& restraints,
        Instant now)
      : policy_(policy), ledger_(ledger), restraints_(restraints), now_(now) {
    for (const ConnectionFinding& connection : findings.connections) connections_[connection.id] = &connection;
  }

  [[nodiscard]] Decision judge(const NamespaceFinding& finding) const {
    std::vector<ConnectionId> ids = finding.connections;
    if (ids.empty()) return judge_for(finding, std::nullopt);
    const auto& wanted = restraints_.by_hand;
    if (wanted && std::count(ids.begin(), ids.end(), *wanted) > 0) return judge_for(finding, wanted);
    std::sort(ids.begin(), ids.end());
    std::optional<Decision> best;
    for (const ConnectionId id : ids) {
      Decision decision = judge_for(finding, id);
      if (!best || decision.reasons.size() < best->reasons.size()) best = std::move(decision);
    }
    return *best;
  }

 private:
  [[nodiscard]] Decision judge_for(const NamespaceFinding& finding, std::optional<ConnectionId> id) const {
    const auto found = id ? connections_.find(*id) : connections_.end();
    Case it{finding,     id,  found == connections_.end() ? nullptr : found->second, {}, policy_, ledger_,
            restraints_, now_};
    for (const BlockedThread& thread : finding.blocked_threads) {
      if (id && thread.connection == id) it.deciding.push_back(&thread);
    }
    Decision decision;
    decision.pid_namespace = finding.id;
    decision.abort_budget = remaining_budget(policy_, ledger_, now_);
    decision.connection = id;
    for (const GateRule& rule : gate_rules()) {
      if (rule.holds(it)) decision.reasons.push_back(rule.gate);
    }
    decision.action = decision.reasons.empty() ? Action::abort : Action::hold;
    return decision;
  }

  std::map<ConnectionId, const ConnectionFinding*> connections_;
  const PolicySettings& policy_;
  const Ledger& ledger_;
  const Restraints& restraints_;
  Instant now_;
};

}  // namespace

std::vector<Decision> decide(const Findings& findings, const PolicySettings& policy, const Ledger& ledger,
                             const Restraints& restraints, Instant now) {
  const Judge judge(findings, policy, ledger, restraints, now);
  std::vector<Decision> decisions;
  decisions.reserve(findings.namespaces.size());
  bool taken = false;
  for (const NamespaceFinding& finding : findings.namespaces) {
    Decision decision = judge.judge(finding);
    if (decision.action == Action::abort && taken) {
      decision.action = Action::hold;
      decision.reasons = {Gate::rate_limited};
    }
    taken = taken || decision.action == Action::abort;
    decisions.push_back(std::move(decision));
  }
  return decisions;
}

std::uint32_t remaining_budget(const PolicySettings& policy, const Ledger& ledger, Instant now) {
  if (may_have_forgotten(ledger, policy.max_aborts_window, now)) return 0;
  const std::size_t used = count_attempts(ledger, policy.max_aborts_window, now);
  const std::size_t limit = policy.max_aborts;
  return static_cast<std::uint32_t>(limit - std::min(limit, used));
}

void note_outcome(Breaker& breaker, Outcome outcome, const PolicySettings& policy, const std::string& sentence,
                  Nanoseconds now_wall) {
  if (!may_have_written(outcome)) return;
  if (!is_failed(outcome)) {
    breaker.failures = 0;
    return;
  }
  ++breaker.failures;
  if (breaker.is_open() || breaker.failures < policy.breaker_failures) return;
  breaker.cause = BreakerCause::failed_outcomes;
  breaker.since_wall = now_wall;
  breaker.detail = sentence;
}

}  // namespace defused
