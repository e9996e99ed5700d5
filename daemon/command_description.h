// SPDX-License-Identifier: Apache-2.0
// The command line described as values: from these --help is made, and the JSON from which man pages, completions and
// the tests of the documents are made. Pure.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "daemon/exit_codes.h"

namespace CLI {  // NOLINT(readability-identifier-naming): CLI11's
class App;
}

namespace defused {

struct OptionDescription {
  std::vector<std::string> names;  ///< with their dashes, the long one first; of an argument: its word, `FILE`
  std::string value;               ///< what its value stands for, `DURATION`; "": it takes none, or is an argument
  std::string default_value;       ///< "": none, or the text says it
  std::string text;
  std::vector<std::string> values;  ///< all that it takes, where these are few; none: see the text
  bool required = false;
  bool repeatable = false;
};

struct CommandDescription {
  std::string name;  ///< as typed after `defused`: "scan", "config check"; "": defused itself
  std::string group;
  std::string summary;
  std::string about;
  std::vector<OptionDescription> arguments;
  std::vector<OptionDescription> options;
  std::vector<CommandDescription> commands;  ///< hidden ones are left out
  std::string example;
  std::string shows;
  std::vector<std::string> see_also;
  std::vector<ExitCode> exit_codes;
};

/// `app` and what is below it; `name` as of CommandDescription.
CommandDescription describe_command(const CLI::App& app, const std::string& name = "");

/// All of it as JSON (schema defused.command-line/v1), indented, with a newline at its end.
std::string render_command_line_json(const CommandDescription& program);

}  // namespace defused
