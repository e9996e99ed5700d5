// SPDX-License-Identifier: Apache-2.0
#include "policy/decide.h"

#include <algorithm>
#include <map>
#include <optional>

#include "base/text.h"
#include "policy/gates.h"

namespace defused {

namespace {

bool matches_any(const std::vector<std::string>& patterns, const std::string& text) {
  return std::any_of(patterns.begin(), patterns.end(),
                     [&](const std::string& pattern) { return matches_glob(pattern, text); });
}

class Judge {
 public:
  Judge(const Findings& findings, const PolicySettings& policy, const Ledger& ledger, const Restraints& restraints,
        Instant now)
      : policy_(policy), ledger_(ledger), restraints_(restraints), now_(now) {
    for (const ConnectionFinding& connection : findings.connections) connections_[connection.id] = &connection;
  }

  [[nodiscard]] Decision judge(const NamespaceFinding& finding) const {
    if (finding.connections.empty()) return judge_for(finding, std::nullopt);
    std::vector<ConnectionId> ids = finding.connections;
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

std::vector<Gate> selector_gates(const PolicySettings& policy, const std::string& fstype) {
  std::vector<Gate> gates;
  if (matches_any(policy.deny_fstypes, fstype)) gates.push_back(Gate::denied);
  if (fstype.empty() || !matches_any(policy.allow_fstypes, fstype)) gates.push_back(Gate::not_allowed);
  return gates;
}

}  // namespace defused
