// SPDX-License-Identifier: Apache-2.0
#include "daemon/command_line.h"

#include <algorithm>
#include <iterator>
#include <map>

#include "base/text.h"
#include "daemon/command_texts.h"
#include "settings/settings_file.h"

namespace defused {

namespace {

// What a user typed comes back in errors: no control character of it, and not more than fits a line.
std::string as_typed(const std::string& text) {
  constexpr std::size_t kShown = 64;
  return "\"" + sanitize(text, kShown) + "\"";
}

// A time between two looks.
std::string check_every(const std::string& text) {
  const auto duration = parse_duration(text);
  if (duration && *duration >= std::chrono::milliseconds(10) && *duration <= std::chrono::minutes(1)) return {};
  return "expected a duration from 10ms to 1m, got " + as_typed(text);
}

std::string check_any_duration(const std::string& text) {
  return parse_duration(text) ? std::string() : "expected a duration such as \"90s\" or \"5m\", got " + as_typed(text);
}

constexpr std::uint64_t kFewestSamples = 2;
constexpr std::uint64_t kMostSamples = 100;

std::string check_samples(const std::string& text) {
  const auto number = parse_u64(text);
  if (number && *number >= kFewestSamples && *number <= kMostSamples) return {};
  return "expected a whole number from 2 to 100, got " + as_typed(text);
}

// A text that may not be empty.
std::string check_named(const std::string& text) { return text.empty() ? "expected a name, got \"\"" : ""; }

// Flags take no value: --json=no would be read as one.
CLI::Option* add_flag(CLI::App& command, const char* name, bool& target, const char* text) {
  return command.add_flag(name, target, text)->disable_flag_override();
}

// All options of `app` as typed - "--config", "-o" - and whether they take a value.
void add_names(const CLI::App& app, std::map<std::string, bool>& names) {
  for (const CLI::Option* option : app.get_options()) {
    if (option->get_positional()) continue;
    const bool takes_value = option->get_items_expected_max() > 0;
    for (const std::string& name : option->get_lnames()) names["--" + name] = takes_value;
    for (const std::string& name : option->get_snames()) names["-" + name] = takes_value;
  }
}

// CLI11 takes `--option= next` for `--option next`; as two words, `--option ""`, it means what was typed. A flag is
// given a value that it refuses, as it does any other.
std::vector<std::string> split_empty_values(const CLI::App& app, const std::vector<std::string>& words) {
  std::map<std::string, bool> names;
  for (std::vector<const CLI::App*> left = {&app}; !left.empty();) {
    const CLI::App* next = left.back();
    left.pop_back();
    add_names(*next, names);
    for (const CLI::App* below : next->get_subcommands(nullptr)) left.push_back(below);
  }
  std::vector<std::string> out;
  for (auto word = words.begin(); word != words.end(); ++word) {
    if (*word == "--") {
      out.insert(out.end(), word, words.end());
      break;
    }
    const std::string name = word->substr(0, word->find('='));
    const auto known = names.find(name);
    if (known == names.end() || word->size() > name.size() + 1) {
      out.push_back(*word);
    } else if (word->size() == name.size()) {
      out.push_back(*word);
      // The next word is its value, whatever it looks like.
      if (known->second && std::next(word) != words.end()) out.push_back(*++word);
    } else if (known->second) {
      out.insert(out.end(), {name, ""});
    } else {
      out.push_back(*word + "\"\"");
    }
  }
  return out;
}

template <typename Target>
CLI::Option* add_option(CLI::App& command, const char* name, Target& target, const char* metavar, const char* text) {
  return command.add_option(name, target, text)->type_name(metavar);
}

}  // namespace

CommandLine::CommandLine()
    : app_(std::string(kProgramAbout), "defused"),
      scan_command_(add("scan")),
      explain_command_(add("explain")),
      connections_command_(add("connections")),
      abort_command_(add("abort")),
      pause_command_(add("pause")),
      resume_command_(add("resume")),
      check_command_(add("check")),
      capture_command_(add("capture")),
      replay_command_(add("replay")),
      run_command_(add("run")),
      config_command_(add("config")),
      version_command_(add("version")),
      help_command_(add("help")),
      prober_command_(add_hidden("internal-prober")),
      front_command_(add_hidden("internal-front")),
      describe_command_(add_hidden("internal-describe")) {
  app_.require_subcommand(0, 1);
  app_.set_help_flag("--help,-h", "Print this text");
  add_flag(app_, "--version", wants_version_, "The same as `defused version`");
  add_look();
  add_run();
  add_abort();
  add_check();
  add_capture();
  add_config();
  add_others();
  add_internal();
}

CLI::App* CommandLine::add(const char* name) {
  const CommandText* text = find_command_text(name);
  CLI::App* command = app_.add_subcommand(name, text == nullptr ? "" : std::string(text->summary));
  command->set_help_flag("--help,-h", "Print this text");
  return command;
}

CLI::App* CommandLine::add_hidden(const char* name) { return app_.add_subcommand(name, "")->group(""); }

void CommandLine::add_samples(CLI::App& command, ScanOptions& look, const char* samples) {
  add_option(command, "--samples", look.samples, "N", samples)->default_str("3")->check(check_samples);
  add_option(command, "--every", every_, "DURATION", "Time between two looks, from 10ms to 1m")
      ->default_str("250ms")
      ->check(check_every);
}

void CommandLine::add_look() {
  constexpr const char* kSamples = "How often to look, from 2 to 100: what does not move in between is stuck";
  constexpr const char* kConfig =
      "Configuration whose policy the shown decisions follow (default: /etc/defused/defused.json if it exists)";
  add_flag(*scan_command_, "--json", scan_.json, "Print the report as JSON (schema defused.report/v1)");
  add_samples(*scan_command_, scan_, kSamples);
  add_option(*scan_command_, "--config", scan_.config, "FILE", kConfig)->check(check_named);

  add_option(*explain_command_, "X", explain_.subject, "",
             "PID, TID, container id or prefix, PID namespace or connection; also pid:N, container:ID, namespace:N, "
             "connection:N. Without it: all that is stuck or stalled");
  add_flag(*explain_command_, "--json", explain_.look.json, "Print the evidence as JSON (schema defused.explain/v1)");
  add_samples(*explain_command_, explain_.look, kSamples);
  add_option(*explain_command_, "--config", explain_.look.config, "FILE", kConfig)->check(check_named);

  add_flag(*connections_command_, "--json", connections_.look.json,
           "Print them as JSON (schema defused.connections/v1)");
  add_samples(*connections_command_, connections_.look, kSamples);
  add_option(*connections_command_, "--config", connections_.look.config, "FILE", kConfig)->check(check_named);
}

void CommandLine::add_run() {
  add_option(*run_command_, "--config", run_.config, "FILE",
             "Configuration file (default: /etc/defused/defused.json if it exists)")
      ->check(check_named);
  add_option(*run_command_, "--web.listen-address", run_.listen_addresses, "HOST:PORT",
             "Where to serve; may be given again")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->default_str("127.0.0.1:10073");
  add_option(*run_command_, "--web.telemetry-path", run_.telemetry_path, "PATH", "Path of the page with the metrics")
      ->default_str("/metrics");
  add_option(*run_command_, "--web.config.file", run_.web_config_file, "FILE",
             "YAML file with TLS, passwords and headers, as Prometheus' exporters take it (default: none, plain HTTP)");
}

void CommandLine::add_abort() {
  add_option(*abort_command_, "N", abort_.connection, "",
             "The connection: its number in /sys/fs/fuse/connections, as `defused connections` shows it")
      ->required();
  add_option(*abort_command_, "--override", abort_.override_reason, "REASON",
             "Do not ask the gates too_young and too_few_samples, and no other gate; the audit log keeps REASON");
  add_flag(*abort_command_, "--yes", abort_.yes, "Do not ask for confirmation");
  add_flag(*abort_command_, "--json", abort_.look.json,
           "Print what came of it as JSON (schema defused.abort/v1); asks nothing, so it wants --yes");
  add_samples(*abort_command_, abort_.look, "How often to look before, from 2 to 100");
  add_option(*abort_command_, "--config", abort_.look.config, "FILE",
             "Configuration whose policy and state directory hold (default: /etc/defused/defused.json if it exists)")
      ->check(check_named);
}

void CommandLine::add_check() {
  add_flag(*check_command_, "--json", check_.json, "Print it as JSON (schema defused.check/v1)");
  add_flag(*check_command_, "--probe", check_.alone, "Look now, also where a daemon runs and could be asked");
  add_flag(*check_command_, "--node-problem-detector", check_.node_problem_detector,
           "For its custom plugins: exit 0 or 1, 2 for unknown, and one short line")
      ->excludes("--json");
  add_flag(*check_command_, "--warnings", check_.warnings,
           "With --node-problem-detector: a warning is a problem too, and unknown is none")
      ->needs("--node-problem-detector");
  add_option(*check_command_, "--critical-after", critical_after_, "DURATION", "A younger deadlock is a warning")
      ->default_str("0s")
      ->check(check_any_duration);
  add_option(*check_command_, "--config", check_.config, "FILE",
             "Configuration that names the daemon's runtime directory (default: /etc/defused/defused.json if it "
             "exists)")
      ->check(check_named);
}

void CommandLine::add_capture() {
  add_option(*capture_command_, "--output,-o", capture_.output, "FILE",
             "File to write, .gz for gzip, - for standard output (default: ./defused-HOST-TIME.tar)")
      ->check(check_named);
  add_flag(*capture_command_, "--all", capture_.all, "Of the whole host, not only of what the report rests on");
  add_flag(*capture_command_, "--redact", capture_.redact, "Replace names and paths by others, the same everywhere");
  add_flag(*capture_command_, "--force", capture_.force, "Replace FILE where it exists");
  add_samples(*capture_command_, capture_.look, "How often to look, from 2 to 100");
  add_option(*capture_command_, "--config", capture_.look.config, "FILE",
             "Configuration whose policy the report follows (default: /etc/defused/defused.json if it exists)")
      ->check(check_named);

  add_option(*replay_command_, "FILE", replay_.file, "",
             "Capture, evidence bundle, or directory with proc/ and sys/ in it")
      ->required()
      ->check(check_named);
  add_flag(*replay_command_, "--json", replay_.json,
           "Print the report as JSON (schema defused.report/v1); with --explain the evidence (defused.explain/v1)");
  add_option(*replay_command_, "--explain", replay_.explain, "X",
             "Explain it instead, as `defused explain X` would; all: whatever is stuck or stalled");
  add_option(*replay_command_, "--config", replay_.config, "FILE",
             "Configuration to follow (default: what was captured)")
      ->check(check_named);
}

void CommandLine::add_config() {
  config_command_->require_subcommand(0, 1);
  const auto add_part = [&](const char* name) {
    const CommandText* text = find_command_text("config " + std::string(name));
    CLI::App* part = config_command_->add_subcommand(name, text == nullptr ? "" : std::string(text->summary));
    part->set_help_flag("--help,-h", "Print this text");
    return part;
  };
  config_check_ = add_part("check");
  add_option(*config_check_, "FILE", config_.file, "",
             "The configuration (default: /etc/defused/defused.json if it exists)")
      ->check(check_named);
  config_schema_ = add_part("schema");
  config_defaults_ = add_part("defaults");
}

void CommandLine::add_others() {
  add_option(*pause_command_, "REASON", pause_.reason, "", "Why: shown on the page, in metrics and in reports")
      ->required();
  constexpr const char* kState =
      "Configuration that names the state directory (default: /etc/defused/defused.json if it exists)";
  add_option(*pause_command_, "--config", pause_.config, "FILE", kState)->check(check_named);
  add_option(*resume_command_, "--config", resume_.config, "FILE", kState)->check(check_named);
  add_flag(*resume_command_, "--reset-breaker", resume_.reset_breaker, "Close the circuit breaker as well");
  add_flag(*version_command_, "--json", version_.json, "Print it as JSON (schema defused.version/v1)");
  add_option(*help_command_, "COMMAND", help_words_, "", "The command, such as `abort` or `config check`")
      ->expected(0, -1);
}

void CommandLine::add_internal() {
  prober_command_->add_option("--lost", prober_.lost);
  prober_command_->add_option("--subject", prober_.subject);
  prober_command_->add_flag("--whole-index", prober_.whole_index);
  prober_command_->add_flag("--keep-records", prober_.keep_records);
  prober_command_->add_option("--record", record_)->check(CLI::IsMember({"candidates", "all"}));
  prober_command_->add_option("--abort", prober_.abort);
  prober_command_->add_option("--uid", prober_.uid);
  prober_command_->add_option("--override", prober_.override_reason);
}

void CommandLine::parse(std::vector<std::string> words) {
  words = split_empty_values(app_, words);
  std::reverse(words.begin(), words.end());  // as CLI11 takes them
  app_.parse(std::move(words));
}

std::optional<Options> CommandLine::chosen() {
  check_.critical_after = parse_duration(critical_after_).value_or(Nanoseconds(0));
  scan_.every = parse_duration(every_).value_or(scan_.every);
  explain_.look.every = connections_.look.every = abort_.look.every = capture_.look.every = scan_.every;
  if (config_schema_->parsed()) config_.what = ConfigOptions::What::schema;
  if (config_defaults_->parsed()) config_.what = ConfigOptions::What::defaults;
  if (replay_.explain == "all") replay_.explain = "";
  if (!record_.empty()) prober_.record = record_ == "all" ? Recording::all : Recording::candidates;
  if (scan_command_->parsed()) return scan_;
  if (explain_command_->parsed()) return explain_;
  if (connections_command_->parsed()) return connections_;
  if (abort_command_->parsed()) return abort_;
  if (pause_command_->parsed()) return pause_;
  if (resume_command_->parsed()) return resume_;
  if (check_command_->parsed()) return check_;
  if (capture_command_->parsed()) return capture_;
  if (replay_command_->parsed()) return replay_;
  if (run_command_->parsed()) return run_;
  if (config_command_->parsed()) {
    if (config_command_->get_subcommands().empty()) return std::nullopt;
    return config_;
  }
  if (version_command_->parsed() || wants_version_) return version_;
  if (prober_command_->parsed()) return prober_;
  if (front_command_->parsed()) return InternalFrontOptions{};
  return std::nullopt;
}

}  // namespace defused
