// SPDX-License-Identifier: Apache-2.0
#include "audit_samples.h"

#include "../policy/cases.h"
#include "remedy/audit_record.h"

using namespace std::chrono_literals;

namespace defused {

namespace {

BlockedThread make_full_thread() {
  BlockedThread thread = make_waiting_thread(1040, 40);
  thread.state = 'D';
  thread.has_memory = true;
  thread.exiting = true;
  thread.wchan = "request_wait_answer";
  thread.witness = Witness::mounts;
  thread.mounts = {{77, {40}, "fuse.ndrive", "https://key:secret@host/bucket?token=x", "/data"}};
  thread.awaited = NamedProcess{4690, "shim"};
  thread.gaps = {{{"fdinfo", ErrorKind::denied}, 2}};
  return thread;
}

}  // namespace

RemedyOrder make_full_order() {
  Asked asked = make_clear_case();
  NamespaceFinding& finding = asked.finding();
  finding.since = 1'795'522'410s;
  finding.container = Container{"0123abcd", "docker", "11111111-2222-3333-4444-555555555555"};
  finding.cgroup = "/system.slice/docker-0123abcd.scope";
  finding.members = {{100, "docker-init"}, {1040, "ndrive"}};
  finding.member_count = 17;
  finding.waits_for = {{4'026'532'099U}};
  finding.gaps = {{{"ns/pid", ErrorKind::timeout}, 1}};
  finding.blocked_threads = {make_full_thread()};
  finding.blocked_thread_count = 1;
  ConnectionFinding& connection = asked.connection();
  connection.source = "https://key:secret@host/bucket?token=x";
  connection.servers = {{{7, 8}, "ndrive", ServerState::dying, 'D'}};
  connection.server_state = ServerState::dying;
  connection.users = {{900, "python"}};
  connection.viewers = {{1, "systemd"}};
  connection.containers = {{"0123abcd", "docker", ""}};
  connection.waiting_since = 1'795'522'400s;
  connection.stalled_since = 1'795'522'415s;
  const Decision decision{finding.id, Action::abort, {}, connection.id, 3};
  return {finding, connection, decision, ByHand{0, "the node must go down now"}};
}

RemedyOrder make_bare_order() {
  Asked asked = make_clear_case();
  BlockedThread& thread = asked.thread();
  thread.connection.reset();
  thread.candidates.clear();
  asked.finding().container.reset();
  asked.connection().outside_users.reset();
  asked.connection().outside_viewers.reset();
  const Decision decision{asked.finding().id, Action::hold, {Gate::mode, Gate::connection_ambiguous}, std::nullopt};
  return {asked.finding(), asked.connection(), decision, std::nullopt};
}

LedgerEntry make_entry(const RemedyOrder& order) {
  return {order.connection.id, order.connection.directory_inode, order.finding.id, 1h, 1'795'522'500s, std::nullopt};
}

std::vector<std::string> make_audit_samples() {
  std::vector<std::string> records;
  const Instant now{2h, 1'795'522'501'500ms};
  for (const RemedyOrder& order : {make_full_order(), make_bare_order()}) {
    const LedgerEntry entry = make_entry(order);
    records.push_back(render_decision(order.finding, {&order.connection}, order.decision, Mode::dry_run, now));
    records.push_back(render_decision(order.finding, {}, order.decision, Mode::observe, now));
    records.push_back(render_intent(order, entry));
    for (const Outcome outcome : AllWords<Outcome>::values) {
      const OutcomeRecord record{order.finding.id, order.connection.id, outcome, "so it was", 91'500ms};
      records.push_back(render_outcome(entry, record, now));
    }
    const OutcomeRecord lost{order.finding.id, order.connection.id, Outcome::interrupted, "a prober ended"};
    records.push_back(render_interrupted(entry, lost, now));
  }
  for (const BreakerCause cause : AllWords<BreakerCause>::values) {
    records.push_back(render_breaker({cause, now.wall, 2, "two in a row"}, std::nullopt, now));
  }
  records.push_back(render_breaker({}, 1000, now));
  records.push_back(render_inhibit(true, "kernel upgrade", 1000, now));
  records.push_back(render_inhibit(false, "", 0, now));
  records.push_back(render_ledger_lost("ledger.json.corrupt-2026-11-24T12:15:00.000Z", "the checksum is wrong", now));
  return records;
}

}  // namespace defused
