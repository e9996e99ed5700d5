// SPDX-License-Identifier: Apache-2.0
#include "daemon/options.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <iostream>

#include "base/text.h"
#include "daemon/check_output.h"
#include "daemon/exit_codes.h"
#include "settings/settings_file.h"

namespace defused {

namespace {

// A duration such as "250ms", checked like those of the configuration.
std::string check_duration(const std::string& text) {
  const auto duration = parse_duration(text);
  if (!duration) return duration.error().message;
  if (*duration < std::chrono::milliseconds(10) || *duration > std::chrono::minutes(1)) {
    return "expected a duration between 10ms and 1m, got " + text;
  }
  return {};
}

std::string check_any_duration(const std::string& text) {
  const auto duration = parse_duration(text);
  return duration ? std::string() : duration.error().message;
}

constexpr std::array<std::string_view, 12> kCommands = {"run",   "scan",   "explain", "connections",
                                                        "abort", "check",  "capture", "replay",
                                                        "pause", "resume", "config",  "version"};
constexpr std::array<std::string_view, 2> kHiddenCommands = {"internal-prober", "internal-front"};

bool is_command(std::string_view word) {
  return std::find(kCommands.begin(), kCommands.end(), word) != kCommands.end() ||
         std::find(kHiddenCommands.begin(), kHiddenCommands.end(), word) != kHiddenCommands.end();
}

std::string_view nearest_command(std::string_view word) {
  return *std::min_element(kCommands.begin(), kCommands.end(), [&](std::string_view a, std::string_view b) {
    return edit_distance(word, a) < edit_distance(word, b);
  });
}

// What all commands take that look at the host once.
void add_look(CLI::App& command, ScanOptions& look, std::string& every, const char* json) {
  command.add_flag("--json", look.json, json);
  command.add_option("--samples", look.samples, "How often to look (default 3)")->check(CLI::Range(2, 100));
  command.add_option("--every", every, "Time between two looks (default 250ms)")->check(check_duration);
  command.add_option("--config", look.config, "Configuration whose policy the shown decisions follow");
}

// The commands and where their words go.
struct CommandLine {
  explicit CommandLine(CLI::App& app)
      : run_command(app.add_subcommand("run", "The daemon")),
        scan_command(app.add_subcommand("scan", "One diagnosis of this host, now")),
        explain_command(app.add_subcommand("explain", "Why it is stuck, what that rests on, and what to do")),
        connections_command(app.add_subcommand("connections", "Every FUSE connection: who mounts, serves and uses it")),
        abort_command(app.add_subcommand("abort", "Abort one connection by hand, through the gates of the daemon")),
        check_command(app.add_subcommand("check", "One line and an exit code for monitoring")),
        capture_command(app.add_subcommand("capture", "Keep the evidence of this moment in a .tar")),
        replay_command(app.add_subcommand("replay", "Diagnose a capture made elsewhere")),
        config_command(app.add_subcommand("config", "Check a configuration; print its schema or all defaults")),
        pause_command(app.add_subcommand("pause", "Hold all actions, with a reason")),
        resume_command(app.add_subcommand("resume", "Let actions go on")),
        version_command(app.add_subcommand("version", "Version, revision, compiler and what this kernel has")),
        prober_command(app.add_subcommand("internal-prober", "")->group("")),
        front_command(app.add_subcommand("internal-front", "")->group("")) {
    run_command->add_option("--config", run.config,
                            "Configuration file (default: /etc/defused/defused.json if it exists)");
    run_command->add_option("--web.listen-address", run.listen_addresses,
                            "HOST:PORT to serve on; may be given again (default 127.0.0.1:10073)");
    run_command->add_option("--web.telemetry-path", run.telemetry_path,
                            "Path of the page with the metrics (default /metrics)");
    run_command->add_option("--web.config.file", run.web_config_file,
                            "YAML file with TLS, passwords and headers, as Prometheus' exporters take it");
    add_look(*scan_command, scan, every, "Print the report as JSON (schema defused.report/v1)");
    explain_command->add_option("X", explain.subject,
                                "PID, TID, container id or prefix, PID namespace or connection; also pid:N, "
                                "container:ID, namespace:N, connection:N. Without it: all that is stuck or stalled");
    add_look(*explain_command, explain.look, every, "Print the evidence as JSON (schema defused.explain/v1)");
    add_look(*connections_command, connections.look, every, "Print them as JSON (schema defused.connections/v1)");
    add_abort();
    add_check();
    add_capture();
    add_config();
    pause_command->add_option("REASON", pause.reason, "Why: shown on the page, in metrics and in reports")->required();
    pause_command->add_option("--config", pause.config, "Configuration that names the state directory");
    resume_command->add_option("--config", resume.config, "Configuration that names the state directory");
    resume_command->add_flag("--reset-breaker", resume.reset_breaker, "Close the circuit breaker as well");
    version_command->add_flag("--json", version.json, "Print it as JSON (schema defused.version/v1)");
    prober_command->add_option("--lost", prober.lost);
    prober_command->add_option("--subject", prober.subject);
    prober_command->add_flag("--whole-index", prober.whole_index);
    prober_command->add_flag("--keep-records", prober.keep_records);
    prober_command->add_option("--record", record)->check(CLI::IsMember({"candidates", "all"}));
    prober_command->add_option("--abort", prober.abort);
    prober_command->add_option("--uid", prober.uid);
    prober_command->add_option("--override", prober.override_reason);
  }

  void add_abort() {
    abort_command->add_option("N", abort.connection, "The connection: its number in /sys/fs/fuse/connections")
        ->required();
    abort_command->add_option("--override", abort.override_reason,
                              "REASON: do not ask the gates too_young and too_few_samples; no other gate");
    abort_command->add_flag("--yes", abort.yes, "Do not ask for confirmation");
    abort_command->add_option("--samples", abort.look.samples, "How often to look before (default 3)")
        ->check(CLI::Range(2, 100));
    abort_command->add_option("--every", every, "Time between two looks (default 250ms)")->check(check_duration);
    abort_command->add_option("--config", abort.look.config, "Configuration whose policy and state directory hold");
  }

  void add_check() {
    check_command->add_flag("--json", check.json, "Print it as JSON (schema defused.check/v1)");
    check_command->add_flag("--probe", check.alone, "Look now, also where a daemon runs and could be asked");
    check_command
        ->add_flag("--node-problem-detector", check.node_problem_detector,
                   "For its custom plugins: exit 0 or 1, 2 for unknown, and one short line")
        ->excludes("--json");
    check_command->add_flag("--warnings", check.warnings, "For node-problem-detector: a warning is a problem too")
        ->needs("--node-problem-detector");
    check_command->add_option("--critical-after", critical_after, "A younger deadlock is a warning (default 0s)")
        ->check(check_any_duration);
    check_command->add_option("--config", check.config, "Configuration that names the daemon's runtime directory");
  }

  void add_capture() {
    capture_command->add_option("--output,-o", capture.output,
                                "FILE to write, .gz for gzip, - for standard output "
                                "(default defused-HOST-TIME.tar here)");
    capture_command->add_flag("--all", capture.all, "Of the whole host, not only of what the report rests on");
    capture_command->add_flag("--redact", capture.redact,
                              "Names and paths are replaced by others, the same everywhere");
    capture_command->add_flag("--force", capture.force, "Replace FILE where it exists");
    capture_command->add_option("--samples", capture.look.samples, "How often to look (default 3)")
        ->check(CLI::Range(2, 100));
    capture_command->add_option("--every", every, "Time between two looks (default 250ms)")->check(check_duration);
    capture_command->add_option("--config", capture.look.config, "Configuration whose policy the report follows");
    replay_command->add_option("FILE", replay.file, "Capture, evidence bundle, or directory with proc/ and sys/ in it")
        ->required();
    replay_command->add_flag("--json", replay.json, "Print the report as JSON (schema defused.report/v1)");
    replay_command->add_option("--explain", replay.explain,
                               "X: explain it instead, as `defused explain X` would; all: whatever is stuck");
    replay_command->add_option("--config", replay.config, "Configuration to follow instead of what was captured");
  }

  void add_config() {
    config_command->require_subcommand(1);
    config_check = config_command->add_subcommand("check", "Whether `defused run` would take it");
    config_check->add_option("FILE", config.file, "The file (default /etc/defused/defused.json if it exists)");
    config_schema = config_command->add_subcommand("schema", "Its JSON schema");
    config_defaults = config_command->add_subcommand("defaults", "Every key with its default and what it does");
  }

  [[nodiscard]] std::variant<Options, int> chosen() {
    capture.look.every = *parse_duration(every);
    check.critical_after = *parse_duration(critical_after);
    scan.every = explain.look.every = connections.look.every = abort.look.every = *parse_duration(every);
    if (run_command->parsed()) return Options(run);
    if (scan_command->parsed()) return Options(scan);
    if (explain_command->parsed()) return Options(explain);
    if (connections_command->parsed()) return Options(connections);
    if (abort_command->parsed()) return Options(abort);
    if (check_command->parsed()) return Options(check);
    if (capture_command->parsed()) return Options(capture);
    if (replay_command->parsed()) return Options(replay);
    if (config_command->parsed()) {
      if (config_schema->parsed()) config.what = ConfigOptions::What::schema;
      if (config_defaults->parsed()) config.what = ConfigOptions::What::defaults;
      return Options(config);
    }
    if (pause_command->parsed()) return Options(pause);
    if (resume_command->parsed()) return Options(resume);
    if (version_command->parsed()) return Options(version);
    if (prober_command->parsed()) {
      if (!record.empty()) prober.record = record == "all" ? Recording::all : Recording::candidates;
      return Options(prober);
    }
    if (front_command->parsed()) return Options(InternalFrontOptions{});
    return kExitUsage;
  }

  RunOptions run;
  ScanOptions scan;
  ExplainOptions explain;
  ConnectionsOptions connections;
  AbortOptions abort;
  CheckOptions check;
  CaptureOptions capture;
  ReplayOptions replay;
  ConfigOptions config;
  VersionOptions version;
  PauseOptions pause;
  ResumeOptions resume;
  InternalProberOptions prober;
  std::string every = "250ms";
  std::string critical_after = "0s";
  std::string record;
  CLI::App* run_command;
  CLI::App* scan_command;
  CLI::App* explain_command;
  CLI::App* connections_command;
  CLI::App* abort_command;
  CLI::App* check_command;
  CLI::App* capture_command;
  CLI::App* replay_command;
  CLI::App* config_command;
  CLI::App* config_check = nullptr;
  CLI::App* config_schema = nullptr;
  CLI::App* config_defaults = nullptr;
  CLI::App* pause_command;
  CLI::App* resume_command;
  CLI::App* version_command;
  CLI::App* prober_command;
  CLI::App* front_command;
};

}  // namespace

std::variant<Options, int> parse_options(int argc, const char* const* argv) {
  if (argc > 1 && argv[1][0] != '-' && !is_command(argv[1])) {
    std::cerr << "defused: unknown command '" << sanitize(argv[1]) << "'; did you mean '" << nearest_command(argv[1])
              << "'? (see defused --help)\n";
    return kExitUsage;
  }
  CLI::App app("Finds and frees containers that cannot die because a thread waits inside FUSE.", "defused");
  app.require_subcommand(1);
  app.set_help_all_flag("--help-all", "Help of all commands");

  CommandLine line(app);
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp& help) {
    return app.exit(help);
  } catch (const CLI::CallForAllHelp& help) {
    return app.exit(help);
  } catch (const CLI::ParseError& error) {
    // Monitoring systems show standard output, and take the others' 2 for CRITICAL.
    if (argc > 1 && std::string_view(argv[1]) == "check") {
      std::cout << "DEFUSED UNKNOWN: " << escape_for_monitoring(error.what()) << " (see defused check --help)\n";
      return static_cast<int>(CheckState::unknown);
    }
    std::cerr << "defused: " << error.what() << " (see defused --help)\n";
    return kExitUsage;
  }
  return line.chosen();
}

}  // namespace defused
