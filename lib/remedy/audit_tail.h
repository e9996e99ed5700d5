// SPDX-License-Identifier: Apache-2.0
// The end of the audit log, read back: what it says of the last actions, where the ledger may not know it. A prober
// that is killed between the two files leaves an intent that the ledger has not, or an outcome that it has not.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "model/history.h"
#include "model/report.h"

namespace defused {

/// So much of the end is read: the last intent and whatever came after it, whole.
inline constexpr std::size_t kMaxAuditTail = 4U << 20U;

struct AuditTail {
  /// Outcomes, oldest first; of each, `at` is the time of its intent, in milliseconds.
  std::vector<OutcomeRecord> outcomes;
  /// The last intent, where no `outcome` or `interrupted` ends it.
  std::optional<LedgerEntry> open;
};

/// From the text of a log, which may begin or end within a line. What is no record of this schema is passed over.
AuditTail parse_audit_tail(std::string_view text);

/// That of `<state directory>/audit.jsonl`; an empty one where there is none. Errors: denied, io, malformed (no regular
/// file).
Result<AuditTail> read_audit_tail(const std::string& state_directory);

/// Whether both are of the same action: time of the intent, in milliseconds as in the log, and connection; of an action
/// of an earlier boot the ledger knows the time alone.
bool is_same_action(const LedgerEntry& one, const LedgerEntry& other);

/// The outcome in `tail` that ends `entry`; null: none.
const OutcomeRecord* find_outcome(const AuditTail& tail, const LedgerEntry& entry);

}  // namespace defused
