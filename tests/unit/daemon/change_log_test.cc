// SPDX-License-Identifier: Apache-2.0
#include "daemon/change_log.h"

#include <catch2/catch.hpp>

using namespace defused;

namespace {

constexpr NamespaceId kChanged{4026532178};

NamespaceFinding finding_of(NamespaceId id, bool stuck, Verdict verdict) {
  NamespaceFinding finding;
  finding.id = id;
  finding.init = {4700, 99};
  finding.init_comm = "docker-init";
  finding.container = Container{"0123abcd", "docker", ""};
  finding.stuck = stuck;
  finding.verdict = verdict;
  finding.wait_class = WaitClass::fuse_flush;
  finding.connections = {{40}};
  return finding;
}

Report report_of(bool stuck, Verdict verdict, std::vector<Gate> reasons, Mode mode = Mode::observe) {
  Report report;
  report.mode = mode;
  report.findings.namespaces = {finding_of(kChanged, stuck, verdict)};
  Decision decision;
  decision.pid_namespace = kChanged;
  decision.reasons = std::move(reasons);
  decision.action = decision.reasons.empty() ? Action::abort : Action::hold;
  report.decisions = {decision};
  return report;
}

Report report_of(const ConnectionFinding& connection) {
  Report report;
  report.findings.connections = {connection};
  return report;
}

StuckExit exit_of(Verdict verdict) {
  StuckExit exit;
  exit.thread.pid = 500;
  exit.thread.id = {501, 7};
  exit.thread.comm = "cat";
  exit.thread.verdict = verdict;
  exit.thread.wait_class = WaitClass::fuse_request;
  exit.thread.connection = ConnectionId{41};
  return exit;
}

// The lines of a row of reports five seconds apart, the memory handed on.
class Teller {
 public:
  std::vector<LogLine> tell(const Report& report, Nanoseconds after = 5s) {
    std::vector<LogLine> lines;
    now_ += after;
    tell_changes(report, log, counters, now_, [&](const LogLine& line) { lines.push_back(line); });
    return lines;
  }
  Counters counters;
  LogMemory log;

 private:
  Nanoseconds now_{1000s};
};

std::vector<std::string> events(const std::vector<LogLine>& lines) {
  std::vector<std::string> out;
  for (const LogLine& line : lines) out.push_back(line.event);
  return out;
}

using Events = std::vector<std::string>;

}  // namespace

TEST_CASE("one line when a namespace becomes stuck, changes its verdict or decision, is released; none for a pass") {
  Teller teller;
  CHECK(teller.tell(report_of(false, Verdict::undetermined, {Gate::mode})).empty());
  const auto stuck = teller.tell(report_of(true, Verdict::undetermined, {Gate::mode}));
  REQUIRE(stuck.size() == 1);
  CHECK(stuck[0].message ==
        "PID namespace 4026532178 (init 4700 'docker-init', container 0123abcd) is stuck: fuse_flush, undetermined, "
        "connection 40; decision hold: mode");
  CHECK(stuck[0].event == "stuck");
  CHECK(stuck[0].level == LogLevel::warning);
  CHECK(stuck[0].facts.pid_namespace == kChanged);
  CHECK(stuck[0].facts.init_pid == 4700);
  CHECK(stuck[0].facts.container_id == "0123abcd");
  CHECK(stuck[0].facts.verdict == Verdict::undetermined);
  CHECK(stuck[0].facts.reasons == std::vector{Gate::mode});
  CHECK(teller.tell(report_of(true, Verdict::undetermined, {Gate::mode})).empty());
  const auto changed = teller.tell(report_of(true, Verdict::deadlocked, {Gate::mode}));
  REQUIRE(changed.size() == 1);
  CHECK(changed[0].message.find("from undetermined") != std::string::npos);
  CHECK(events(teller.tell(report_of(true, Verdict::deadlocked, {Gate::mode, Gate::gap}))) ==
        Events{"decision_changed"});
  const auto released = teller.tell(Report{});
  REQUIRE(released.size() == 1);
  CHECK(released[0].message.find("'docker-init', container 0123abcd) is released") != std::string::npos);
  CHECK(released[0].facts.connections == std::vector{ConnectionId{40}});
  CHECK(teller.tell(Report{}).empty());
}

TEST_CASE("what moves again is told, and told again once it is stuck") {
  Teller teller;
  teller.tell(report_of(true, Verdict::deadlocked, {Gate::mode}));
  CHECK(events(teller.tell(report_of(false, Verdict::deadlocked, {Gate::mode}))) == Events{"progress"});
  CHECK(events(teller.tell(report_of(true, Verdict::deadlocked, {Gate::mode}))) == Events{"stuck"});
}

TEST_CASE("stuck exits and connections are told like namespaces") {
  Teller teller;
  Report report;
  report.findings.stuck_exits = {exit_of(Verdict::undetermined)};
  const auto stuck = teller.tell(report);
  REQUIRE(events(stuck) == Events{"exit_stuck"});
  CHECK(stuck[0].message ==
        "thread 501 of process 500 ('cat') was told to die and cannot: fuse_request, undetermined, connection 41");
  CHECK(stuck[0].facts.tid == 501);
  report.findings.stuck_exits = {exit_of(Verdict::deadlocked)};
  CHECK(events(teller.tell(report)) == Events{"exit_verdict_changed"});
  CHECK(events(teller.tell(Report{})) == Events{"exit_released"});

  ConnectionFinding connection;
  connection.id = {40};
  connection.directory_inode = 17;
  connection.fstype = "fuse.s3fs";
  connection.waiting = 2;
  connection.server_state = ServerState::alive;
  CHECK(teller.tell(report_of(connection)).empty());
  connection.stalled_since = Nanoseconds(1s);
  const auto stalled = teller.tell(report_of(connection));
  REQUIRE(events(stalled) == Events{"connection_stalled"});
  CHECK(stalled[0].message == "connection 40 (fuse.s3fs) is stalled: 2 requests wait; server alive");
  connection.stalled_since.reset();
  CHECK(events(teller.tell(report_of(connection))) == Events{"connection_moves"});
  connection.stalled_since = Nanoseconds(1s);
  connection.orphaned = true;
  CHECK(events(teller.tell(report_of(connection))) == Events{"connection_orphaned"});
  Report blind;
  blind.blind = {"fusectl"};
  CHECK(teller.tell(blind).empty());  // not seen is not gone
  CHECK(events(teller.tell(Report{})) == Events{"connection_gone"});
}

TEST_CASE("a stuck exit whose namespace begins to die is told there, and is not released") {
  Teller teller;
  Report report;
  report.findings.stuck_exits = {exit_of(Verdict::deadlocked)};
  teller.tell(report);
  Report dying = report_of(true, Verdict::deadlocked, {Gate::mode});
  dying.findings.namespaces[0].blocked_threads = {exit_of(Verdict::deadlocked).thread};
  CHECK(events(teller.tell(dying)) == Events{"stuck"});
}

TEST_CASE("a hundred at once make a burst, and one line that counts the rest") {
  Teller teller;
  Report report;
  for (std::uint64_t i = 0; i < 100; ++i) {
    report.findings.namespaces.push_back(finding_of({4026532000 + i}, true, Verdict::deadlocked));
  }
  CHECK(teller.tell(report, kLogWindow).size() == kLinesPerWindow);
  CHECK(teller.tell(report).empty());
  const auto later = teller.tell(report, kLogWindow);
  REQUIRE(events(later) == Events{"lines_left_out"});
  CHECK(later[0].message == "80 more lines were left out: stuck 80");
  CHECK(teller.tell(report, kLogWindow).empty());
  CHECK(teller.tell(Report{}).size() == kLinesPerWindow);
}

TEST_CASE("what changes in every pass is told at ever longer intervals, with a count") {
  Teller teller;
  std::size_t lines = 0;
  std::string last;
  for (int pass = 0; pass < 12 * 60 * 24; ++pass) {  // a day
    for (const LogLine& line :
         teller.tell(report_of(true, Verdict::deadlocked,
                               pass % 2 == 0 ? std::vector{Gate::mode} : std::vector{Gate::mode, Gate::gap}))) {
      ++lines;
      last = line.message;
    }
  }
  CHECK(lines < 60);
  CHECK(lines > 10);
  CHECK(last.find("changes before that not told)") != std::string::npos);
}

TEST_CASE("a successor that gets the memory says nothing again") {
  Teller first;
  first.tell(report_of(true, Verdict::deadlocked, {Gate::mode}));
  Teller second;
  second.log = first.log;
  CHECK(second.tell(report_of(true, Verdict::deadlocked, {Gate::mode})).empty());
}

TEST_CASE("decisions are counted when they change") {
  Teller teller;
  for (int i = 0; i < 3; ++i)
    teller.tell(report_of(true, Verdict::deadlocked, {Gate::mode, Gate::too_young}, Mode::dry_run));
  CHECK(teller.counters.decisions[Action::hold] == 1);
  CHECK(teller.counters.decisions[Action::abort] == 0);
  for (int i = 0; i < 3; ++i) teller.tell(report_of(true, Verdict::deadlocked, {Gate::mode}, Mode::dry_run));
  CHECK(teller.counters.decisions[Action::abort] == 1);  // dry_run: would have aborted
  teller.tell(report_of(true, Verdict::deadlocked, {}, Mode::enforce));
  CHECK(teller.counters.decisions[Action::abort] == 2);
}

TEST_CASE("in observe a hold for the mode alone is a hold") {
  Teller teller;
  teller.tell(report_of(true, Verdict::deadlocked, {Gate::mode}, Mode::observe));
  CHECK(teller.counters.decisions[Action::abort] == 0);
  CHECK(teller.counters.decisions[Action::hold] == 1);
}
