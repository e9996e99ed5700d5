// SPDX-License-Identifier: Apache-2.0
#include "remedy/remedy.h"

#include <algorithm>
#include <utility>

#include "base/text.h"
#include "remedy/attempt.h"
#include "remedy/audit_record.h"

namespace defused {

namespace {

bool is_to_abort(const RemedyOrder& order) {
  return order.decision.action == Action::abort && order.decision.connection == order.connection.id &&
         order.decision.pid_namespace == order.finding.id;
}

LedgerEntry make_entry(const RemedyOrder& order, Instant now) {
  LedgerEntry entry;
  entry.connection = order.connection.id;
  entry.directory_inode = order.connection.directory_inode;
  entry.pid_namespace = order.finding.id;
  entry.at_boottime = now.boottime;
  entry.at_wall = now.wall;
  entry.by_hand = order.by_hand.has_value();
  return entry;
}

OutcomeRecord make_record(const LedgerEntry& entry, Outcome outcome, std::string detail) {
  OutcomeRecord record = record_of(entry);
  record.outcome = outcome;
  record.detail = std::move(detail);
  return record;
}

// Where there is no room, an entry by which nothing was written goes first: the others still count for the limits.
void note(Ledger& ledger, const LedgerEntry& entry) {
  auto& entries = ledger.entries;
  while (entries.size() >= kMaxLedgerEntries) {
    const auto harmless = std::find_if(entries.begin(), entries.end(), [](const LedgerEntry& old) {
      return old.outcome && !may_have_written(*old.outcome);
    });
    entries.erase(harmless == entries.end() ? entries.begin() : harmless);
  }
  entries.push_back(entry);
}

// Ends the intent in the audit log. Empty, or what could not be recorded.
std::string withdraw_intent(const LedgerEntry& entry, const Error& why, const RemedyTools& tools) {
  const OutcomeRecord record =
      make_record(entry, Outcome::vetoed, "nothing was attempted: the ledger could not be saved: " + why.message);
  const auto recorded = tools.audit.append(render_outcome(entry, record, tools.clock.now()));
  return recorded ? "" : "; nor could that be recorded in the audit log: " + recorded.error().message;
}

// The intent in the audit log and in the ledger, both on disk. Empty, or what could not be brought there.
std::string record_intent(const LedgerEntry& entry, const std::string& intent, const RemedyTools& tools,
                          Ledger& ledger) {
  tools.world.reach(RemedyStep::intent, intent);
  if (auto recorded = tools.audit.append(intent); !recorded) {
    return "the intent could not be recorded in the audit log: " + recorded.error().message;
  }
  const std::vector<LedgerEntry> before = ledger.entries;
  note(ledger, entry);
  const auto saved = tools.store.save(ledger);
  if (saved) return {};
  ledger.entries = before;
  const std::string trouble = withdraw_intent(entry, saved.error(), tools);
  // Where only the last sync failed, the file has the intent all the same. If this fails too, it is settled as
  // interrupted, which holds more than it must.
  const auto taken_back = tools.store.save(ledger);
  return "the intent could not be saved in the ledger: " + saved.error().message + trouble +
         (taken_back ? "" : "; nor could it be taken back: " + taken_back.error().message);
}

// The hook may say much; the ledger keeps hundreds of details.
std::string describe_veto(const HookResult& answer) {
  std::string text =
      answer.trouble.empty() ? "it exited with code " + std::to_string(answer.exit_code) : answer.trouble;
  if (!answer.output.empty()) text += "; it said: " + sanitize(answer.output);
  return "the before-hook did not agree: " + text;
}

// Brings the outcome to disk and tells the after-hook. What fails here is told in `record.detail`.
HookResult conclude(OutcomeRecord& record, const RemedyTools& tools, Ledger& ledger) {
  const Instant now = tools.clock.now();
  const std::size_t index = ledger.entries.size() - 1;
  const auto take = [&]() -> const LedgerEntry& {
    LedgerEntry& entry = ledger.entries[index];
    entry.outcome = record.outcome;
    entry.detail = record.detail;
    entry.recovery = record.recovery;
    return entry;
  };
  std::string line = render_outcome(take(), record, now);
  tools.world.reach(RemedyStep::outcome, line);
  tools.world.settle(ledger, record);
  if (auto recorded = tools.audit.append(line); !recorded) {
    record.detail += "; this could not be recorded in the audit log: " + recorded.error().message;
    take();
  }
  if (auto saved = tools.store.save(ledger); !saved) {
    record.detail += "; this could not be saved in the ledger: " + saved.error().message;
  }
  line = render_outcome(take(), record, now);
  tools.world.reach(RemedyStep::after_hook, line);
  return tools.hooks.after(line);
}

}  // namespace

Attempt carry_out(const RemedyOrder& order, const RemedyTools& tools, Ledger& ledger, Nanoseconds watch) {
  Attempt attempt;
  const LedgerEntry entry = make_entry(order, tools.clock.now());
  OutcomeRecord record = make_record(entry, Outcome::skipped_identity_changed, "");
  if (!is_to_abort(order)) {
    record.detail = "the order is not one to abort connection " + std::to_string(order.connection.id.kernel_dev) +
                    " in this namespace";
    attempt.outcome = std::move(record);
    return attempt;
  }
  const std::string intent = render_intent(order, entry);
  attempt.unwritable = record_intent(entry, intent, tools, ledger);
  if (!attempt.unwritable.empty()) return attempt;
  tools.world.reach(RemedyStep::before_hook, intent);
  const HookResult answer = tools.hooks.before(intent);
  if (answer.agrees()) {
    record = attempt_abort(order, tools, std::move(record), intent, watch);
  } else {
    record.outcome = Outcome::vetoed;
    record.detail = describe_veto(answer);
  }
  attempt.after = conclude(record, tools, ledger);
  attempt.outcome = std::move(record);
  return attempt;
}

OutcomeRecord record_of(const LedgerEntry& entry) {
  OutcomeRecord record;
  record.pid_namespace = entry.pid_namespace;
  record.connection = entry.connection;
  record.outcome = entry.outcome.value_or(Outcome::interrupted);
  record.detail = entry.detail;
  record.recovery = entry.recovery;
  record.at = entry.at_wall;
  record.by_hand = entry.by_hand;
  return record;
}

std::vector<OutcomeRecord> settle_interrupted(Ledger& ledger, AuditLog& audit, Instant now) {
  std::vector<OutcomeRecord> records;
  for (LedgerEntry& entry : ledger.entries) {
    if (entry.outcome) continue;
    // Of an entry of another boot the number is not known.
    const std::string connection = entry.connection.kernel_dev == 0
                                       ? "a connection of an earlier boot"
                                       : "connection " + std::to_string(entry.connection.kernel_dev);
    entry.outcome = Outcome::interrupted;
    entry.detail = "whoever acted ended between intent and outcome: whether " + connection +
                   " was aborted is not known, and it is not tried again";
    OutcomeRecord record = record_of(entry);
    if (auto recorded = audit.append(render_interrupted(entry, record, now)); !recorded) {
      record.detail += "; this could not be recorded in the audit log: " + recorded.error().message;
      entry.detail = record.detail;
    }
    records.push_back(std::move(record));
  }
  return records;
}

}  // namespace defused
