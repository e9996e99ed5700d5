// SPDX-License-Identifier: Apache-2.0
#include "daemon/options.h"

#include <unistd.h>

#include <algorithm>
#include <iostream>
#include <string_view>
#include <vector>

#include "daemon/check_output.h"
#include "daemon/command_description.h"
#include "daemon/command_line.h"
#include "daemon/exit_codes.h"
#include "daemon/help.h"
#include "daemon/terminal.h"
#include "daemon/usage_error.h"

namespace defused {

namespace {

using Words = std::vector<std::string_view>;

int print_out(const std::string& text) {
  std::cout << text << std::flush;
  return std::cout.good() ? kExitOk : kExitFailure;
}

int print_help(const CLI::App& app, const std::string& name) {
  return print_out(render_help(describe_command(app, name), look_at_screen(STDOUT_FILENO)));
}

// Nullptr: there is none, or it is hidden.
const CLI::App* find_command(const CLI::App& app, const std::string& name) {
  for (const CLI::App* below : app.get_subcommands(nullptr)) {
    if (below->get_name() == name && !below->get_group().empty()) return below;
  }
  return nullptr;
}

// `defused help WORDS`: of which command.
int print_help_of(const CLI::App& program, const std::vector<std::string>& words) {
  const CLI::App* app = &program;
  std::string name;
  for (const std::string& word : words) {
    const CLI::App* below = find_command(*app, word);
    if (below == nullptr) {
      complain(explain_unknown_command(*app, word), "help");
      return kExitUsage;
    }
    app = below;
    name += (name.empty() ? "" : " ") + word;
  }
  return print_help(*app, name);
}

// The command that --help was said to.
int print_help_of_parsed(const CLI::App& program) {
  std::vector<std::string> words;
  for (auto below = program.get_subcommands(); !below.empty(); below = below.front()->get_subcommands()) {
    words.push_back(below.front()->get_name());
  }
  return print_help_of(program, words);
}

// Monitoring shows standard output and takes 2 for "critical"; node-problem-detector takes 2 for "unknown".
int refuse_check_command(const Words& words, const std::string& sentence) {
  std::cout << "DEFUSED UNKNOWN: " << escape_for_monitoring(sentence) << std::endl;
  const bool node_problem_detector =
      std::any_of(words.begin(), words.end(), [](std::string_view word) { return word == "--node-problem-detector"; });
  return node_problem_detector ? kExitUsage : kCheckUnknown;
}

// Also where something wrong stands before the word: whoever wrote `defused --config FILE check` reads the code of
// check.
bool is_for_check(const CLI::App& app, const UsageError& error, const Words& words) {
  if (!error.command.empty()) return error.command == "check";
  const auto command = std::find_if(words.begin(), words.end(), [&](std::string_view word) {
    return find_command(app, std::string(word)) != nullptr;
  });
  return command != words.end() && *command == "check";
}

int refuse_usage(const CLI::App& app, const UsageError& error, const Words& words) {
  if (is_for_check(app, error, words)) return refuse_check_command(words, error.sentence);
  complain(error.sentence, error.command);
  return kExitUsage;
}

}  // namespace

std::variant<Options, int> parse_options(int argc, const char* const* argv) {
  CommandLine line;
  CLI::App& app = line.app();
  const Words words(argv + std::min(argc, 1), argv + argc);
  try {
    line.parse({argv + std::min(argc, 1), argv + argc});
  } catch (const CLI::CallForHelp&) {
    return print_help_of_parsed(app);
  } catch (const CLI::ParseError& error) {
    return refuse_usage(app, explain_usage_error(app, error), words);
  }
  if (line.wants_listing()) return print_out(render_command_line_json(describe_command(app)));
  if (line.wants_help()) return print_help_of(app, line.help_words());
  if (auto chosen = line.chosen()) return *std::move(chosen);
  return refuse_usage(app, explain_missing_command(app), words);
}

}  // namespace defused
