// SPDX-License-Identifier: Apache-2.0
#include "daemon/explain_text.h"

#include <algorithm>
#include <catch2/catch.hpp>

#include "daemon/text_page.h"

using namespace defused;

namespace {

BlockedThread blocked() {
  BlockedThread out;
  out.pid = 4711;
  out.id = {4713, 100};
  out.comm = "s3fs";
  out.state = 'D';
  out.exiting = true;
  out.sigkill_pending = true;
  out.wait_class = WaitClass::fuse_flush;
  out.stack = {"request_wait_answer", "fuse_flush", "filp_close", "put_files_struct", "do_exit", "do_group_exit"};
  out.connection = ConnectionId{40};
  out.candidates = {{40}};
  out.mounts = {FuseMount{66, {40}, "fuse.s3fs", "bucket", "/data"}};
  out.attribution = Attribution::exact;
  out.witness = Witness::kernel_queue;
  out.attribution_serves_acting = true;
  out.verdict = Verdict::deadlocked;
  out.evidence = Evidence::proven;
  out.context_switches = 12;
  out.samples = 3;
  out.blocked_for = 192s;
  return out;
}

ConnectionFinding connection() {
  ConnectionFinding out;
  out.id = {40};
  out.directory_inode = 17;
  out.fstype = "fuse.s3fs";
  out.source = "bucket";
  out.mount_points = {"/data"};
  out.waiting = 1;
  out.server_state = ServerState::none;
  out.server_evidence = Evidence::proven;
  out.outside_users = 0;
  out.outside_viewers = 0;
  out.stalled_since = 808s;
  return out;
}

// The incident, asked about as namespace.
PassResult incident() {
  PassResult pass;
  pass.report.host = "h";
  pass.report.scanned_at = 1000s;
  pass.report.remedy.abort_budget = 3;
  NamespaceFinding finding;
  finding.id = {4026532178};
  finding.init = {4700, 99};
  finding.init_comm = "docker-init";
  finding.verdict = Verdict::deadlocked;
  finding.evidence = Evidence::proven;
  finding.stuck = true;
  finding.stuck_for = 192s;
  finding.container = Container{"0123abcd", "docker", ""};
  finding.blocked_threads = {blocked()};
  finding.connections = {{40}};
  finding.members = {{4700, "docker-init"}, {4711, "s3fs"}};
  finding.member_count = 14;
  pass.report.findings.namespaces = {finding};
  pass.report.findings.connections = {connection()};
  pass.report.decisions = {Decision{finding.id, Action::hold, {Gate::mode}, ConnectionId{40}}};
  SubjectReading reading;
  reading.subject = Subject{SubjectKind::pid_namespace, "4026532178", 4026532178};
  reading.pid_namespaces = {finding.id};
  reading.connections = {{40}};
  pass.subject = SubjectFinding{reading.subject, {reading}, 1};
  return pass;
}

std::string explain(const PassResult& pass, Mode configured = Mode::observe, std::vector<GateInWords> gates = {}) {
  return render_explanation(ExplainInput{pass, configured, std::move(gates), ExposeSource::redacted});
}

// Wherever lines are wrapped.
std::string unwrapped(const std::string& text) {
  std::string out;
  for (const char letter : text) {
    const char next = letter == '\n' ? ' ' : letter;
    if (next != ' ' || out.empty() || out.back() != ' ') out += next;
  }
  return out;
}

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos || unwrapped(text).find(part) != std::string::npos;
}

constexpr const char* kAbort = "/sys/fs/fuse/connections/40/abort";
constexpr const char* kCommand = "# defused abort 40";

bool names_abort(const std::string& text) { return has(text, kAbort) || has(text, kCommand); }

}  // namespace

TEST_CASE("the incident, from its verdict to the command") {
  const std::string text = explain(incident());
  CHECK(text == R"(PID namespace 4026532178 (docker 0123abcd) cannot die: it has made no progress for 3m12s
    It is a deadlock in FUSE: what was told to die waits for an answer that nobody alive can give.
    It will not end by itself, and no signal ends it. Verdict: deadlocked (proven).

  What it rests on
    Its init is dead but for one thing: it waits until every process in it is dead too.
        /proc/4700/task/*/stack: 'docker-init', PID 1 of the namespace, sits in zap_pid_ns_processes
    In it, or below it: 4700 (docker-init), 4711 (s3fs) and 12 more.
    Thread 4713 (s3fs) of process 4711 was told to die and cannot.
        /proc/4711/task/4713/status: State: D (disk sleep: no signal wakes it); SIGKILL is pending (SigPnd or ShdPnd); no Vm* lines: its memory is given up
        /proc/4711/task/4713/stat: flags (field 9) have PF_EXITING: it is on its way out
        /proc/4711/task/4713/stack: request_wait_answer <- fuse_flush <- filp_close <- put_files_struct <- do_exit
        /proc/4711/task/4713/status: context switches: 12 in each of 3 samples; it has not run for 3m12s
    It closes a file on FUSE and waits until the server has answered that (FLUSH).
    The kernel itself (BPF) says that it stands in the queue of connection 40.
        /proc/4711/task/4713/mountinfo: 66 .. 0:40 .. /data .. - fuse.s3fs bucket

  Connection 40
        /sys/fs/fuse/connections/40/waiting: 1 (the oldest of them does not move)
    It is device 0:40, a fuse.s3fs of 'bucket', mounted at /data.
    Nobody holds /dev/fuse of this connection any more: no server, no answer.
    Who else would lose it: no live process outside has a file open on it; no live process outside
    sees it mounted.

  What is not known
    Nothing that this rests on.

  What the policy says
    The configured mode is `observe`: defused only looks (gate `mode`).
    Only the mode holds it back: in `enforce` the connection would be aborted.
    The circuit breaker is closed. Actions are not paused. Aborts left in the window
    (`abort_budget_remaining`): 3.
    The records have room as far as a look can tell (`record_unwritable`); that is tried before
    acting.

  What you can do
    Look again first. It may have ended meanwhile, and its number may be that of another connection
    by then:
        # defused explain namespace:4026532178
        # cat /sys/fs/fuse/connections/40/waiting
    If nothing has changed, abort connection 40. That destroys it: every request in it fails, for
    all its clients; what they had not yet written is lost; the fuse.s3fs file system has to be
    mounted again by whoever mounted it.
        # defused abort 40
    It looks again, asks the gates of the daemon, and records what it does.
)");
}

TEST_CASE("where a gate holds that the command would ask too, the file is named") {
  PassResult pass = incident();
  pass.report.decisions[0].reasons = {Gate::mode, Gate::too_young, Gate::too_few_samples};
  CHECK(has(explain(pass), kCommand));
  pass.report.decisions[0].reasons = {Gate::mode, Gate::outside_viewers};
  const std::string text = explain(pass);
  CHECK(has(text, kAbort));
  CHECK_FALSE(has(text, kCommand));
}

TEST_CASE("what a person has said is not led past") {
  PassResult pass = incident();
  pass.report.decisions[0].reasons = {Gate::mode, Gate::host_mount, Gate::inhibited};
  const std::string paused = explain(pass);
  CHECK_FALSE(has(paused, kAbort));
  CHECK_FALSE(has(paused, kCommand));
  CHECK(has(paused, "# defused resume"));
  pass.report.decisions[0].reasons = {Gate::denied, Gate::inhibited};
  const std::string denied = explain(pass);
  CHECK_FALSE(has(denied, kAbort));
  CHECK_FALSE(has(denied, kCommand));
  CHECK(has(denied, "(gate `denied`)"));
}

TEST_CASE("a live server, users outside and an unknown server name no abort") {
  PassResult pass = incident();
  NamespaceFinding& finding = pass.report.findings.namespaces[0];
  ConnectionFinding& wedged = pass.report.findings.connections[0];
  SECTION("users outside") {
    wedged.outside_users = 20;
    wedged.users = {{900, "python"}, {901, "sh"}};
    const std::string text = explain(pass);
    CHECK_FALSE(names_abort(text));
    CHECK(has(text, "900 (python), 901 (sh) and 18 more"));
  }
  SECTION("a stopped server") {
    finding.verdict = finding.blocked_threads[0].verdict = Verdict::waiting_on_live_server;
    wedged.server_state = ServerState::alive;
    wedged.servers = {Server{{800, 1}, "s3fs", ServerState::alive, 'T'}};
    const std::string text = explain(pass);
    CHECK_FALSE(names_abort(text));
    CHECK(has(text, "# kill -CONT 800\n"));
  }
  SECTION("a server that hangs itself") {
    finding.verdict = finding.blocked_threads[0].verdict = Verdict::waiting_on_live_server;
    wedged.server_state = ServerState::alive;
    wedged.servers = {Server{{800, 1}, "s3fs", ServerState::alive, 'S'}};
    ProcessFinding server;
    server.id = {800, 1};
    BlockedThread thread = blocked();
    thread.pid = 800;
    thread.id = {800, 1};
    thread.stack = {"tcp_recvmsg", "sock_recvmsg"};
    server.threads = {thread};
    server.thread_count = 1;
    pass.report.findings.asked = {server};
    const std::string text = explain(pass);
    CHECK_FALSE(names_abort(text));
    CHECK(has(text, "/proc/800/stack: tcp_recvmsg <- sock_recvmsg"));
    CHECK(has(text, "# journalctl -n 50 _PID=800\n"));
  }
  SECTION("an unknown server") {
    finding.verdict = finding.blocked_threads[0].verdict = Verdict::undetermined;
    wedged.server_state = ServerState::unknown;
    const std::string text = explain(pass);
    CHECK_FALSE(names_abort(text));
    CHECK(has(text, "Who could answer on connection 40."));
    CHECK(has(text, "--samples 10 --every 1s"));
  }
  SECTION("a connection that nobody serves, but that it may not be waiting for") {
    finding.verdict = finding.blocked_threads[0].verdict = Verdict::undetermined;
    CHECK_FALSE(names_abort(explain(pass)));
  }
}

TEST_CASE("what is not FUSE is sent to whoever has to act") {
  PassResult pass = incident();
  NamespaceFinding& finding = pass.report.findings.namespaces[0];
  BlockedThread& thread = finding.blocked_threads[0];
  finding.verdict = thread.verdict = Verdict::not_fuse;
  thread.connection.reset();
  thread.candidates.clear();
  thread.mounts.clear();
  using Case = std::pair<WaitClass, std::string>;
  for (const auto& [wait_class, advice] :
       {Case{WaitClass::unreaped_child, "# kill -CONT 4690\n"}, Case{WaitClass::ptrace, "# kill 4690\n"},
        Case{WaitClass::freezer, "freezer.state"}, Case{WaitClass::coredump, "core_pattern"},
        Case{WaitClass::nfs, "umount -f"}, Case{WaitClass::block_io, "dmesg"}, Case{WaitClass::other, "dmesg"}}) {
    thread.wait_class = wait_class;
    thread.awaited = NamedProcess{4690, "shim"};
    const std::string text = explain(pass);
    CHECK(has(text, advice));
    CHECK(has(text, "FUSE is not what holds it"));
    CHECK_FALSE(names_abort(text));
  }
}

TEST_CASE("gates in words, beyond the mode") {
  const NamespaceId id{4026532178};
  const std::vector<GateInWords> gates = {{id, Gate::mode, "policy.mode is not enforce", "off"},
                                          {id, Gate::host_mount, "mounted on the host", "it serves the host"}};
  const std::string text = explain(incident(), Mode::enforce, gates);
  CHECK(has(text, "`host_mount`: mounted on the host - it serves the host."));
  CHECK_FALSE(has(text, "`mode`"));
  CHECK(has(text, "The configured mode is `enforce`"));
}

TEST_CASE("what holds every action back, and the command that ends it") {
  PassResult pass = incident();
  RemedyState& state = pass.report.remedy;
  state.abort_budget = 0;
  SECTION("an open breaker") {
    state.breaker_open = true;
    state.breaker_cause = BreakerCause::failed_outcomes;
    state.breaker_since = 500s;
    state.breaker_detail = "abort of connection 41: not_released";
    const std::string text = explain(pass);
    CHECK(has(text,
              "Circuit breaker open (failed_outcomes) since 1970-01-01T00:08:20.000Z: abort of connection 41: "
              "not_released While it"));
    CHECK(has(text, "        # defused resume --reset-breaker\n"));
    CHECK(has(text, "Actions are not paused. Aborts left in the window (`abort_budget_remaining`): 0."));
    CHECK_FALSE(has(text, "breaker is closed"));
  }
  SECTION("a pause") {
    state.inhibited = true;
    state.inhibited_reason = "kernel upgrade";
    const std::string text = explain(pass);
    CHECK(has(text, "Paused (inhibited): kernel upgrade\n"));
    CHECK(has(text, "        # defused resume\n"));
    CHECK(has(text, "The circuit breaker is closed. Aborts left"));
    CHECK_FALSE(has(text, "not paused"));
  }
  SECTION("records that cannot be written are not said to be unasked") {
    const NamespaceId id{4026532178};
    const std::string text = explain(pass, Mode::enforce, {{id, Gate::record_unwritable, "the audit log", "no room"}});
    CHECK(has(text, "- `record_unwritable`: the audit log - no room."));
    CHECK_FALSE(has(text, "have room"));
  }
  SECTION("on a host where nothing is stuck") {
    state.inhibited = true;
    state.inhibited_reason = "kernel upgrade";
    pass.report.findings = {};
    pass.subject = SubjectFinding{Subject{}, {SubjectReading{}}, 1};
    CHECK(has(explain(pass), "Paused (inhibited): kernel upgrade\n"));
  }
}

TEST_CASE("what was done already, for the namespace or on the connection in question") {
  PassResult pass = incident();
  const NamespaceId id{4026532178};
  pass.report.actions = {{id, ConnectionId{40}, Outcome::vetoed, "the hook said no", 0s, 900s, true},
                         {NamespaceId{7}, ConnectionId{41}, Outcome::not_released, "elsewhere", 0s, 800s},
                         {NamespaceId{0}, ConnectionId{0}, Outcome::interrupted, "before the boot", 0s, 100s}};
  CHECK(has(explain(pass),
            " What was done already - 1970-01-01T00:15:00.000Z, connection 40 for PID namespace 4026532178, by "
            "hand: `vetoed`: the hook said no What you can do"));
  CHECK_FALSE(has(explain(pass), "used again"));
  SECTION("an earlier one on a connection of that number") {
    pass.report.actions.push_back({NamespaceId{6}, ConnectionId{40}, Outcome::released, "", 62s, 700s});
    CHECK(has(explain(pass), "for PID namespace 6: `released` after 1m02s Numbers of connections are used again"));
  }
  SECTION("a stuck exit") {
    StuckExit exit;
    exit.thread = blocked();
    pass.report.findings.stuck_exits = {exit};
    pass.subject->readings[0].pid_namespaces.clear();
    pass.subject->readings[0].stuck_exits = {exit.thread.id};
    CHECK(has(explain(pass), "`vetoed`: the hook said no"));
  }
  SECTION("a connection, and none of others") {
    pass.subject->readings[0] =
        SubjectReading{Subject{SubjectKind::connection, "40", 40}, "", false, {}, {}, {{40}}, {}};
    const std::string text = explain(pass);
    CHECK(has(text, "`vetoed`: the hook said no"));
    CHECK_FALSE(has(text, "elsewhere"));
    pass.report.findings.connections[0].stalled_since.reset();
    const std::string healthy = explain(pass);
    CHECK(has(healthy, "`vetoed`: the hook said no"));
    CHECK_FALSE(has(healthy, "What you can do"));
  }
  SECTION("what is gone since") {
    pass.subject = SubjectFinding{Subject{SubjectKind::any, "41", 41}, {}, 0};
    const std::string text = explain(pass);
    CHECK(has(text, "there is no such process"));
    CHECK(has(text, "`not_released`: elsewhere"));
    CHECK_FALSE(has(text, "the hook said no"));
    pass.subject = SubjectFinding{Subject{SubjectKind::process, "41", 41}, {}, 0};
    CHECK_FALSE(has(explain(pass), "What was done already"));
    pass.subject = SubjectFinding{Subject{SubjectKind::pid_namespace, "7", 7}, {}, 0};
    CHECK(has(explain(pass), "`not_released`: elsewhere"));
  }
  SECTION("reduced to the subject") {
    CHECK(reduce_to_subject(pass).actions.size() == 1);
    pass.report.actions[0].connection = ConnectionId{39};  // for this namespace, which another one held as well
    CHECK(reduce_to_subject(pass).actions.size() == 1);
    pass.subject = SubjectFinding{Subject{SubjectKind::any, "41", 41}, {}, 0};
    const Report gone = reduce_to_subject(pass);
    REQUIRE(gone.actions.size() == 1);
    CHECK(gone.actions[0].connection == ConnectionId{41});
    pass.subject = SubjectFinding{Subject{}, {SubjectReading{}}, 1};
    CHECK(reduce_to_subject(pass).actions.size() == 3);
  }
}

TEST_CASE("readers that disagree about who holds a connection") {
  PassResult pass = incident();
  CHECK_FALSE(has(explain(pass), "do not say the same"));
  pass.report.findings.connections[0].readers_disagree = true;
  CHECK(has(explain(pass), "The kernel (BPF) and /proc do not say the same of who holds or uses it"));
}

TEST_CASE("what is healthy, what does not exist, what is ambiguous") {
  PassResult pass = incident();
  pass.report.findings.namespaces.clear();
  SubjectReading reading;
  reading.subject = Subject{SubjectKind::process, "800", 800};
  reading.name = "process 800 (sh)";
  reading.processes = {800};
  ProcessFinding process;
  process.id = {800, 1};
  process.comm = "sh";
  process.state = 'S';
  process.thread_count = 1;
  pass.report.findings.asked = {process};
  pass.subject = SubjectFinding{reading.subject, {reading}, 1};
  CHECK(has(explain(pass), "Process 800 (sh): nothing of it is blocked\n"));

  pass.subject = SubjectFinding{Subject{SubjectKind::any, "999", 999}, {}, 0};
  CHECK(has(explain(pass), "'999': there is no such process"));

  SubjectReading other;
  other.subject = Subject{SubjectKind::connection, "800", 800};
  other.name = "connection 800";
  pass.subject = SubjectFinding{Subject{SubjectKind::any, "800", 800}, {reading, other}, 2};
  const std::string text = explain(pass);
  CHECK(has(text, "# defused explain pid:800\n"));
  CHECK(has(text, "# defused explain connection:800\n"));
}

TEST_CASE("a live process that hangs, and one whose files do not answer") {
  PassResult pass = incident();
  pass.report.findings.namespaces.clear();
  SubjectReading reading;
  reading.subject = Subject{SubjectKind::process, "4711", 4711};
  reading.processes = {4711};
  reading.connections = {{40}};
  ProcessFinding process;
  process.id = {4711, 1};
  process.comm = "cat";
  process.state = 'D';
  process.threads = {blocked()};
  pass.subject = SubjectFinding{reading.subject, {reading}, 1};
  SECTION("it waits for FUSE") {
    pass.report.findings.asked = {process};
    const std::string text = explain(pass);
    CHECK(has(text, "Process 4711 (cat) hangs\n"));
    CHECK(has(text, "Nobody told it to die"));
    CHECK(has(text, "Connection 40\n"));
  }
  SECTION("in execve") {
    process.threads[0].stack.clear();
    process.threads[0].gaps = {{{"stack", ErrorKind::timeout}, 1}};
    pass.report.findings.asked = {process};
    CHECK(has(explain(pass), "stands in execve"));
  }
}

TEST_CASE("everything: nothing, or each thing once") {
  PassResult pass = incident();
  SubjectReading all;
  all.pid_namespaces = {{4026532178}};
  all.connections = {{40}};
  pass.subject = SubjectFinding{Subject{}, {all}, 1};
  const std::string text = explain(pass);
  CHECK(text.find("Connection 40") == text.rfind("Connection 40"));
  PassResult nothing;
  nothing.report.host = "h";
  nothing.report.blind = {"fusectl"};
  nothing.subject = SubjectFinding{Subject{}, {SubjectReading{}}, 1};
  CHECK(has(explain(nothing), "Nothing is stuck or stalled on h"));
  CHECK(has(explain(nothing), "mount -t fusectl"));
}

TEST_CASE("the report reduced to a subject holds what concerns it and nothing else") {
  PassResult pass = incident();
  pass.report.findings.connections.push_back(connection());
  pass.report.findings.connections.back().id = {41};
  const Report reduced = reduce_to_subject(pass);
  CHECK(reduced.findings.namespaces.size() == 1);
  REQUIRE(reduced.findings.connections.size() == 1);
  CHECK(reduced.findings.connections[0].id == ConnectionId{40});
}

TEST_CASE("a word longer than the line stands on its own") {
  TextPage page;
  page.say("a " + std::string(120, 'x') + " b");
  CHECK(page.text() == "    a\n    " + std::string(120, 'x') + "\n    b\n");
}
