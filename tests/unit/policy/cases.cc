// SPDX-License-Identifier: Apache-2.0
#include "cases.h"

namespace defused {

Container make_container() { return Container{kContainerId, "containerd", kPodUid}; }

LedgerEntry make_entry(const Asked& asked, std::uint32_t connection, Nanoseconds ago, std::optional<Outcome> outcome) {
  LedgerEntry entry;
  entry.connection = ConnectionId{connection};
  entry.directory_inode = 9000 + connection;
  entry.pid_namespace = NamespaceId{4'026'532'000U + connection};
  entry.at_boottime = asked.now.boottime - ago;
  entry.at_wall = asked.now.wall - ago;
  entry.outcome = outcome;
  return entry;
}

BlockedThread make_waiting_thread(pid_t tid, std::uint32_t connection) {
  BlockedThread thread;
  thread.pid = tid;
  thread.id = ThreadId{tid, 5000};
  thread.comm = "ndrive";
  thread.wait_class = WaitClass::fuse_flush;
  thread.sigkill_pending = true;
  thread.stack = {"request_wait_answer", "fuse_flush", "do_exit"};
  thread.connection = ConnectionId{connection};
  thread.candidates = {ConnectionId{connection}};
  thread.attribution = Attribution::only_candidate;
  thread.attribution_serves_acting = true;
  thread.verdict = Verdict::deadlocked;
  thread.evidence = Evidence::proven;
  thread.context_switches = 17;
  thread.samples = 20;
  thread.blocked_for = std::chrono::seconds(90);
  return thread;
}

NamespaceFinding make_stuck_namespace(std::uint32_t number) {
  NamespaceFinding finding;
  finding.id = NamespaceId{4'026'532'000U + number};
  finding.init = ProcessId{100, 4000};
  finding.init_comm = "docker-init";
  finding.wait_class = WaitClass::fuse_flush;
  finding.verdict = Verdict::deadlocked;
  finding.evidence = Evidence::proven;
  finding.stuck_for = std::chrono::seconds(90);
  finding.samples = 20;
  finding.stuck = true;
  finding.blocked_threads = {make_waiting_thread(static_cast<pid_t>(1000 + number), number)};
  finding.connections = {ConnectionId{number}};
  finding.container = make_container();
  finding.cgroup = "/kubepods.slice/" + std::string(kContainerId);
  return finding;
}

ConnectionFinding make_dead_connection(std::uint32_t number) {
  ConnectionFinding connection;
  connection.id = ConnectionId{number};
  connection.directory_inode = 9000 + number;
  connection.fstype = "fuse.ndrive";
  connection.source = "ndrive:team";
  connection.mount_points = {"/data"};
  connection.mount_ids = {77};
  connection.waiting = 1;
  connection.server_state = ServerState::none;
  connection.server_evidence = Evidence::proven;
  connection.outside_users = 0;
  connection.outside_viewers = 0;
  connection.containers = {make_container()};
  return connection;
}

Asked make_clear_case() {
  Asked asked;
  asked.policy.mode = Mode::enforce;
  asked.findings.namespaces = {make_stuck_namespace(40)};
  asked.findings.connections = {make_dead_connection(40)};
  return asked;
}

}  // namespace defused
