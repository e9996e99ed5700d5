// SPDX-License-Identifier: Apache-2.0
// The part of an abort that touches the connection: open, read again, write, watch. For carry_out() alone, which has
// brought the intent to disk by then. Must not: try anything twice, record.
#pragma once

#include <string>

#include "base/clock.h"
#include "model/report.h"
#include "remedy/remedy.h"

namespace defused {

/// `begun` with outcome, detail and recovery; what it returns is final. `intent` is the audit record.
OutcomeRecord attempt_abort(const RemedyOrder& order, const RemedyTools& tools, OutcomeRecord begun,
                            const std::string& intent, Nanoseconds watch);

}  // namespace defused
