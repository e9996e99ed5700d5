// SPDX-License-Identifier: Apache-2.0
#include "daemon/options.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <iostream>

#include "base/text.h"
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

constexpr std::array<std::string_view, 3> kCommands = {"run", "scan", "version"};
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

  RunOptions run;
  auto* run_command = app.add_subcommand("run", "The daemon");
  run_command->add_option("--config", run.config,
                          "Configuration file (default: /etc/defused/defused.json if it exists)");
  run_command->add_option("--web.listen-address", run.listen_addresses,
                          "HOST:PORT to serve on; may be given again (default 127.0.0.1:10073)");

  ScanOptions scan;
  std::string every = "250ms";
  auto* scan_command = app.add_subcommand("scan", "One diagnosis of this host, now");
  scan_command->add_flag("--json", scan.json, "Print the report as JSON (schema defused.report/v1)");
  scan_command->add_option("--samples", scan.samples, "How often to look (default 3)")->check(CLI::Range(2, 100));
  scan_command->add_option("--every", every, "Time between two looks (default 250ms)")->check(check_duration);
  scan_command->add_option("--config", scan.config, "Configuration whose policy the shown decisions follow");

  auto* version_command = app.add_subcommand("version", "Version, revision and compiler");

  InternalProberOptions prober;
  auto* prober_command = app.add_subcommand("internal-prober", "")->group("");
  prober_command->add_option("--lost", prober.lost);
  auto* front_command = app.add_subcommand("internal-front", "")->group("");

  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp& help) {
    return app.exit(help);
  } catch (const CLI::CallForAllHelp& help) {
    return app.exit(help);
  } catch (const CLI::ParseError& error) {
    std::cerr << "defused: " << error.what() << " (see defused --help)\n";
    return kExitUsage;
  }
  if (run_command->parsed()) return Options(run);
  if (scan_command->parsed()) {
    scan.every = *parse_duration(every);
    return Options(scan);
  }
  if (version_command->parsed()) return Options(VersionOptions{});
  if (prober_command->parsed()) return Options(prober);
  if (front_command->parsed()) return Options(InternalFrontOptions{});
  return kExitUsage;
}

}  // namespace defused
