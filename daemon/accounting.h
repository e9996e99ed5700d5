// SPDX-License-Identifier: Apache-2.0
// What a pass leaves behind beside its report: counters, and the order for an action.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "model/history.h"
#include "model/report.h"
#include "model/settings.h"
#include "remedy/remedy.h"

namespace defused {

/// Puts the buckets into empty histograms and zeros into label sets; leaves what is there.
void init_counters(Counters& counters);

/// One observation, in seconds.
void observe(Histogram& histogram, double seconds);

/// Whether something is told that has not stood for `stuck_after` yet: the report is provisional.
bool is_young(const Findings& findings, const DetectSettings& settings);

/// The order for a decision to abort; nothing where its namespace or connection is not among the findings.
std::optional<RemedyOrder> make_order(const Findings& findings, const Decision& decision);

/// Whether one of them is to abort.
bool any_abort(const std::vector<Decision>& decisions);

/// One sentence about an outcome.
std::string describe_outcome(const OutcomeRecord& record);

}  // namespace defused
