// SPDX-License-Identifier: Apache-2.0
#include "remedy/remedy.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <optional>

#include "remedy/audit_record.h"

namespace defused {

namespace {

// Short beside the milliseconds that a freed namespace takes to go (KERNEL.md 5), long beside two reads of /proc.
constexpr Nanoseconds kWatchStep = std::chrono::milliseconds(50);
constexpr std::size_t kMaxNamed = 5;

std::string name_of(ConnectionId id) { return "connection " + std::to_string(id.kernel_dev); }

std::string seconds_text(Nanoseconds duration) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.1f s", to_seconds(duration));
  return text.data();
}

// "4712 (s3fs, fuse_flush), 4713 (...) and 2 more": the blocked threads that wait for `id`, or all the others.
std::string name_threads(const NamespaceFinding& finding, ConnectionId id, bool waiting_for_it) {
  std::string names;
  std::size_t count = 0;
  for (const BlockedThread& thread : finding.blocked_threads) {
    if ((thread.connection == id) != waiting_for_it) continue;
    if (++count > kMaxNamed) continue;
    if (!names.empty()) names += ", ";
    names +=
        std::to_string(thread.id.tid) + " (" + thread.comm + ", " + std::string(to_string(thread.wait_class)) + ")";
  }
  if (count > kMaxNamed) names += " and " + std::to_string(count - kMaxNamed) + " more";
  return names;
}

std::string describe_objection(const World::SecondLook& now, const RemedyOrder& order) {
  const auto made = std::find_if(now.decisions.begin(), now.decisions.end(),
                                 [&](const Decision& decision) { return decision.pid_namespace == order.finding.id; });
  if (made == now.decisions.end()) return "the second reading made no decision about it";
  if (made->action == Action::abort && made->connection == order.connection.id) return {};
  if (made->action == Action::abort) return "the second reading decides for another connection";
  std::string reasons;
  for (const Gate gate : made->reasons) reasons += (reasons.empty() ? "" : ", ") + std::string(to_string(gate));
  return "the second reading decides to hold: " + reasons;
}

// One abort, from the open file on. What it returns is final; nothing is tried again.
class Attempt {
 public:
  Attempt(const RemedyOrder& order, Aborter& aborter, World& world, Clock& clock, Nanoseconds watch)
      : order_(order), aborter_(aborter), world_(world), clock_(clock), watch_(watch) {}

  OutcomeRecord run() {
    auto armed = aborter_.open(order_.connection.id, order_.connection.directory_inode);
    if (!armed) {
      const bool gone = armed.error().kind == ErrorKind::gone;
      return end(gone ? Outcome::skipped_identity_changed : Outcome::write_failed,
                 "the abort file could not be opened: " + armed.error().message);
    }
    if (std::string objection = confirm(); !objection.empty()) {
      return end(Outcome::skipped_identity_changed, std::move(objection));
    }
    if (auto written = (*armed)->write(); !written) {
      return end(Outcome::write_failed, "the abort file could not be written: " + written.error().message);
    }
    armed->reset();
    return watch();
  }

 private:
  [[nodiscard]] OutcomeRecord end(Outcome outcome, std::string detail) const {
    return OutcomeRecord{order_.finding.id, order_.connection.id, outcome, std::move(detail), Nanoseconds(0)};
  }

  // Empty where a second reading says the same as the order.
  std::string confirm() {
    const auto now = world_.look_again();
    if (!now) return "the second reading failed: " + now.error().message;
    if (auto difference = describe_difference(order_, *now); !difference.empty()) return difference;
    return describe_objection(*now, order_);
  }

  OutcomeRecord watch() {
    const Nanoseconds begin = clock_.now().boottime;
    std::optional<World::NamespaceRest> last;
    std::string trouble;
    while (true) {
      const auto rest = world_.look_at_rest(order_.finding, order_.connection.id);
      if (rest && rest->gone) return released();
      if (rest) last = *rest;
      trouble = rest ? std::string() : rest.error().message;
      const Nanoseconds passed = clock_.now().boottime - begin;
      if (passed >= watch_) break;
      clock_.sleep(std::min(kWatchStep, watch_ - passed));
    }
    return still_there(last, trouble);
  }

  [[nodiscard]] OutcomeRecord released() const {
    OutcomeRecord record = end(Outcome::released, "");
    record.recovery = std::max(clock_.now().wall - order_.finding.since, Nanoseconds(0));
    record.detail = "PID namespace " + std::to_string(order_.finding.id.inode) + " is gone after the abort of " +
                    name_of(order_.connection.id) + ", " + seconds_text(record.recovery) + " after it got stuck";
    return record;
  }

  [[nodiscard]] OutcomeRecord still_there(const std::optional<World::NamespaceRest>& last,
                                          const std::string& trouble) const {
    const ConnectionId id = order_.connection.id;
    const bool freed = last && !last->connection_wedged;
    std::string detail = name_of(id) + " was aborted, but after " + seconds_text(watch_) + " PID namespace " +
                         std::to_string(order_.finding.id.inode) + " is still there; ";
    if (freed) {
      const std::string others = name_threads(order_.finding, id, false);
      detail += "nobody waits for this connection any more";
      if (!others.empty()) detail += ", but blocked elsewhere: " + others;
    } else {
      detail += "still blocked, at least one of: " + name_threads(order_.finding, id, true);
    }
    if (!trouble.empty()) detail += "; the last look failed: " + trouble;
    return end(freed ? Outcome::partly_released : Outcome::not_released, std::move(detail));
  }

  const RemedyOrder& order_;
  Aborter& aborter_;
  World& world_;
  Clock& clock_;
  Nanoseconds watch_;
};

bool is_to_abort(const RemedyOrder& order) {
  return order.decision.action == Action::abort && order.decision.connection == order.connection.id &&
         order.decision.pid_namespace == order.finding.id;
}

// Where there is no room, an entry that stands for no attempt goes first: the others still count for the limits.
void note(Ledger& ledger, const LedgerEntry& entry) {
  auto& entries = ledger.entries;
  while (entries.size() >= kMaxLedgerEntries) {
    const auto skipped = std::find_if(entries.begin(), entries.end(), [](const LedgerEntry& old) {
      return old.outcome == Outcome::skipped_identity_changed;
    });
    entries.erase(skipped == entries.end() ? entries.begin() : skipped);
  }
  entries.push_back(entry);
}

void note_unrecorded(OutcomeRecord& record, const Error& error) {
  record.detail += "; this could not be recorded in the audit log: " + error.message;
}

}  // namespace

OutcomeRecord carry_out(const RemedyOrder& order, Aborter& aborter, AuditLog& audit, World& world, Clock& clock,
                        Ledger& ledger, Nanoseconds watch) {
  OutcomeRecord record{order.finding.id, order.connection.id, Outcome::skipped_identity_changed, "", Nanoseconds(0)};
  if (!is_to_abort(order)) {
    record.detail = "the order is not one to abort " + name_of(order.connection.id) + " in this namespace";
    return record;
  }
  const Instant begin = clock.now();
  const LedgerEntry intent{order.connection.id, order.connection.directory_inode,
                           order.finding.id,    begin.boottime,
                           begin.wall,          std::nullopt};
  if (auto recorded = audit.append(render_intent(order, intent)); !recorded) {
    record.outcome = Outcome::write_failed;
    record.detail =
        "nothing was attempted: the intent could not be recorded in the audit log: " + recorded.error().message;
    return record;
  }
  note(ledger, intent);
  world.publish(ledger);
  record = Attempt(order, aborter, world, clock, watch).run();
  ledger.entries.back().outcome = record.outcome;
  if (auto recorded = audit.append(render_outcome(intent, record, clock.now())); !recorded) {
    note_unrecorded(record, recorded.error());
  }
  world.publish(ledger);
  return record;
}

std::vector<OutcomeRecord> settle_interrupted(Ledger& ledger, AuditLog& audit, Instant now) {
  std::vector<OutcomeRecord> records;
  for (LedgerEntry& entry : ledger.entries) {
    if (entry.outcome) continue;
    entry.outcome = Outcome::interrupted;
    OutcomeRecord record{entry.pid_namespace, entry.connection, Outcome::interrupted, "", Nanoseconds(0)};
    record.detail = "a prober ended between intent and outcome: whether " + name_of(entry.connection) +
                    " was aborted is not known, and it is not tried again";
    if (auto recorded = audit.append(render_interrupted(entry, record, now)); !recorded) {
      note_unrecorded(record, recorded.error());
    }
    records.push_back(std::move(record));
  }
  return records;
}

}  // namespace defused
