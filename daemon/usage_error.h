// SPDX-License-Identifier: Apache-2.0
// What is wrong with a command line, in one sentence: what, where, and what was expected, with the nearest word that
// would have been taken. CLI11's own texts name neither. Pure.
#pragma once

#include <string>

namespace CLI {  // NOLINT(readability-identifier-naming): CLI11's
class App;
class ParseError;
}  // namespace CLI

namespace defused {

struct UsageError {
  std::string command;  ///< as typed after `defused`, "config check"; "": no command was recognised
  std::string sentence;
};

/// Why `app` did not take what it was given: `error` is what its parse() threw.
UsageError explain_usage_error(const CLI::App& app, const CLI::ParseError& error);

/// A command line without a command, or `defused config` without what to do.
UsageError explain_missing_command(const CLI::App& app);

/// " (see defused COMMAND --help)", with which each sentence about a command line ends. `command`: as typed.
std::string see_help(const std::string& command);

/// There is no command `word`, a part of `app`.
std::string explain_unknown_command(const CLI::App& app, const std::string& word);

}  // namespace defused
