// SPDX-License-Identifier: Apache-2.0
// The records of the audit log, schema `defused.audit/v1`: one JSON object, one line, no newline in it. All have
// `schema`, `record` (intent, outcome, interrupted), `time` and `intent_time` (RFC 3339, UTC, milliseconds),
// `pid_namespace`, `connection` and `directory_inode`: the last four tell which records belong together. `intent` has
// `evidence` with all that the decision rests on; the others have `outcome` and `detail`. Sources are shown without
// user names, passwords and query parts. Lists are cut at kMaxListed, with a count beside those that may be longer.
#pragma once

#include <cstddef>
#include <string>

#include "base/clock.h"
#include "model/history.h"
#include "model/report.h"
#include "remedy/remedy.h"

namespace defused {

/// Threads, mounts or servers in one record: with full stacks about 1 MiB.
inline constexpr std::size_t kMaxListed = 1000;

std::string render_intent(const RemedyOrder& order, const LedgerEntry& entry);
std::string render_outcome(const LedgerEntry& entry, const OutcomeRecord& outcome, Instant now);
std::string render_interrupted(const LedgerEntry& entry, const OutcomeRecord& outcome, Instant now);

}  // namespace defused
