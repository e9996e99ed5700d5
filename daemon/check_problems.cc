// SPDX-License-Identifier: Apache-2.0
#include "daemon/check_problems.h"

#include <algorithm>
#include <utility>

#include "daemon/describe.h"
#include "exporters/readiness.h"
#include "model/find_connection.h"
#include "model/sentences.h"
#include "model/short_name.h"

namespace defused {

namespace {

CheckProblem make(CheckState state, CheckKind kind, std::string text) {
  CheckProblem problem;
  problem.state = state;
  problem.kind = kind;
  problem.text = std::move(text);
  return problem;
}

// "connection 40 (fuse.s3fs)".
std::string name_connection(const Report& report, ConnectionId id) {
  const ConnectionFinding* finding = find_connection(report, id);
  const bool known = finding != nullptr && !finding->fstype.empty();
  return "connection " + number(id) + (known ? " (" + finding->fstype + ")" : "");
}

// The one that an abort would be of, else the first of those that hold it.
std::optional<ConnectionId> connection_of(const NamespaceFinding& finding, const Decision* decision) {
  if (decision != nullptr && decision->connection) return decision->connection;
  if (!finding.connections.empty()) return finding.connections.front();
  return finding.blocked_threads.empty() ? std::nullopt : finding.blocked_threads.front().connection;
}

std::string on(const Report& report, std::optional<ConnectionId> connection) {
  return connection ? " on " + name_connection(report, *connection) : "";
}

std::string name_process(pid_t pid, const std::string& comm) { return describe_process(NamedProcess{pid, comm}); }

// An inode that could not be read names nothing.
std::string name_namespace(const NamespaceFinding& finding) {
  const std::string init = "init " + name_process(finding.init.pid, finding.init_comm);
  return finding.id.inode == 0 ? init : "PID namespace " + std::to_string(finding.id.inode) + " (" + init + ")";
}

CheckProblem tell_namespace(const Report& report, const NamespaceFinding& finding, const Decision* decision,
                            Nanoseconds critical_after) {
  const bool deadlocked = finding.verdict == Verdict::deadlocked;
  const bool critical = deadlocked && finding.stuck_for >= critical_after;
  CheckProblem problem = make(critical ? CheckState::critical : CheckState::warning,
                              deadlocked ? CheckKind::deadlocked : CheckKind::stuck, "");
  problem.age = finding.stuck_for;
  problem.pid_namespace = finding.id;
  problem.connection = connection_of(finding, decision);
  const std::string where = on(report, problem.connection);
  std::string name = name_namespace(finding);
  if (finding.container) {
    problem.container = finding.container->id;
    const std::string shown = short_name(*finding.container);
    problem.object = (shown.empty() ? name : shown) + where;
    name += shown.empty() ? "" : " of " + shown;
  } else {
    problem.object = name + where;
  }
  problem.text = name + ": " + describe_verdict(finding.verdict, finding.evidence) + " for " +
                 render_age(finding.stuck_for) + ", " + std::string(to_string(finding.wait_class)) + where;
  problem.command = finding.id.inode != 0 ? "defused explain namespace:" + std::to_string(finding.id.inode)
                                          : "defused explain pid:" + std::to_string(finding.init.pid);
  return problem;
}

CheckProblem tell_exit(const Report& report, const StuckExit& exit) {
  const BlockedThread& thread = exit.thread;
  CheckProblem problem = make(CheckState::warning, CheckKind::stuck_exit, "");
  problem.age = thread.blocked_for;
  problem.connection = thread.connection;
  if (exit.container) problem.container = exit.container->id;
  const std::string where = on(report, thread.connection);
  problem.object = name_process(thread.id.tid, thread.comm) + where;
  problem.text = "process " + name_process(thread.pid, thread.comm) +
                 " cannot exit: " + describe_verdict(thread.verdict, thread.evidence) + " for " +
                 render_age(thread.blocked_for) + ", " + std::string(to_string(thread.wait_class)) + where;
  problem.command = "defused explain pid:" + std::to_string(thread.pid);
  return problem;
}

// Without what a diagnosis needs, "nothing is stuck" is worth nothing.
void add_blindness(const Report& report, std::vector<CheckProblem>& problems) {
  for (const std::string& what : report.blind) {
    if (!is_needed(what) || what == "processes") continue;
    CheckProblem problem = make(CheckState::unknown, CheckKind::blind, "blind: " + what + " cannot be read");
    if (what == "fusectl") problem.command = "mount -t fusectl fusectl /sys/fs/fuse/connections";
    problems.push_back(std::move(problem));
  }
}

// It stood since this look saw it first, in all of its samples: nothing says when it stopped. A thread of known age
// stopped before that, or it moved.
bool has_unknown_age(const CheckInput& input, const NamespaceFinding& finding) {
  if (finding.stuck || finding.blocked_threads.empty()) return false;
  const History& history = input.pass->memory.history;
  const BlockedThread& thread = finding.blocked_threads.front();
  const auto remembered = history.threads.find(thread.id);
  const auto known = history.namespaces.find(finding.id);
  return input.own_samples > 0 && thread.samples >= input.own_samples && remembered != history.threads.end() &&
         known != history.namespaces.end() && remembered->second.unchanged_since >= known->second.first_seen;
}

}  // namespace

void add_own_problems(const CheckInput& input, std::vector<CheckProblem>& problems) {
  if (input.pass == nullptr) {
    problems.push_back(make(CheckState::unknown, CheckKind::no_diagnosis,
                            input.incomplete.empty() ? "there is no diagnosis" : input.incomplete));
  } else if (!input.incomplete.empty()) {
    problems.push_back(make(CheckState::unknown, CheckKind::incomplete, input.incomplete));
  }
  if (input.pass != nullptr) {
    const auto& blind = input.pass->report.blind;
    if (std::find(blind.begin(), blind.end(), "processes") != blind.end()) {
      problems.push_back(
          make(CheckState::unknown, CheckKind::no_diagnosis, "there is no diagnosis: the processes cannot be listed"));
    }
  }
  if (input.own_processes_only) {
    problems.push_back(make(CheckState::unknown, CheckKind::blind,
                            "blind: this look sees the processes of its own PID namespace only, not those of the "
                            "host; run the daemon on the host, or check in the PID namespace of the host"));
  }
  if (!input.not_ready.empty()) {
    problems.push_back(make(CheckState::warning, CheckKind::not_ready, "the daemon is not ready: " + input.not_ready));
  }
  if (!input.silent.empty()) problems.push_back(make(CheckState::warning, CheckKind::daemon_silent, input.silent));
  if (!input.supervisor) return;
  if (const std::uint32_t left = input.supervisor->lost_probers_left; left > 0) {
    problems.push_back(make(CheckState::warning, CheckKind::lost_probers,
                            count_of(left, "lost prober", "lost probers") + " that cannot be killed"));
  }
  if (input.supervisor->prober_blind != 0 && input.own_samples == 0) {
    problems.push_back(make(CheckState::warning, CheckKind::no_prober, "no prober of the daemon is looking just now"));
  }
}

void add_stuck(const PassResult& pass, Nanoseconds critical_after, std::vector<CheckProblem>& problems) {
  const Report& report = pass.report;
  const auto& namespaces = report.findings.namespaces;
  for (std::size_t i = 0; i < namespaces.size(); ++i) {
    if (!namespaces[i].stuck) continue;
    const Decision* decision = i < report.decisions.size() ? &report.decisions[i] : nullptr;
    problems.push_back(tell_namespace(report, namespaces[i], decision, critical_after));
  }
  for (const StuckExit& exit : report.findings.stuck_exits) problems.push_back(tell_exit(report, exit));
}

void add_unknown_ages(const CheckInput& input, std::vector<CheckProblem>& problems) {
  const Report& report = input.pass->report;
  for (const NamespaceFinding& finding : report.findings.namespaces) {
    if (!has_unknown_age(input, finding)) continue;
    CheckProblem problem = tell_namespace(report, finding, nullptr, Nanoseconds(0));
    problem.state = CheckState::unknown;
    problem.kind = CheckKind::age_unknown;
    problem.text = name_namespace(finding) +
                   ": it cannot be told whether it is stuck: it does not move, and this kernel "
                   "does not say since when; run the daemon, which sees it";
    problem.age = Nanoseconds(0);
    problems.push_back(std::move(problem));
  }
}

void add_connections(const Report& report, std::vector<CheckProblem>& problems) {
  for (const ConnectionFinding& connection : report.findings.connections) {
    if (!connection.orphaned && !connection.stalled_since) continue;
    const bool orphaned = connection.orphaned;
    CheckProblem problem = make(CheckState::warning, orphaned ? CheckKind::orphaned : CheckKind::stalled, "");
    problem.connection = connection.id;
    problem.object = number(connection.id) + (connection.fstype.empty() ? "" : " (" + connection.fstype + ")");
    if (connection.stalled_since) {
      problem.age = std::max(report.scanned_at - *connection.stalled_since, Nanoseconds(0));
    }
    problem.text = "connection " + problem.object + (orphaned ? " is orphaned: " : " is stalled: ") +
                   count_of(connection.waiting, "request", "requests") + " waiting, server " +
                   std::string(to_string(connection.server_state));
    problem.command = "defused explain connection:" + number(connection.id);
    problems.push_back(std::move(problem));
  }
}

void add_restraints(const Report& report, std::vector<CheckProblem>& problems) {
  const RemedyState& state = report.remedy;
  if (state.breaker_open) {
    CheckProblem problem = make(CheckState::warning, CheckKind::breaker_open, describe_breaker(state));
    problem.command = "defused resume --reset-breaker";
    problems.push_back(std::move(problem));
  }
  const auto& actions = report.actions;
  const auto failed =
      std::find_if(actions.begin(), actions.end(), [](const auto& action) { return is_failed(action.outcome); });
  // A reset by an operator, or an action that went well, ends it.
  if (state.failures_in_row > 0 && failed != actions.end()) {
    problems.push_back(
        make(CheckState::warning, CheckKind::action_failed, "the last action failed: " + describe_action(*failed)));
  }
  if (!state.record_trouble.empty()) {
    problems.push_back(make(CheckState::warning, CheckKind::no_records,
                            "ledger or audit log cannot be written: " + state.record_trouble));
  }
  add_blindness(report, problems);
}

void add_notes(const CheckInput& input, std::vector<std::string>& notes) {
  const Report& report = input.pass->report;
  if (report.remedy.inhibited) notes.push_back(describe_inhibition(report.remedy));
  const auto& namespaces = report.findings.namespaces;
  const auto young = std::count_if(namespaces.begin(), namespaces.end(), [&](const NamespaceFinding& finding) {
    return !finding.stuck && !finding.blocked_threads.empty() && !has_unknown_age(input, finding);
  });
  if (young == 0) return;
  notes.push_back(count_of(static_cast<std::size_t>(young), "dying PID namespace does", "dying PID namespaces do") +
                  " not move, for less than detect.stuck_after (" + render_age(input.stuck_after) + ")");
}

void add_measures(const CheckInput& input, std::vector<CheckMeasure>& measures) {
  const auto add = [&](const char* label, auto value, std::string_view unit = {}, std::string_view warning = {},
                       std::string_view critical = {}) {
    measures.push_back({label, static_cast<double>(value), unit, warning, critical});
  };
  if (input.pass != nullptr) {
    const Report& report = input.pass->report;
    std::size_t stuck = 0;
    std::size_t deadlocked = 0;
    Nanoseconds oldest{0};
    for (const NamespaceFinding& finding : report.findings.namespaces) {
      if (!finding.stuck) continue;
      ++stuck;
      if (finding.verdict == Verdict::deadlocked) ++deadlocked;
      oldest = std::max(oldest, finding.stuck_for);
    }
    std::uint64_t waiting = 0;
    std::size_t stalled = 0;
    std::size_t orphaned = 0;
    for (const ConnectionFinding& connection : report.findings.connections) {
      waiting += connection.waiting;
      if (connection.stalled_since) ++stalled;
      if (connection.orphaned) ++orphaned;
    }
    std::uint64_t gaps = 0;
    for (const auto& [what, count] : report.gaps) gaps += count;
    add("stuck", stuck, "", "0");
    add("deadlocked", deadlocked, "", "0", input.critical_after == Nanoseconds(0) ? "0" : "");
    add("oldest_stuck", to_seconds(oldest), "s");
    add("stuck_exits", std::max<std::size_t>(report.findings.stuck_exit_count, report.findings.stuck_exits.size()), "",
        "0");
    add("stalled", stalled, "", "0");
    add("orphaned", orphaned, "", "0");
    add("connections", report.findings.connections.size());
    add("waiting", waiting);
    add("gaps", gaps);
    add("scan_age", to_seconds(input.age), "s");
    add("scan_duration", to_seconds(report.duration), "s");
  }
  if (!input.supervisor) return;
  add("lost_probers", input.supervisor->lost_probers_left, "", "0");
  add("probers_lost", input.supervisor->probers_lost, "c");
}

}  // namespace defused
