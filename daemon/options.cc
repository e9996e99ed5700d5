// SPDX-License-Identifier: Apache-2.0
#include "daemon/options.h"

#include <iostream>

#include "daemon/command_description.h"
#include "daemon/command_line.h"
#include "daemon/exit_codes.h"

namespace defused {

std::variant<Options, int> parse_options(int argc, const char* const* argv) {
  CommandLine line;
  CLI::App& app = line.app();
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp& help) {
    return app.exit(help);
  } catch (const CLI::ParseError& error) {
    std::cerr << "defused: " << error.what() << " (see defused --help)\n";
    return kExitUsage;
  }
  if (line.wants_listing()) {
    std::cout << render_command_line_json(describe_command(app)) << std::flush;
    return std::cout.good() ? kExitOk : kExitFailure;
  }
  if (auto chosen = line.chosen()) return *std::move(chosen);
  std::cerr << "defused: a command is missing (see defused --help)\n";
  return kExitUsage;
}

}  // namespace defused
