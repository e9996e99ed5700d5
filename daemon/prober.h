// SPDX-License-Identifier: Apache-2.0
// The prober: the privileged process that reads the patient, decides, acts and keeps the records. It does one pass for
// each `start_pass`, announces its phases and hands each result over as a sealed memfd. It may be killed at any moment,
// or become unkillable: it holds nothing that others need.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "daemon/acting.h"
#include "daemon/recording.h"
#include "model/ids.h"
#include "model/subject.h"

namespace defused {

struct ProberOptions {
  /// Of earlier services' lost probers, as `--lost PID:START,...`, those that the supervisor knows by PID only: a
  /// `lost_gone` before `ready` for each that is not there any more.
  std::vector<ProcessId> lost;
  std::optional<Subject> subject;  ///< explain this beside each report
  bool whole_index = false;        ///< read who holds, uses and sees every connection, even if nothing is stuck
  bool keeps_records = false;      ///< ledger, audit log and evidence are written; without it nothing is acted on
  std::optional<HandOrder> by_hand = {};  ///< `defused abort`
  Recording record = Recording::none;     ///< what each pass was read from is handed over after its report
};

/// Parses "17:4711,18:4720". Nothing where it is malformed.
std::vector<ProcessId> parse_lost(const std::string& text);

/// Runs until `stop`, or until the channel closes. The exit code of the process.
int run_prober(UniqueFd channel, const ProberOptions& options);

}  // namespace defused
