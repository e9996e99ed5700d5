// SPDX-License-Identifier: Apache-2.0
#include "status_cases.h"

#include <utility>

namespace defused::test {

namespace {

constexpr Nanoseconds kNow = 1'800'000'000s;

ConnectionFinding connection(std::uint32_t id, const std::string& fstype, const std::string& source,
                             const std::string& point) {
  ConnectionFinding out;
  out.id = {id};
  out.fstype = fstype;
  out.source = source;
  out.mount_points = {point};
  out.server_state = ServerState::alive;
  out.server_evidence = Evidence::proven;
  out.outside_users = 0;
  out.outside_viewers = 0;
  return out;
}

BlockedThread flushing_thread() {
  BlockedThread thread;
  thread.pid = 4711;
  thread.id = {4713, 5000};
  thread.comm = "ndrive";
  thread.state = 'D';
  thread.exiting = true;
  thread.wait_class = WaitClass::fuse_flush;
  thread.sigkill_pending = true;
  thread.stack = {"request_wait_answer", "fuse_simple_request", "fuse_flush", "filp_flush",
                  "filp_close",          "put_files_struct",    "do_exit",    "do_group_exit",
                  "get_signal"};
  thread.connection = ConnectionId{40};
  thread.candidates = {ConnectionId{40}};
  thread.attribution = Attribution::exact;
  thread.witness = Witness::kernel_queue;
  thread.attribution_serves_acting = true;
  thread.verdict = Verdict::deadlocked;
  thread.evidence = Evidence::proven;
  thread.samples = 38;
  thread.blocked_for = 192s;
  return thread;
}

NamespaceFinding stuck_namespace() {
  NamespaceFinding finding;
  finding.id = {4026532178};
  finding.init = {4690, 4900};
  finding.init_comm = "docker-init";
  finding.wait_class = WaitClass::fuse_flush;
  finding.verdict = Verdict::deadlocked;
  finding.evidence = Evidence::proven;
  finding.since = kNow - 194s;
  finding.stuck_for = 192s;
  finding.samples = 38;
  finding.stuck = true;
  finding.members = {{4711, "ndrive"}};
  finding.member_count = 1;
  finding.container = Container{"4f5e6d7c8b9a0123456789abcdef0123456789abcdef0123456789abcdef0123", "docker",
                                "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0"};
  finding.blocked_threads = {flushing_thread()};
  finding.blocked_thread_count = 1;
  finding.connections = {ConnectionId{40}};
  return finding;
}

}  // namespace

View healthy_view() {
  PassResult pass;
  Report& report = pass.report;
  report.scanned_at = kNow - 2s;
  report.duration = 4'300us;
  report.host = "node-17";
  report.kernel.release = "6.12.107";
  report.pid_namespace_count = 42;
  report.findings.connections = {connection(44, "fuse.gcsfuse", "training-data", "/mnt/data"),
                                 connection(51, "fuse.rclone", "backup:home", "/srv/backup")};
  report.remedy.abort_budget = 3;
  View view;
  view.now.wall = kNow;
  view.pass = std::make_shared<const PassResult>(std::move(pass));
  return view;
}

View deadlocked_view() {
  return changed(healthy_view(), [](Report& report) {
    report.findings.namespaces = {stuck_namespace()};
    ConnectionFinding wedged = connection(40, "fuse.s3fs", "models", "/var/lib/docker/volumes/models/_data");
    wedged.waiting = 1;
    wedged.server_state = ServerState::dying;
    wedged.servers = {{{4711, 4950}, "ndrive", ServerState::dying, 'Z'}};
    wedged.stalled_since = kNow - 194s;
    wedged.containers = {*stuck_in(report).container};
    report.findings.connections.insert(report.findings.connections.begin(), wedged);
    Decision decision;
    decision.pid_namespace = stuck_in(report).id;
    decision.reasons = {Gate::mode};
    decision.connection = ConnectionId{40};
    report.decisions = {decision};
  });
}

View changed(View view, const std::function<void(Report&)>& change) {
  PassResult pass = *view.pass;
  change(pass.report);
  view.pass = std::make_shared<const PassResult>(std::move(pass));
  return view;
}

NamespaceFinding& stuck_in(Report& report) { return report.findings.namespaces.at(0); }

ConnectionFinding& wedged_in(Report& report) { return report.findings.connections.at(0); }

void set_server(Report& report, ServerState state, Verdict verdict, char process_state) {
  ConnectionFinding& connection = wedged_in(report);
  connection.server_state = state;
  connection.servers.clear();
  if (state == ServerState::alive || state == ServerState::dying)
    connection.servers = {{{900, 100}, "s3fs", state, process_state}};
  if (state == ServerState::unknown) connection.server_evidence = Evidence::none;
  NamespaceFinding& finding = stuck_in(report);
  finding.verdict = verdict;
  finding.blocked_threads[0].verdict = verdict;
  if (verdict != Verdict::deadlocked && !report.decisions.empty()) report.decisions[0].reasons.push_back(Gate::verdict);
}

}  // namespace defused::test
