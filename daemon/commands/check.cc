// SPDX-License-Identifier: Apache-2.0
// `defused check`: asks the daemon that runs, or looks itself where none runs or its report cannot be relied on, and
// says it as monitoring systems read it. Its exit codes are those of monitoring plugins, also for a bad configuration
// (docs/CHECK.md).
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "daemon/ask_daemon.h"
#include "daemon/check_output.h"
#include "daemon/commands/commands.h"
#include "daemon/commands/look.h"
#include "daemon/configuration.h"
#include "daemon/one_shot.h"
#include "daemon/start_checks.h"
#include "exporters/readiness.h"

namespace defused {

namespace {

// As `scan` looks, but for what is younger than detect.stuck_after: that is no problem yet.
CheckResult look_ourselves(Settings settings, CheckInput input) {
  constexpr std::uint32_t kSamples = 3;
  constexpr Nanoseconds kEvery = std::chrono::milliseconds(250);
  settings.policy.mode = Mode::observe;
  settings.log.level = LogLevel::error;
  const auto shot = probe_once(settings, kSamples, kEvery);
  input.own_samples = kSamples;
  input.own_processes_only = !is_in_host_pid_namespace();
  input.incomplete = shot ? shot->trouble : shot.error().message;
  if (shot && shot->pass) {
    input.pass = &*shot->pass;
    input.age = std::max(SystemClock().now().wall - shot->pass->report.scanned_at, Nanoseconds(0));
  }
  return judge_check(input);
}

// Its report where that can be relied on, else a look of our own.
CheckResult judge_answer(Settings settings, CheckInput input, DaemonAnswer answer) {
  View view;
  view.settings = settings;
  view.settings.interval = answer.status.interval;
  view.supervisor = answer.status;
  view.now = SystemClock().now();
  view.arrived = view.now.boottime - answer.report_age;
  if (answer.pass) view.pass = std::make_shared<const PassResult>(*std::move(answer.pass));
  input.supervisor = answer.status;
  const std::string not_ready = why_not_ready(view);
  if (not_ready.empty()) {
    input.pass = view.pass.get();
    input.age = view.age_of_pass();
    return judge_check(input);
  }
  if (has_just_started(view)) {
    input.notes.emplace_back("the daemon has just started and has no report yet; this is a look of its own");
  } else {
    input.not_ready = not_ready;
  }
  return look_ourselves(std::move(settings), std::move(input));
}

CheckResult check(const CheckOptions& options) {
  if (geteuid() != 0) {
    return refuse_check("check needs root: the socket of the daemon and kernel stacks are closed to others");
  }
  auto settings = load_settings(options.config);
  if (!settings) return refuse_check(settings.error().message);
  CheckInput input;
  input.critical_after = options.critical_after;
  input.stuck_after = settings->detect.stuck_after;
  if (options.alone) return look_ourselves(*std::move(settings), std::move(input));
  auto answer = ask_daemon(settings->runtime_directory);
  if (answer) return judge_answer(*std::move(settings), std::move(input), *std::move(answer));
  const ErrorKind kind = answer.error().kind;
  if (kind == ErrorKind::gone || kind == ErrorKind::unsupported) {
    input.notes.push_back(answer.error().message + "; this is a look of its own");
  } else {
    input.silent = answer.error().message;
  }
  return look_ourselves(*std::move(settings), std::move(input));
}

}  // namespace

int check_command(const CheckOptions& options) {
  const CheckResult result = check(options);
  int code = static_cast<int>(result.state);
  std::string text = options.json ? render_check_json(result) : render_plugin(result);
  if (options.node_problem_detector) {
    code = node_problem_exit(result, options.warnings);
    text = render_node_problem(result);
  }
  const int unknown = static_cast<int>(CheckState::unknown);
  return print(text, code) == code ? code : unknown;
}

}  // namespace defused
