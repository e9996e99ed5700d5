// SPDX-License-Identifier: Apache-2.0
// What `defused check` makes of a pass: a state by the convention of monitoring plugins, the problems behind it,
// numbers. Pure. Names in the texts are as the report has them; who prints them escapes (check_output.h).
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "exporters/exporter.h"
#include "model/history.h"
#include "model/ids.h"

namespace defused {

/// The values are exit codes of the Monitoring Plugins guidelines.
enum class CheckState { ok = 0, warning = 1, critical = 2, unknown = 3 };
/// "ok", "warning", "critical", "unknown".
std::string_view to_string(CheckState state);

/// What a problem is, in the order in which problems of one state are told.
enum class CheckKind {
  refused,        ///< not root, a bad command line or configuration: nothing was looked at
  no_diagnosis,   ///< not even the processes could be listed, or no look was finished
  deadlocked,     ///< a stuck PID namespace with that verdict
  age_unknown,    ///< a dying PID namespace does not move, and for how long cannot be told: it may be stuck
  stuck,          ///< a stuck PID namespace with another verdict
  stuck_exit,     ///< a thread in no dying PID namespace
  stalled,        ///< a connection
  orphaned,       ///< a connection
  breaker_open,   ///< the circuit breaker holds all actions
  action_failed,  ///< the last action, and no reset since
  no_records,     ///< ledger or audit log cannot be written, which holds all actions
  lost_probers,   ///< processes of ours that cannot be killed
  blind,          ///< something that a diagnosis needs cannot be seen
  not_ready,      ///< the daemon's report is too old, or there is none: we looked ourselves
  no_prober,      ///< no prober of the daemon is looking just now
  daemon_silent,  ///< a daemon is there and does not answer
  incomplete,     ///< our own look did not come to its end
};
/// "deadlocked", "no_diagnosis" ..
std::string_view to_string(CheckKind kind);

struct CheckProblem {
  CheckState state = CheckState::unknown;
  CheckKind kind = CheckKind::refused;
  std::string text;     ///< the whole of it in one sentence, without a full stop
  std::string object;   ///< what it is about, in short: "docker 0123456789ab on connection 40 (fuse.s3fs)"; may be ""
  std::string command;  ///< what a person types next; may be ""
  Nanoseconds age{0};   ///< 0: it has none
  std::optional<NamespaceId> pid_namespace;
  std::optional<ConnectionId> connection;
  std::string container;  ///< its whole id; ""
};

/// One number of the performance data.
struct CheckMeasure {
  std::string label;
  double value = 0;
  std::string_view unit = {};     ///< "s", "c" (a counter), "" (a count)
  std::string_view warning = {};  ///< ranges as the guidelines write them; "": none
  std::string_view critical = {};
};

struct CheckInput {
  const PassResult* pass = nullptr;            ///< null: there is none
  std::uint32_t own_samples = 0;               ///< how many our own look has; 0: `pass` is the daemon's report
  std::optional<SupervisorStatus> supervisor;  ///< of the daemon that answered
  Nanoseconds age{0};                          ///< of the pass
  std::string not_ready;                       ///< why the daemon's report cannot be relied on, so that we looked; ""
  std::string silent;                          ///< why a daemon that is there was not asked; ""
  std::string incomplete;                      ///< what became of our own look; "": it was finished
  bool own_processes_only = false;             ///< our own look is from within a PID namespace that is not the host's
  std::vector<std::string> notes;
  Nanoseconds critical_after{0};
  Nanoseconds stuck_after{0};
};

struct CheckResult {
  CheckState state = CheckState::unknown;
  std::string_view source = {};        ///< "daemon", "probe"; "": nothing was looked at
  std::string summary;                 ///< with names and ages
  std::string brief;                   ///< without ages: the same text as long as the same is wrong
  std::vector<CheckProblem> problems;  ///< the worst first
  std::vector<std::string> notes;
  std::vector<CheckMeasure> measures;
};

CheckResult judge_check(const CheckInput& input);

/// UNKNOWN: nothing could be looked at, and why.
CheckResult refuse_check(std::string sentence);

}  // namespace defused
