// SPDX-License-Identifier: Apache-2.0
// What `defused check` makes of a pass: states by table, the line, its performance data, hostile names, sizes.
#include <algorithm>
#include <catch2/catch.hpp>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <tuple>
#include <vector>

#include "daemon/check_judge.h"
#include "daemon/check_output.h"
#include "exporters/readiness.h"
#include "stuck_pass.h"

using namespace defused;
using namespace std::chrono_literals;

namespace {

PassResult healthy_pass() {
  PassResult pass;
  pass.report.scanned_at = 1'782'907'200s;
  pass.report.pid_namespace_count = 12;
  ConnectionFinding connection;
  connection.id = kConnection;
  connection.fstype = "fuse.s3fs";
  connection.waiting = 2;
  pass.report.findings.connections = {connection};
  return pass;
}

PassResult deadlocked_pass() {
  NamespaceFinding finding;
  finding.init = ProcessId{4700, 99};
  finding.init_comm = "docker-init";
  finding.verdict = Verdict::deadlocked;
  finding.evidence = Evidence::proven;
  finding.wait_class = WaitClass::fuse_flush;
  finding.stuck_for = 192s;
  finding.container = Container{"0123456789abcdef0123456789abcdef", "docker", ""};
  finding.connections = {kConnection};
  PassResult pass = make_stuck_pass(finding, healthy_pass().report.findings.connections.front(), {Gate::mode});
  pass.report.scanned_at = healthy_pass().report.scanned_at;
  pass.report.pid_namespace_count = 12;
  return pass;
}

CheckInput asked(const PassResult& pass) {
  CheckInput input;
  input.pass = &pass;
  input.supervisor = SupervisorStatus{};
  input.age = 1500ms;
  input.stuck_after = 15s;
  return input;
}

// A look of our own that has seen `pass`.
void look_alone(CheckInput& input) {
  input.own_samples = 3;
  input.supervisor.reset();
}

// Blocked threads that stood through all three samples of a look, `known` so long before it began.
PassResult standing_pass(Nanoseconds known) {
  PassResult pass = deadlocked_pass();
  NamespaceFinding& finding = pass.report.findings.namespaces.front();
  finding.stuck = false;
  finding.stuck_for = known + 500ms;
  BlockedThread thread;
  thread.id = ThreadId{4713, 99};
  thread.samples = 3;
  thread.blocked_for = finding.stuck_for;
  finding.blocked_threads = {thread};
  pass.memory.history.namespaces[finding.id].first_seen = 1000s;
  pass.memory.history.threads[thread.id].unchanged_since = 1000s - known;
  return pass;
}

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

std::string kinds_of(const CheckResult& result) {
  std::string out;
  for (const CheckProblem& problem : result.problems) {
    out += (out.empty() ? "" : " ") + std::string(to_string(problem.kind));
  }
  return out;
}

struct Case {
  const char* name;
  std::function<void(PassResult&, CheckInput&)> change;
  CheckState state;
  const char* kinds;
};

NamespaceFinding& finding_of(PassResult& pass) { return pass.report.findings.namespaces.front(); }
ConnectionFinding& connection_of(PassResult& pass) { return pass.report.findings.connections.front(); }

void add_failed_action(PassResult& pass) {
  OutcomeRecord action;
  action.connection = kConnection;
  action.outcome = Outcome::not_released;
  pass.report.actions = {action};
}

std::vector<Case> stuck_cases() {
  return {
      {"as made", [](auto&, auto&) {}, CheckState::critical, "deadlocked"},
      {"as old as it may be", [](auto&, auto& in) { in.critical_after = 192s; }, CheckState::critical, "deadlocked"},
      {"too young for that", [](auto&, auto& in) { in.critical_after = 193s; }, CheckState::warning, "deadlocked"},
      {"not stuck yet", [](auto& p, auto&) { finding_of(p).stuck = false; }, CheckState::ok, ""},
      {"another verdict", [](auto& p, auto&) { finding_of(p).verdict = Verdict::not_fuse; }, CheckState::warning,
       "stuck"},
      {"an old other verdict",
       [](auto& p, auto&) {
         finding_of(p).verdict = Verdict::undetermined;
         finding_of(p).stuck_for = 100h;
       },
       CheckState::warning, "stuck"},
      {"healthy", [](auto& p, auto&) { p = healthy_pass(); }, CheckState::ok, ""},
      {"paused", [](auto& p, auto&) { (p = healthy_pass()).report.remedy.inhibited = true; }, CheckState::ok, ""},
  };
}

std::vector<Case> connection_and_action_cases() {
  return {
      {"stalled", [](auto& p, auto&) { connection_of(p = healthy_pass()).stalled_since = 1'782'907'100s; },
       CheckState::warning, "stalled"},
      {"orphaned and stalled is told once",
       [](auto& p, auto&) {
         p = healthy_pass();
         connection_of(p).orphaned = true;
         connection_of(p).stalled_since = 1'782'907'100s;
       },
       CheckState::warning, "orphaned"},
      {"a stuck exit, deadlocked",
       [](auto& p, auto&) {
         p = healthy_pass();
         StuckExit exit;
         exit.thread.verdict = Verdict::deadlocked;
         p.report.findings.stuck_exits = {exit};
       },
       CheckState::warning, "stuck_exit"},
      {"breaker", [](auto& p, auto&) { (p = healthy_pass()).report.remedy.breaker_open = true; }, CheckState::warning,
       "breaker_open"},
      {"the last action failed",
       [](auto& p, auto&) {
         p = healthy_pass();
         add_failed_action(p);
         p.report.remedy.failures_in_row = 1;
       },
       CheckState::warning, "action_failed"},
      {"an action failed before a reset",
       [](auto& p, auto&) {
         p = healthy_pass();
         add_failed_action(p);
       },
       CheckState::ok, ""},
      {"no records", [](auto& p, auto&) { (p = healthy_pass()).report.remedy.record_trouble = "full"; },
       CheckState::warning, "no_records"},
  };
}

std::vector<Case> daemon_cases() {
  return {
      {"lost probers",
       [](auto& p, auto& in) {
         p = healthy_pass();
         in.supervisor->lost_probers_left = 2;
       },
       CheckState::warning, "lost_probers"},
      {"no prober",
       [](auto& p, auto& in) {
         p = healthy_pass();
         in.supervisor->prober_blind = 1;
       },
       CheckState::warning, "no_prober"},
      {"not ready, and our own look is well",
       [](auto& p, auto& in) {
         p = healthy_pass();
         in.own_samples = 3;
         in.not_ready = "the last pass began 60 s ago";
         in.supervisor->prober_blind = 1;
       },
       CheckState::warning, "not_ready"},
      {"not ready, and our own look finds it",
       [](auto&, auto& in) {
         in.own_samples = 3;
         in.not_ready = "too many probers could not be killed";
         in.supervisor->lost_probers_left = 2;
       },
       CheckState::critical, "deadlocked lost_probers not_ready"},
      {"just started, and our own look is well",
       [](auto& p, auto& in) {
         p = healthy_pass();
         in.own_samples = 3;
         in.supervisor->prober_blind = 1;
       },
       CheckState::ok, ""},
      {"a daemon that does not answer",
       [](auto& p, auto& in) {
         p = healthy_pass();
         look_alone(in);
         in.silent = "the daemon does not answer on its socket";
       },
       CheckState::warning, "daemon_silent"},
      {"no BPF is no problem", [](auto& p, auto&) { (p = healthy_pass()).report.blind = {"bpf"}; }, CheckState::ok, ""},
  };
}

std::vector<Case> blind_cases() {
  return {
      {"blind for connections", [](auto& p, auto&) { (p = healthy_pass()).report.blind = {"fusectl"}; },
       CheckState::unknown, "blind"},
      {"blind for stacks, and a connection is stalled",
       [](auto& p, auto&) {
         p = healthy_pass();
         p.report.blind = {"stack"};
         connection_of(p).stalled_since = 1'782'907'100s;
       },
       CheckState::unknown, "blind stalled"},
      {"a deadlock that is not seen as one",
       [](auto& p, auto&) {
         finding_of(p).verdict = Verdict::undetermined;
         p.report.blind = {"fusectl"};
       },
       CheckState::unknown, "blind stuck"},
      {"a deadlock that is seen all the same", [](auto& p, auto&) { p.report.blind = {"stack"}; }, CheckState::critical,
       "deadlocked blind"},
      {"the same, and young",
       [](auto& p, auto& in) {
         p.report.blind = {"stack"};
         in.critical_after = 1h;
       },
       CheckState::warning, "deadlocked blind"},
      {"in a PID namespace of its own",
       [](auto& p, auto& in) {
         p = healthy_pass();
         look_alone(in);
         in.own_processes_only = true;
       },
       CheckState::unknown, "blind"},
      {"a deadlock in there",
       [](auto&, auto& in) {
         look_alone(in);
         in.own_processes_only = true;
       },
       CheckState::critical, "deadlocked blind"},
      {"stands through our look, its age is not known",
       [](auto& p, auto& in) {
         p = standing_pass(0s);
         look_alone(in);
       },
       CheckState::unknown, "age_unknown"},
      {"the same, seen by a daemon", [](auto& p, auto&) { p = standing_pass(0s); }, CheckState::ok, ""},
      {"the same, moved during the look",
       [](auto& p, auto& in) {
         p = standing_pass(0s);
         finding_of(p).blocked_threads.front().samples = 2;
         look_alone(in);
       },
       CheckState::ok, ""},
      {"young, and known to be",
       [](auto& p, auto& in) {
         p = standing_pass(1s);
         look_alone(in);
       },
       CheckState::ok, ""},
  };
}

std::vector<Case> unknown_cases() {
  return {
      {"nothing could be listed", [](auto& p, auto&) { (p = healthy_pass()).report.blind = {"processes"}; },
       CheckState::unknown, "no_diagnosis"},
      {"not ready, and our own look gave nothing",
       [](auto&, auto& in) {
         in.pass = nullptr;
         in.own_samples = 3;
         in.not_ready = "no pass has been finished yet";
         in.incomplete = "the prober did not come back";
       },
       CheckState::unknown, "no_diagnosis not_ready"},
      {"our own look ended early",
       [](auto& p, auto& in) {
         p = healthy_pass();
         look_alone(in);
         in.incomplete = "the prober did not come back";
       },
       CheckState::unknown, "incomplete"},
      {"beside a silent daemon, and with all else that may be wrong",
       [](auto& p, auto& in) {
         p = healthy_pass();
         in.own_samples = 3;
         in.supervisor->lost_probers_left = 1;
         in.silent = "the daemon does not answer on its socket";
         in.incomplete = "the prober did not come back";
         p.report.remedy.breaker_open = true;
         p.report.remedy.record_trouble = "full";
       },
       CheckState::unknown, "incomplete breaker_open no_records lost_probers daemon_silent"},
      {"and found something before", [](auto&, auto& in) { in.incomplete = "the prober did not come back"; },
       CheckState::critical, "deadlocked incomplete"},
      {"it found nothing at all",
       [](auto&, auto& in) {
         in.pass = nullptr;
         in.incomplete = "the prober did not come back";
       },
       CheckState::unknown, "no_diagnosis"},
      {"the worst first",
       [](auto& p, auto& in) {
         connection_of(p).orphaned = true;
         p.report.remedy.breaker_open = true;
         in.supervisor->lost_probers_left = 1;
       },
       CheckState::critical, "deadlocked orphaned breaker_open lost_probers"},
  };
}

}  // namespace

TEST_CASE("states by table") {
  std::vector<Case> cases = stuck_cases();
  for (auto* more : {&connection_and_action_cases, &daemon_cases, &blind_cases, &unknown_cases}) {
    for (Case& one : more()) cases.push_back(std::move(one));
  }
  for (const Case& one : cases) {
    INFO(one.name);
    PassResult pass = deadlocked_pass();
    CheckInput input = asked(pass);
    one.change(pass, input);
    const CheckResult result = judge_check(input);
    CHECK(to_string(result.state) == to_string(one.state));
    CHECK(kinds_of(result) == one.kinds);
    CHECK_FALSE(result.summary.empty());
    const std::string line = first_line(render_plugin(result));
    std::string word(to_string(one.state));
    for (char& c : word) c = static_cast<char>(c - 'a' + 'A');
    CHECK(line.rfind("DEFUSED " + word + ": ", 0) == 0);
    CHECK(std::count(line.begin(), line.end(), '|') == (input.pass == nullptr && !input.supervisor ? 0 : 1));
  }
}

TEST_CASE("the line of a deadlock, its performance data and what to type") {
  const PassResult pass = deadlocked_pass();
  CheckInput input = asked(pass);
  input.supervisor->probers_lost = 7;
  const std::string text = render_plugin(judge_check(input));
  CHECK(text ==
        "DEFUSED CRITICAL: 1 PID namespace deadlocked for 3m12s: docker 0123456789ab on connection 40 (fuse.s3fs) | "
        "stuck=1;0;;0 deadlocked=1;0;0;0 oldest_stuck=192.000s;;;0 stuck_exits=0;0;;0 stalled=0;0;;0 orphaned=0;0;;0 "
        "connections=1;;;0 waiting=2;;;0 gaps=0;;;0 scan_age=1.500s;;;0 scan_duration=0.000s;;;0 lost_probers=0;0;;0 "
        "probers_lost=7c;;;0\n"
        "CRITICAL: PID namespace 4026532178 (init 4700 (docker-init)) of docker 0123456789ab: deadlocked (proven) for "
        "3m12s, fuse_flush on connection 40 (fuse.s3fs); to type: defused explain namespace:4026532178\n");
  input.critical_after = 5s;
  CHECK(render_plugin(judge_check(input)).find(" deadlocked=1;0;;0 ") != std::string::npos);
}

TEST_CASE("what stands still and may be stuck, and what a look of its own is called") {
  PassResult pass = standing_pass(0s);
  CheckInput input = asked(pass);
  look_alone(input);
  const std::string text = render_plugin(judge_check(input));
  CHECK(first_line(text).rfind("DEFUSED UNKNOWN: 1 dying PID namespace does not move, since when is not known: "
                               "docker 0123456789ab on connection 40 (fuse.s3fs) | stuck=0;",
                               0) == 0);
  CHECK(text.find("\nUNKNOWN: PID namespace 4026532178 (init 4700 (docker-init)): it cannot be told whether it is "
                  "stuck: ") != std::string::npos);
  CHECK(text.find("run the daemon") != std::string::npos);
  CHECK(text.find("note:") == std::string::npos);
  CHECK(node_problem_exit(judge_check(input), false) == 2);
  CHECK(nlohmann::json::parse(render_check_json(judge_check(input)))["source"] == "probe");
  pass = standing_pass(1s);
  CHECK(render_plugin(judge_check(input)).find("note: 1 dying PID namespace does not move, for less than") !=
        std::string::npos);
}

TEST_CASE("a daemon without a report has just started, or is in trouble") {
  View view;
  view.settings.interval = 5s;
  view.settings.pass_deadline = 5s;
  view.now.wall = 1000s;
  const auto started = [&](double ago) {
    view.supervisor.supervisor.start_time_seconds = 1000 - ago;
    return has_just_started(view);
  };
  CHECK(started(0));
  CHECK(started(19.9));
  CHECK_FALSE(started(20));
  CHECK_FALSE(started(-1));  // the clock was set back
  view.supervisor.at_cap = 1;
  CHECK_FALSE(started(1));
  view.supervisor.at_cap = 0;
  view.pass = std::make_shared<const PassResult>();
  CHECK_FALSE(started(1));
}

TEST_CASE("a healthy host, paused") {
  PassResult pass = healthy_pass();
  pass.report.remedy.inhibited = true;
  pass.report.remedy.inhibited_reason = "kernel upgrade";
  const std::string text = render_plugin(judge_check(asked(pass)));
  CHECK(text.rfind("DEFUSED OK: nothing is stuck; 12 PID namespaces, 1 FUSE connection | stuck=0;0;;0 ", 0) == 0);
  CHECK(text.find("\nnote: paused (inhibited): kernel upgrade\n") != std::string::npos);
}

TEST_CASE("many are counted, the oldest is named, and the lines end somewhere") {
  PassResult pass = deadlocked_pass();
  NamespaceFinding young = finding_of(pass);
  young.stuck_for = 20s;
  young.container = Container{"ffff", "podman", ""};
  constexpr std::size_t kMany = 5000;
  pass.report.findings.namespaces.insert(pass.report.findings.namespaces.begin(), kMany - 1, young);
  pass.report.decisions.assign(kMany, Decision{});
  const CheckResult result = judge_check(asked(pass));
  CHECK(result.summary ==
        "5000 PID namespaces deadlocked, the oldest for 3m12s: docker 0123456789ab on connection 40 (fuse.s3fs), and "
        "4999 more");
  const std::string text = render_plugin(result);
  CHECK(std::count(text.begin(), text.end(), '\n') == static_cast<long>(kMostProblemLines) + 2);
  CHECK(text.find("and 4984 more: see defused scan\n") != std::string::npos);
  CHECK(text.size() < 8192);
  CHECK(nlohmann::json::parse(render_check_json(result))["problems"].size() == kMany);
}

TEST_CASE("what a container is called does no harm to who reads it") {
  const std::string hostile = "a|b;$(reboot)`id`<script>&'\"~\n\x1b[2J\xff \xe2\x82\xac";
  CHECK(escape_for_monitoring(hostile) ==
        "a\\x7cb;\\x24(reboot)\\x60id\\x60\\x3cscript\\x3e\\x26\\x27\\x22\\x7e\\x0a\\x1b[2J\\xff \xe2\x82\xac");
  PassResult pass = deadlocked_pass();
  finding_of(pass).container = Container{hostile, hostile, hostile};
  finding_of(pass).init_comm = hostile;
  connection_of(pass).fstype = hostile;
  connection_of(pass).orphaned = true;
  pass.report.remedy.inhibited = true;
  pass.report.remedy.inhibited_reason = hostile;
  StuckExit exit;
  exit.thread.comm = hostile;
  exit.container = Container{hostile, "", ""};
  pass.report.findings.stuck_exits = {exit};
  const CheckResult result = judge_check(asked(pass));
  const std::string text = render_plugin(result);
  CHECK(std::count(text.begin(), text.end(), '|') == 1);
  CHECK(text.find_first_of("~$&'\"<>`\x1b\xff") == std::string::npos);
  CHECK(std::count(text.begin(), text.end(), '\n') == 5);  // the line, three problems, the pause
  const std::string node = render_node_problem(result);
  CHECK(node.size() <= 81);
  CHECK(std::count(node.begin(), node.end(), '\n') == 1);
  CHECK(nlohmann::json::parse(render_check_json(result))["problems"][0]["what"] == "deadlocked");
}

TEST_CASE("node-problem-detector gets a short line that stays the same, and its exit codes") {
  PassResult pass = deadlocked_pass();
  const std::string line = render_node_problem(judge_check(asked(pass)));
  CHECK(line == "1 PID namespace deadlocked: docker 0123456789ab on connection 40 (fuse.s3fs)\n");
  finding_of(pass).stuck_for = 200s;
  CHECK(render_node_problem(judge_check(asked(pass))) == line);
  connection_of(pass).fstype = std::string(60, 'e') + "\xe2\x82\xac\xe2\x82\xac";
  const std::string cut = render_node_problem(judge_check(asked(pass)));
  CHECK(cut.size() == 81);
  CHECK(cut.substr(78) == "..\n");

  CheckResult result;
  for (const auto& [state, plain, strict] :
       std::vector<std::tuple<CheckState, int, int>>{{CheckState::ok, 0, 0},
                                                     {CheckState::warning, 0, 1},
                                                     {CheckState::critical, 1, 1},
                                                     {CheckState::unknown, 2, 0}}) {
    result.state = state;
    CHECK(node_problem_exit(result, false) == plain);
    CHECK(node_problem_exit(result, true) == strict);
  }
}

TEST_CASE("as JSON") {
  const PassResult pass = deadlocked_pass();
  const auto json = nlohmann::json::parse(render_check_json(judge_check(asked(pass))));
  CHECK(json["schema"] == "defused.check/v1");
  CHECK(json["state"] == "critical");
  CHECK(json["exit_code"] == 2);
  CHECK(json["source"] == "daemon");
  const auto problem = json["problems"][0];
  CHECK(problem["state"] == "critical");
  CHECK(problem["pid_namespace"] == 4026532178U);
  CHECK(problem["connection"] == 40);
  CHECK(problem["container"] == "0123456789abcdef0123456789abcdef");
  CHECK(problem["age_seconds"] == 192.0);
  CHECK(json["performance"]["deadlocked"] == 1);
  CHECK(json["performance"]["oldest_stuck_seconds"] == 192.0);

  const auto refused = nlohmann::json::parse(render_check_json(refuse_check("check needs root")));
  CHECK(refused["state"] == "unknown");
  CHECK(refused["source"].is_null());
  CHECK(refused["problems"][0]["what"] == "refused");
  CHECK(refused["performance"].empty());
  CHECK(render_plugin(refuse_check("check needs root")) == "DEFUSED UNKNOWN: check needs root\n");
}
