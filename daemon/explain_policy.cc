// SPDX-License-Identifier: Apache-2.0
#include "daemon/explain_policy.h"

#include <algorithm>

#include "daemon/describe.h"

namespace defused {

namespace {

// Where the mode holds an action back, that is a gate like others.
std::string mode_in_words(Mode mode) {
  switch (mode) {
    case Mode::observe: return "The configured mode is `observe`: defused only looks (gate `mode`).";
    case Mode::dry_run:
      return "The configured mode is `dry_run`: defused decides and logs, and writes nothing (gate `mode`).";
    case Mode::enforce: return "The configured mode is `enforce`: the daemon aborts where no gate holds.";
  }
  return "";
}

void add_budget(TextPage& page, const RemedyState& state) {
  std::string text;
  if (!state.breaker_open) text += "The circuit breaker is closed. ";
  if (!state.inhibited) text += "Actions are not paused. ";
  page.say(text + "Aborts left in the window (`abort_budget_remaining`): " + std::to_string(state.abort_budget) + ".");
}

bool is_among(const auto& wanted, const auto& it) {
  return std::find(wanted.begin(), wanted.end(), it) != wanted.end();
}

}  // namespace

void add_restraints(TextPage& page, const RemedyState& state) {
  if (state.breaker_open) {
    page.say(capitalized(describe_breaker(state)));
    page.say("While it is open nothing is aborted. Once a person has found out why, to close it:");
    page.command("defused resume --reset-breaker");
  }
  if (state.inhibited) {
    page.say(capitalized(describe_inhibition(state)));
    page.say("Meanwhile nothing is aborted. To end a pause by an operator:");
    page.command("defused resume");
  }
}

void add_policy(TextPage& page, const NamespaceFinding& finding, const ExplainInput& input) {
  page.heading("What the policy says");
  page.say(mode_in_words(input.configured));
  std::vector<const GateInWords*> holding;
  bool unwritable = false;
  for (const GateInWords& gate : input.gates) {
    if (gate.pid_namespace != finding.id || gate.gate == Gate::mode) continue;
    holding.push_back(&gate);
    unwritable = unwritable || gate.gate == Gate::record_unwritable;
  }
  if (holding.empty()) {
    page.say(input.configured == Mode::enforce
                 ? "No gate holds it back: the daemon would abort the connection."
                 : "Only the mode holds it back: in `enforce` the connection would be aborted.");
  } else {
    page.say("An abort would be held back, in any mode, by:");
    for (const GateInWords* gate : holding) {
      page.item("`" + std::string(to_string(gate->gate)) + "`: " + gate->looks_at + " - " + gate->why + ".");
    }
  }
  const RemedyState& state = input.pass.report.remedy;
  add_restraints(page, state);
  add_budget(page, state);
  if (!unwritable) {
    page.say("The records have room as far as a look can tell (`record_unwritable`); that is tried before acting.");
  }
}

void add_past_actions(TextPage& page, const std::vector<NamespaceId>& namespaces,
                      const std::vector<ConnectionId>& connections, const Report& report) {
  bool any = false;
  bool by_number = false;
  for (const OutcomeRecord& action : report.actions) {
    const bool same_namespace = is_among(namespaces, action.pid_namespace);
    if (!same_namespace && !is_among(connections, action.connection)) continue;
    if (!any) page.heading("What was done already");
    any = true;
    by_number = by_number || !same_namespace;
    page.item(describe_action(action));
  }
  if (by_number) {
    page.say(
        "Numbers of connections are used again: an action for another PID namespace may have been on another one.");
  }
}

}  // namespace defused
