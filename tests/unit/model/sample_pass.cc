// SPDX-License-Identifier: Apache-2.0
#include "sample_pass.h"

namespace defused {

namespace {

BlockedThread make_thread(pid_t tid) {
  BlockedThread thread;
  thread.pid = 4711;
  thread.id = ThreadId{tid, 18446744073709551615ULL};
  thread.comm = "s3fs \\xff<script>";
  thread.state = 'D';
  thread.has_memory = true;
  thread.exiting = true;
  thread.wchan = "request_wait_answer";
  thread.mounts = {FuseMount{77, ConnectionId{40}, "fuse.s3fs", "https://key:secret@host/bucket?token=x", "/data"}};
  thread.witness = Witness::mounts;
  thread.awaited = NamedProcess{4690, "shim"};
  thread.gaps = {{{"fdinfo", ErrorKind::denied}, 2}};
  thread.wait_class = WaitClass::fuse_flush;
  thread.sigkill_pending = true;
  thread.stack = {"request_wait_answer", "fuse_flush", "do_exit"};
  thread.connection = ConnectionId{40};
  thread.candidates = {ConnectionId{40}, ConnectionId{7340032}};
  thread.attribution = Attribution::only_candidate;
  thread.attribution_serves_acting = true;
  thread.verdict = Verdict::deadlocked;
  thread.evidence = Evidence::proven;
  thread.context_switches = 12;
  thread.samples = 4;
  thread.blocked_for = std::chrono::milliseconds(61500);
  return thread;
}

ConnectionFinding make_connection() {
  ConnectionFinding connection;
  connection.id = ConnectionId{40};
  connection.directory_inode = 1234;
  connection.fstype = "fuse.s3fs";
  connection.source = "https://key:secret@host/bucket?token=x";
  connection.mount_points = {"/data", "/mnt/\"quoted\""};
  connection.mount_ids = {77, 78};
  connection.waiting = 2;
  connection.max_background = 12;
  connection.congestion_threshold = 9;
  connection.server_state = ServerState::dying;
  connection.server_evidence = Evidence::proven;
  connection.servers = {Server{ProcessId{4711, 100}, "s3fs", ServerState::dying, 'D'}};
  connection.outside_users = 3;
  connection.outside_viewers = 1;
  connection.users = {{900, "python"}};
  connection.viewers = {{1, "systemd"}};
  connection.containers = {Container{"0123abcd", "docker", ""}};
  connection.host_mount = true;
  connection.readers_disagree = true;
  connection.orphaned = true;
  connection.waiting_since = std::chrono::seconds(1782907000);
  return connection;
}

Findings make_findings() {
  NamespaceFinding finding;
  finding.id = NamespaceId{4026532178};
  finding.init = ProcessId{4700, 99};
  finding.init_comm = "docker-init";
  finding.state = DyingState::init_blocked;
  finding.wait_class = WaitClass::fuse_flush;
  finding.verdict = Verdict::deadlocked;
  finding.evidence = Evidence::inferred;
  finding.since = std::chrono::milliseconds(1782907199250);
  finding.stuck_for = std::chrono::milliseconds(61100);
  finding.samples = 5;
  finding.stuck = true;
  finding.gap = true;
  finding.gaps = {{{"fdinfo", ErrorKind::denied}, 4}};
  finding.members = {{4700, "docker-init"}, {4711, "s3fs"}};
  finding.member_count = 17;
  finding.blocked_thread_count = 2;
  finding.cgroup = "/system.slice/docker-0123abcd.scope";
  finding.container = Container{"0123abcd", "docker", "11111111-2222-3333-4444-555555555555"};
  finding.blocked_threads = {make_thread(4712), make_thread(4713)};
  finding.connections = {ConnectionId{40}};

  Findings findings;
  findings.namespaces = {finding};
  findings.stuck_exits = {StuckExit{make_thread(5000), std::chrono::seconds(1782907100), Container{"4567", "lxc", ""}}};
  findings.connections = {make_connection()};
  ProcessFinding asked;
  asked.id = ProcessId{800, 7};
  asked.ppid = 1;
  asked.comm = "cat";
  asked.state = 'S';
  asked.has_memory = true;
  asked.told_to_die = true;
  asked.pid_namespace = NamespaceId{4026531836};
  asked.container = Container{"89ab", "podman", ""};
  asked.threads = {make_thread(800)};
  asked.thread_count = 3;
  asked.threads_complete = false;
  asked.gaps = {{{"ns/pid", ErrorKind::timeout}, 1}};
  findings.asked = {asked};
  return findings;
}

LogMemory make_log() {
  ToldMemory told;
  told.name = "PID namespace 4026532178";
  told.facts = LogFacts{NamespaceId{4026532178},
                        4700,
                        4711,
                        4713,
                        "docker-init",
                        "0123abcd",
                        {ConnectionId{40}},
                        "fuse.s3fs",
                        Verdict::not_fuse,
                        WaitClass::nfs,
                        Action::hold,
                        {Gate::mode},
                        ServerState::alive};
  told.trouble = told.orphaned = true;
  told.counted = "hold: mode";
  told.lines = 2;
  told.last_line = Nanoseconds(10);
  told.unsaid = 3;
  return LogMemory{{{"pid_namespace 4026532178", told}}, Nanoseconds(11), 4, {{"stuck", 5}}};
}

Memory make_memory() {
  Memory memory;
  memory.history.threads[ThreadId{4712, 100}] = ThreadMemory{12, Nanoseconds(-5), 3};
  memory.history.threads[ThreadId{4713, 100}] = ThreadMemory{13, Nanoseconds(6), 4};
  memory.history.namespaces[NamespaceId{4026532178}] = NamespaceMemory{Nanoseconds(INT64_MAX)};
  memory.history.connections[ConnectionId{40}] = ConnectionMemory{1234, 2, Nanoseconds(8)};
  memory.history.containers[4700] = ContainerMemory{4690, "/system.slice/docker-0123abcd.scope"};
  memory.history.open_files[ProcessId{4711, 99}] =
      OpenFilesMemory{{OpenConnection{ConnectionId{40}, 1234}}, Nanoseconds(9)};
  memory.log = make_log();
  Counters& counters = memory.counters;
  counters.scans = 17;
  counters.scan_failures = {{"read", 1}, {"detect", 2}};
  counters.read_gaps = {{{"stack", "denied"}, 5}};
  counters.decisions = {{Action::hold, 7}, {Action::abort, 1}};
  counters.aborts = {{Outcome::released, 1}, {Outcome::interrupted, 2}};
  counters.scan_duration = Histogram{{0.01, 0.1, 1}, {1, 2, 3, 4}, 1.25};
  counters.recovery_duration = Histogram{{60}, {1, 0}, 61.1};
  return memory;
}

}  // namespace

PassResult make_sample_pass() {
  PassResult pass;
  Report& report = pass.report;
  report.scanned_at = std::chrono::milliseconds(1782907260350);
  report.duration = std::chrono::microseconds(12500);
  report.host = "node-1";
  report.provisional = true;
  report.mode = Mode::dry_run;
  report.kernel = KernelFacts{"6.18.44", FlushWaits::yes, true, 30, 20, true};
  report.blind = {"stack"};
  report.gaps = {{{"status", ErrorKind::timeout}, 1}, {{"task/mountinfo", ErrorKind::io}, 2}};
  report.gap_processes = {{{"status", ErrorKind::timeout}, {{4711, "python"}}}};
  report.pid_namespace_count = 9;
  report.findings = make_findings();
  report.decisions = {
      Decision{NamespaceId{4026532178}, Action::hold, {Gate::mode, Gate::identity_changed}, ConnectionId{40}}};
  report.actions = {OutcomeRecord{NamespaceId{4026532178}, ConnectionId{40}, Outcome::vetoed, "the hook said no",
                                  Nanoseconds(0), Nanoseconds(13), true}};
  report.remedy = RemedyState{true,
                              BreakerCause::failed_outcomes,
                              Nanoseconds(11),
                              "abort of connection 40: not_released",
                              2,
                              true,
                              Nanoseconds(12),
                              "kernel upgrade",
                              1,
                              "no space"};
  report.outcomes = {OutcomeRecord{NamespaceId{4026532178}, ConnectionId{40}, Outcome::partly_released,
                                   "one thread is left", std::chrono::milliseconds(1500)}};
  pass.memory = make_memory();
  SubjectReading reading;
  reading.subject = Subject{SubjectKind::connection, "40", 40};
  reading.name = "connection 40";
  reading.kernel_thread = true;
  reading.pid_namespaces = {NamespaceId{4026532178}};
  reading.stuck_exits = {ThreadId{5000, 1}};
  reading.connections = {ConnectionId{40}};
  reading.processes = {800};
  pass.subject = SubjectFinding{Subject{SubjectKind::any, "40", 40}, {reading}, 2};
  return pass;
}

Settings make_sample_settings() {
  Settings settings;
  settings.interval = std::chrono::seconds(1);
  settings.pass_deadline = std::chrono::seconds(2);
  settings.max_lost_probers = 3;
  settings.detect.stuck_after = std::chrono::seconds(4);
  PolicySettings& policy = settings.policy;
  policy.mode = Mode::enforce;
  policy.min_stuck = std::chrono::seconds(5);
  policy.min_samples = 6;
  policy.require_proven = false;
  policy.require_host_pid_namespace = false;
  policy.allow = Selectors{{"fuse.lab"}, {"s3:*"}, {"/mnt/*"}, {"0123*"}, {"8a1b*"}, {"/kubepods*"}};
  policy.deny = Selectors{{}, {"x"}, {"/"}, {"abcd"}, {"p"}, {"/system.slice/*"}};
  policy.cooldown = std::chrono::seconds(7);
  policy.max_aborts = 8;
  policy.max_aborts_window = std::chrono::hours(2);
  policy.breaker_failures = 4;
  settings.remedy =
      RemedySettings{std::chrono::seconds(9), {"/before", "a"}, {"/after"}, std::chrono::seconds(10), 11, 12};
  settings.audit = AuditSettings{13, 14};
  settings.web = WebSettings{{":1", "[::1]:2"}, "/m", "/w"};
  settings.textfile.directory = "/t";
  settings.log = LogSettings{LogFormat::json, LogLevel::error};
  settings.expose_source = ExposeSource::full;
  settings.state_directory = "/s";
  settings.runtime_directory = "/r";
  settings.front_user = "nobody";
  return settings;
}

}  // namespace defused
