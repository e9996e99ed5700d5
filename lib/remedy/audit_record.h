// SPDX-License-Identifier: Apache-2.0
// The records of the audit log, schema `defused.audit/v1` (config/defused.audit.schema.json): one JSON object, one
// line, no newline in it. All have `schema`, `record` and `time` (RFC 3339, UTC, milliseconds):
//
//   record      | when                                                      | beside that
//   ------------|-----------------------------------------------------------|------------------------------------------
//   decision    | the decision about a stuck namespace is another one       | mode, evidence
//   intent      | before an abort, fsynced                                  | evidence, by_hand
//   outcome     | after it                                                  | outcome, detail, recovery_seconds
//   interrupted | an intent without outcome was found                       | outcome, detail
//   breaker     | the circuit breaker opened, or an operator closed it      | state, cause, detail, by
//   inhibit     | `defused pause` or `resume`                               | state, reason, by
//   ledger_lost | the ledger could not be read and was set aside            | detail, file
//
// intent, outcome and interrupted have `intent_time`, `pid_namespace`, `connection` and `directory_inode`: they tell
// which records belong together. `evidence` is all that the decision rests on: stacks, mountinfo lines, servers, users,
// viewers; what the report tells too has the same names here. Sources are shown without user names, passwords and query
// parts. Lists are cut at kMaxListed, with a count beside those that may be longer, and shorter where the line would
// not be one that AuditFile takes.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "model/history.h"
#include "model/report.h"
#include "remedy/remedy.h"

namespace defused {

/// Threads, mounts or servers in one record: with full stacks and mount points of common length about 1 MiB.
inline constexpr std::size_t kMaxListed = 1000;

std::string render_decision(const NamespaceFinding& finding, const std::vector<const ConnectionFinding*>& connections,
                            const Decision& decision, Mode mode, Instant now);
std::string render_intent(const RemedyOrder& order, const LedgerEntry& entry);
std::string render_outcome(const LedgerEntry& entry, const OutcomeRecord& outcome, Instant now);
std::string render_interrupted(const LedgerEntry& entry, const OutcomeRecord& outcome, Instant now);
/// `by`: the operator who closed it; nothing: the daemon, which opened it.
std::string render_breaker(const Breaker& breaker, std::optional<uid_t> by, Instant now);
std::string render_inhibit(bool paused, const std::string& reason, uid_t by, Instant now);
std::string render_ledger_lost(const std::string& file, const std::string& detail, Instant now);

}  // namespace defused
