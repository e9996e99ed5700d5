// SPDX-License-Identifier: Apache-2.0
#include "policy/gates.h"

#include <algorithm>

namespace defused {

namespace {

template <typename Predicate>
bool any_deciding(const Case& it, Predicate predicate) {
  return std::any_of(it.deciding.begin(), it.deciding.end(),
                     [&](const BlockedThread* thread) { return predicate(*thread); });
}

bool wrong_mode(const Case& it) { return it.policy.mode != Mode::enforce; }

// The oldest waiter counts: one more that got caught since (a health check, say) does not make the connection younger.
bool too_young(const Case& it) {
  if (!it.finding.stuck || it.finding.stuck_for < it.policy.min_stuck) return true;
  return !it.deciding.empty() &&
         !any_deciding(it, [&](const BlockedThread& thread) { return thread.blocked_for >= it.policy.min_stuck; });
}

bool too_few_samples(const Case& it) {
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

bool selected(const Case& it, Gate gate) {
  if (!it.id) return false;
  const auto gates = selector_gates(it.policy, it.connection == nullptr ? std::string() : it.connection->fstype);
  return std::find(gates.begin(), gates.end(), gate) != gates.end();
}

bool denied(const Case& it) { return selected(it, Gate::denied); }

bool not_allowed(const Case& it) { return selected(it, Gate::not_allowed); }

bool is_within(const Case& it, const LedgerEntry& entry, Nanoseconds window) {
  return it.now.boottime - entry.at_boottime < window;
}

// What the Ledger has forgotten cannot be counted, so its length is a limit too.
bool rate_limited(const Case& it) {
  const auto& entries = it.ledger.entries;
  const auto attempts = std::count_if(entries.begin(), entries.end(), [&](const LedgerEntry& entry) {
    return entry.outcome != Outcome::skipped_identity_changed && is_within(it, entry, it.policy.max_aborts_window);
  });
  const auto limit = std::min<std::size_t>(it.policy.max_aborts, kMaxLedgerEntries);
  return static_cast<std::size_t>(attempts) >= limit;
}

// A fusectl mounted anew has other inodes for the same connections; the namespace tells then that it is the same one.
bool is_of_case(const Case& it, const LedgerEntry& entry) {
  if (entry.connection != it.id) return false;
  return it.connection == nullptr || entry.directory_inode == it.connection->directory_inode ||
         entry.pid_namespace == it.finding.id;
}

bool cooldown(const Case& it) {
  const auto& entries = it.ledger.entries;
  return std::any_of(entries.begin(), entries.end(), [&](const LedgerEntry& entry) {
    const bool skipped = entry.outcome == Outcome::skipped_identity_changed;
    return is_of_case(it, entry) && is_within(it, entry, skipped ? it.policy.min_stuck : it.policy.cooldown);
  });
}

bool inhibited(const Case& it) { return !it.restraints.may_act; }

// An identity that was not read cannot be compared before the write.
bool has_gap(const Case& it) {
  if (it.finding.gap || it.finding.id.inode == 0 || it.finding.init.start_ticks == 0) return true;
  if (any_deciding(it, [](const BlockedThread& thread) { return thread.id.start_ticks == 0; })) return true;
  if (!it.id) return false;
  return it.connection == nullptr || it.connection->directory_inode == 0 || !it.connection->outside_users ||
         !it.connection->outside_viewers;
}

bool record_unwritable(const Case& it) { return it.restraints.record_unwritable; }

constexpr std::array<GateRule, kGateRules> kRules = {{
    {Gate::mode, "policy.mode is not enforce", "acting is off until the operator switches it on", wrong_mode},
    {Gate::too_young, "not stuck, or for less than min_stuck (the namespace; the oldest thread on the connection)",
     "a server that restarts, or a descriptor in flight, gets the time to answer", too_young},
    {Gate::too_few_samples, "fewer than min_samples equal samples of a thread that decides",
     "an age alone may come from a clock or from `sched`; it has to be seen repeatedly", too_few_samples},
    {Gate::progressing, "no thread stands still, or one that decides has run since the last sample",
     "what moves is dying by itself", progressing},
    {Gate::verdict, "verdict of the namespace or of a thread that decides is not deadlocked",
     "everything else may still end well, or is not helped by an abort", not_deadlocked},
    {Gate::connection_ambiguous, "no connection singled out, or by an attribution that does not serve acting",
     "the wrong connection would be destroyed, for all its clients", connection_ambiguous},
    {Gate::server_alive, "a live process holds /dev/fuse of the connection", "a live server may still answer",
     server_alive},
    {Gate::server_unknown, "server state unknown, without any evidence, or the connection was not found",
     "unknown is not none", server_unknown},
    {Gate::server_inferred, "require_proven, and the evidence is only inferred",
     "before Linux 6.16 the kernel does not say whose descriptor it is; the operator decides whether that is enough",
     server_inferred},
    {Gate::outside_users, "live processes outside with open files on the connection", "they would lose their files",
     outside_users},
    {Gate::outside_viewers, "mount namespaces of live processes outside that have it mounted",
     "they would be left with a dead mount", outside_viewers},
    {Gate::host_mount, "mounted in the mount namespace of the host's PID 1", "it serves the host, not one container",
     host_mount},
    {Gate::denied, "a deny pattern matches the file-system type", "shared by design, or excluded by the operator",
     denied},
    {Gate::not_allowed, "no allow pattern matches the file-system type, or the type is not known",
     "the operator says what may be touched", not_allowed},
    {Gate::rate_limited, "max_aborts in max_aborts_window, or another namespace is acted on in this pass",
     "many aborts in a row mean that something else is wrong; one action at a time", rate_limited},
    {Gate::cooldown, "an earlier action on the connection within cooldown",
     "what an abort did not solve, a second one does not either", cooldown},
    {Gate::inhibited, "an earlier prober may still act", "one actor at a time", inhibited},
    {Gate::gap, "something the decision rests on was unreadable: threads, users, viewers, an identity",
     "unreadable is unknown, never none", has_gap},
    {Gate::record_unwritable, "ledger or audit cannot be written and fsynced",
     "what cannot be accounted for is not done", record_unwritable},
}};

}  // namespace

const std::array<GateRule, kGateRules>& gate_rules() { return kRules; }

}  // namespace defused
