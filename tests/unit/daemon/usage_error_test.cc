// SPDX-License-Identifier: Apache-2.0
// One row for each way to get a command line wrong: the whole sentence.
#include "daemon/usage_error.h"

#include <CLI/CLI.hpp>
#include <catch2/catch.hpp>
#include <sstream>

#include "daemon/command_line.h"
#include "daemon/options.h"

using namespace defused;

namespace {

constexpr const char* kAll =
    "scan, explain, connections, abort, pause, resume, check, capture, replay, run, config, version, help";

// "COMMAND: SENTENCE" without the hint at the end.
std::string explain(std::vector<std::string> words) {
  CommandLine line;
  UsageError error;
  try {
    line.parse(std::move(words));
    if (line.chosen()) return "taken";
    error = explain_missing_command(line.app());
  } catch (const CLI::ParseError& thrown) {
    error = explain_usage_error(line.app(), thrown);
  }
  const std::string hint = " (see defused " + error.command + (error.command.empty() ? "" : " ") + "--help)";
  REQUIRE(error.sentence.size() > hint.size());
  const std::size_t at = error.sentence.size() - hint.size();
  CHECK(error.sentence.substr(at) == hint);
  return error.command + ": " + error.sentence.substr(0, at);
}

}  // namespace

TEST_CASE("commands") {
  CHECK(explain({}) == std::string(": a command is missing: expected one of ") + kAll);
  CHECK(explain({"scna"}) == ": unknown command \"scna\"; did you mean scan?");
  CHECK(explain({"zzzzzz"}) == std::string(": unknown command \"zzzzzz\": expected one of ") + kAll);
  CHECK(explain({"config"}) == "config: a command is missing: expected one of check, schema, defaults");
  CHECK(explain({"config", "chekc"}) == "config: unknown command \"chekc\"; did you mean check?");
  CHECK(explain({""}) == std::string(": unknown command \"\": expected one of ") + kAll);
}

TEST_CASE("options") {
  CHECK(explain({"scan", "--jsno"}) == "scan: unknown option --jsno; did you mean --json?");
  CHECK(explain({"scan", "--sample=3"}) == "scan: unknown option --sample; did you mean --samples?");
  CHECK(explain({"scan", "-x"}) == "scan: unknown option -x");
  CHECK(explain({"--nothing", "scan"}) == ": unknown option --nothing");
  CHECK(explain({"--versoin"}) == ": unknown option --versoin; did you mean --version?");
  CHECK(explain({"scan", "--json=no"}) == "scan: --json takes no value");
  CHECK(explain({"scan", "--samples"}) == "scan: --samples has no value: expected --samples N");
  CHECK(explain({"scan", "--config"}) == "scan: --config has no value: expected --config FILE");
  CHECK(explain({"scan", "--config="}) == "scan: --config: expected a name, got \"\"");
  CHECK(explain({"scan", "--samples=", "2"}) == "scan: --samples: expected a whole number from 2 to 100, got \"\"");
  CHECK(explain({"capture", "-o=", "x"}) == "capture: --output: expected a name, got \"\"");
  CHECK(explain({"scan", "--json="}) == "scan: --json takes no value");
  CHECK(explain({"scan", "--nothing="}) == "scan: unknown option --nothing");
  CHECK(explain({"scan", "--samples", "2", "--samples", "3"}) == "scan: --samples is given more than once");
  CHECK(explain({"run", "--web.listen-address"}) ==
        "run: --web.listen-address has no value: expected --web.listen-address HOST:PORT");
}

TEST_CASE("values out of range name the range") {
  for (const char* text : {"1", "101", "-3", "3.5", "x", "99999999999999999999999", "0x3", " 3"}) {
    CHECK(explain({"scan", "--samples", text}) ==
          "scan: --samples: expected a whole number from 2 to 100, got \"" + std::string(text) + "\"");
  }
  for (const char* text : {"5", "9ms", "61s", "2h", "x", "1.5s"}) {
    CHECK(explain({"scan", "--every", text}) ==
          "scan: --every: expected a duration from 10ms to 1m, got \"" + std::string(text) + "\"");
  }
  CHECK(explain({"check", "--critical-after", "soon"}) ==
        "check: --critical-after: expected a duration such as \"90s\" or \"5m\", got \"soon\"");
}

TEST_CASE("options that need or exclude each other") {
  CHECK(explain({"check", "--warnings"}) == "check: --warnings requires --node-problem-detector");
  CHECK(explain({"check", "--json", "--node-problem-detector"}) == "check: --json excludes --node-problem-detector");
  CHECK(explain({"check", "--warnings", "--node-problem-detector"}) == "taken");
}

TEST_CASE("arguments") {
  CHECK(explain({"abort"}) == "abort: N is missing: expected defused abort N");
  CHECK(explain({"pause"}) == "pause: REASON is missing: expected defused pause REASON");
  CHECK(explain({"scan", "x"}) == "scan: one argument too many, \"x\": expected none but options");
  CHECK(explain({"scan", "run"}) == "scan: one argument too many, \"run\": expected none but options");
  CHECK(explain({"explain", "1", "2"}) == "explain: one argument too many, \"2\": expected only X");
  CHECK(explain({"explain", "run"}) == "taken");
  CHECK(explain({"pause", "scan"}) == "taken");
}

TEST_CASE("help of what has no commands") {
  CommandLine line;
  const CLI::App& scan = *line.app().get_subcommand("scan");
  CHECK(explain_unknown_command(scan, "extra") ==
        "one argument too many, \"extra\": scan has no commands of its own (see defused scan --help)");
}

TEST_CASE("what was typed is shown short and harmless") {
  CHECK(explain({"scan", "\033[2Jx\n"}) ==
        "scan: one argument too many, \"\\x1b[2Jx\\x0a\": expected none but options");
  CHECK(explain({"scan", "--\033]0;x"}) == "scan: unknown option --\\x1b]0;x");
  CHECK(explain({"scan", "--samples", "\xff\x07"}) ==
        "scan: --samples: expected a whole number from 2 to 100, got \"\\xff\\x07\"");
  CHECK(explain({"scan", std::string(100000, 'a')}).size() < 200);
  CHECK(explain({"scan", "--" + std::string(100000, 'a')}).size() < 200);
  CHECK(explain({std::string(100000, 'a')}).size() < 300);
}

TEST_CASE("an option with = and nothing behind it has an empty value, and leaves the next word alone") {
  const auto parse = [](const std::vector<std::string>& words) {
    CommandLine line;
    line.parse(words);
    return line.chosen().value();
  };
  const auto run = std::get<RunOptions>(
      parse({"run", "--web.config.file=", "--web.listen-address=127.0.0.1:0", "--web.telemetry-path="}));
  CHECK(run.web_config_file == "");
  CHECK(run.listen_addresses == std::vector<std::string>{"127.0.0.1:0"});
  CHECK(run.telemetry_path == "");
  const auto abort = std::get<AbortOptions>(parse({"abort", "--override=", "40"}));
  CHECK(abort.override_reason == "");
  CHECK(abort.connection == "40");
  CHECK(std::get<ReplayOptions>(parse({"replay", "--explain=", "x.tar"})).explain == "");
  // A value that looks like it, and what stands behind `--`, are taken as they are.
  CHECK(std::get<RunOptions>(parse({"run", "--config", "--config="})).config == "--config=");
  CHECK(std::get<RunOptions>(parse({"run", "--config=--config="})).config == "--config=");
  CHECK(std::get<PauseOptions>(parse({"pause", "--", "--config="})).reason == "--config=");
}

TEST_CASE("check ends as monitoring expects it") {
  const auto code = [](std::vector<const char*> words) {
    words.insert(words.begin(), "defused");
    return std::get<int>(parse_options(static_cast<int>(words.size()), words.data()));
  };
  CHECK(code({"check", "--x"}) == 3);
  CHECK(code({"check", "--critical-after", "x"}) == 3);
  CHECK(code({"check", "--node-problem-detector", "--x"}) == 2);
  CHECK(code({"check", "--x", "--node-problem-detector"}) == 2);
  CHECK(code({"--config", "c.json", "check"}) == 3);
  CHECK(code({"--json", "check"}) == 3);
  CHECK(code({"--config", "c.json", "check", "--node-problem-detector"}) == 2);
  CHECK(code({"--config", "c.json", "scan"}) == 2);
  CHECK(code({"--x", "config", "check"}) == 2);
  CHECK(code({"config", "check", "a", "b"}) == 2);
  CHECK(code({"scan", "--x"}) == 2);
}
