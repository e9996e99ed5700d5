// SPDX-License-Identifier: Apache-2.0
#include "policy/gates.h"

#include <algorithm>

#include "model/sentences.h"
#include "policy/selectors.h"

namespace defused {

namespace {

template <typename Predicate>
bool any_deciding(const Case& it, Predicate predicate) {
  return std::any_of(it.deciding.begin(), it.deciding.end(),
                     [&](const BlockedThread* thread) { return predicate(*thread); });
}

// By hand, the person who typed it is the mode.
bool wrong_mode(const Case& it) { return it.policy.mode != Mode::enforce && !it.restraints.by_hand; }

// The oldest waiter counts: one more that got caught since (a health check, say) does not make the connection younger.
bool too_young(const Case& it) {
  if (it.restraints.override_age) return false;
  if (!it.finding.stuck || it.finding.stuck_for < it.policy.min_stuck) return true;
  // The grace for a descriptor in flight counts from when its holder was gone, however long the thread has waited.
  if (it.connection != nullptr && it.connection->server_gone_for.value_or(it.policy.min_stuck) < it.policy.min_stuck) {
    return true;
  }
  return !it.deciding.empty() &&
         !any_deciding(it, [&](const BlockedThread& thread) { return thread.blocked_for >= it.policy.min_stuck; });
}

bool too_few_samples(const Case& it) {
  if (it.restraints.override_age) return false;
  return it.finding.samples < it.policy.min_samples ||
         any_deciding(it, [&](const BlockedThread& thread) { return thread.samples < it.policy.min_samples; });
}

bool progressing(const Case& it) {
  return it.finding.blocked_threads.empty() ||
         any_deciding(it, [](const BlockedThread& thread) { return thread.samples <= 1; });
}

bool not_deadlocked(const Case& it) {
  return it.finding.verdict != Verdict::deadlocked ||
         any_deciding(it, [](const BlockedThread& thread) { return thread.verdict != Verdict::deadlocked; });
}

bool connection_ambiguous(const Case& it) {
  return !it.id || it.deciding.empty() || any_deciding(it, [](const BlockedThread& thread) {
    return thread.attribution == Attribution::unknown || thread.attribution == Attribution::ambiguous ||
           !thread.attribution_serves_acting;
  });
}

bool has_server(const Case& it, ServerState state) {
  if (it.connection == nullptr) return false;
  const auto& servers = it.connection->servers;
  return it.connection->server_state == state ||
         std::any_of(servers.begin(), servers.end(), [&](const Server& server) { return server.state == state; });
}

// Whether `evidence` is all that the statement "nobody alive can answer" stands on: of the connection or of a thread.
bool rests_on(const Case& it, Evidence evidence) {
  const bool told = has_server(it, ServerState::none) || has_server(it, ServerState::dying);
  return (told && it.connection->server_evidence == evidence) || any_deciding(it, [&](const BlockedThread& thread) {
           return thread.verdict == Verdict::deadlocked && thread.evidence == evidence;
         });
}

bool server_alive(const Case& it) { return has_server(it, ServerState::alive); }

bool server_unknown(const Case& it) {
  if (!it.id) return false;
  return it.connection == nullptr || has_server(it, ServerState::unknown) || rests_on(it, Evidence::none);
}

bool server_inferred(const Case& it) { return it.policy.require_proven && rests_on(it, Evidence::inferred); }

bool outside_users(const Case& it) { return it.connection != nullptr && it.connection->outside_users.value_or(0) > 0; }

bool outside_viewers(const Case& it) {
  return it.connection != nullptr && it.connection->outside_viewers.value_or(0) > 0;
}

bool host_mount(const Case& it) { return it.connection != nullptr && it.connection->host_mount; }

bool denied(const Case& it) { return is_denied(it.policy.deny, it.finding, it.connection); }

// By hand: what waits for another connection was not asked for.
bool not_allowed(const Case& it) {
  if (it.restraints.by_hand && it.id != it.restraints.by_hand) return true;
  if (!it.id) return false;
  return it.connection == nullptr || !is_allowed(it.policy.allow, it.policy.deny, it.finding, *it.connection);
}

bool is_within(const LedgerEntry& entry, Nanoseconds window, Instant now) {
  return now.boottime - entry.at_boottime < window;
}

bool counts(const LedgerEntry& entry) { return !entry.outcome || may_have_written(*entry.outcome); }

bool rate_limited(const Case& it) { return remaining_budget(it.policy, it.ledger, it.now) == 0; }

// A fusectl mounted anew has other inodes for the same connections; the namespace tells then that it is the same one.
// Entries of an earlier boot have no connection: the kernel gives out no device number 0.
bool is_of_case(const Case& it, const LedgerEntry& entry) {
  if (entry.connection == ConnectionId{} || entry.connection != it.id) return false;
  return it.connection == nullptr || entry.directory_inode == it.connection->directory_inode ||
         entry.pid_namespace == it.finding.id;
}

template <typename Predicate>
bool any_entry(const Case& it, Nanoseconds window, Predicate predicate) {
  const auto& entries = it.ledger.entries;
  return std::any_of(entries.begin(), entries.end(), [&](const LedgerEntry& entry) {
    return is_of_case(it, entry) && is_within(entry, window, it.now) && predicate(entry);
  });
}

// What was forgotten may have been this one.
bool cooldown(const Case& it) {
  return any_entry(it, it.policy.cooldown, counts) || may_have_forgotten(it.ledger, it.policy.cooldown, it.now);
}

// The situation moved, or a hook said no: its age begins anew. Without a pause it would be tried in each pass.
bool vetoed(const Case& it) {
  return any_entry(it, it.policy.min_stuck, [](const LedgerEntry& entry) { return entry.outcome == Outcome::vetoed; });
}

bool identity_changed(const Case& it) {
  return any_entry(it, it.policy.min_stuck,
                   [](const LedgerEntry& entry) { return entry.outcome == Outcome::skipped_identity_changed; });
}

bool inhibited(const Case& it) { return it.restraints.inhibited; }

bool breaker_open(const Case& it) { return it.ledger.breaker.is_open(); }

bool readers_disagree(const Case& it) { return it.connection != nullptr && it.connection->readers_disagree; }

// An identity that was not read cannot be compared before the write.
bool has_gap(const Case& it) {
  if (it.finding.gap || it.finding.id.inode == 0 || it.finding.init.start_ticks == 0) return true;
  if (any_deciding(it, [](const BlockedThread& thread) { return thread.id.start_ticks == 0; })) return true;
  if (!it.id) return false;
  return it.id == ConnectionId{} || it.connection == nullptr || it.connection->directory_inode == 0 ||
         !it.connection->outside_users || !it.connection->outside_viewers;
}

bool record_unwritable(const Case& it) { return it.restraints.record_unwritable; }

struct Question {
  Gate gate;
  bool (*holds)(const Case&);
};

constexpr std::array<Question, kGateRules> kQuestions = {{
    {Gate::mode, wrong_mode},
    {Gate::too_young, too_young},
    {Gate::too_few_samples, too_few_samples},
    {Gate::progressing, progressing},
    {Gate::verdict, not_deadlocked},
    {Gate::connection_ambiguous, connection_ambiguous},
    {Gate::server_alive, server_alive},
    {Gate::server_unknown, server_unknown},
    {Gate::server_inferred, server_inferred},
    {Gate::outside_users, outside_users},
    {Gate::outside_viewers, outside_viewers},
    {Gate::host_mount, host_mount},
    {Gate::denied, denied},
    {Gate::not_allowed, not_allowed},
    {Gate::rate_limited, rate_limited},
    {Gate::cooldown, cooldown},
    {Gate::breaker_open, breaker_open},
    {Gate::inhibited, inhibited},
    {Gate::gap, has_gap},
    {Gate::readers_disagree, readers_disagree},
    {Gate::record_unwritable, record_unwritable},
    {Gate::vetoed, vetoed},
    {Gate::identity_changed, identity_changed},
}};

// The question of a gate beside its words.
constexpr std::array<GateRule, kGateRules> kRules = [] {
  std::array<GateRule, kGateRules> rules{};
  for (std::size_t i = 0; i < kGateRules; ++i) {
    const GateWords& words = kGateWords[i];
    rules[i] = {words.gate, words.looks_at, words.why, words.knob, kQuestions[i].holds};
  }
  return rules;
}();

static_assert(
    [] {
      for (std::size_t i = 0; i < kGateRules; ++i) {
        if (kQuestions[i].gate != kGateWords[i].gate) return false;
      }
      return true;
    }(),
    "one question for each gate, in the order of the enum");

}  // namespace

std::size_t count_attempts(const Ledger& ledger, Nanoseconds window, Instant now) {
  const auto& entries = ledger.entries;
  return static_cast<std::size_t>(std::count_if(entries.begin(), entries.end(), [&](const LedgerEntry& entry) {
    return counts(entry) && is_within(entry, window, now);
  }));
}

bool may_have_forgotten(const Ledger& ledger, Nanoseconds window, Instant now) {
  const auto& entries = ledger.entries;
  return entries.size() >= kMaxLedgerEntries &&
         std::all_of(entries.begin(), entries.end(), [&](const auto& entry) { return is_within(entry, window, now); });
}

const std::array<GateRule, kGateRules>& gate_rules() { return kRules; }

}  // namespace defused
