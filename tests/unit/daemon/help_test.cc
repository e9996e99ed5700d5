// SPDX-License-Identifier: Apache-2.0
// Every help text at every width, and that it teaches: sentence, usage, options with defaults, example, exit codes.
#include "daemon/help.h"

#include <catch2/catch.hpp>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <sstream>

#include "daemon/command_description.h"
#include "daemon/command_line.h"
#include "daemon/command_texts.h"

using namespace defused;

namespace {

CommandDescription describe_program() {
  CommandLine line;
  return describe_command(line.app());
}

void for_each_command(const CommandDescription& from, const std::function<void(const CommandDescription&)>& use) {
  for (std::vector<const CommandDescription*> left = {&from}; !left.empty();) {
    const CommandDescription* next = left.back();
    left.pop_back();
    use(*next);
    for (const CommandDescription& below : next->commands) left.push_back(&below);
  }
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> out;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) out.push_back(line);
  return out;
}

std::string without_spaces(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c != ' ' && c != '\n') out += c;
  }
  return out;
}

}  // namespace

TEST_CASE("no line of any help is wider than the screen, and nothing of it is cut") {
  const CommandDescription program = describe_program();
  for_each_command(program, [](const CommandDescription& command) {
    const std::string whole = without_spaces(render_help(command, Screen{120, false}));
    for (const std::size_t width : {40U, 60U, 80U, 120U, 400U}) {
      const std::string help = render_help(command, Screen{width, false});
      CAPTURE(command.name, width, help);
      for (const std::string& line : lines_of(help)) {
        CHECK(count_columns(line) <= std::min<std::size_t>(width, 120));
        CHECK((line.empty() || line.back() != ' '));
      }
      CHECK(without_spaces(help) == whole);
    }
    CHECK(render_help(command, Screen{}) == render_help(command, Screen{80, false}));
  });
}

TEST_CASE("colours change no letter") {
  for_each_command(describe_program(), [](const CommandDescription& command) {
    std::string help = render_help(command, Screen{80, true});
    CHECK(help.find("\033[1mUsage\033[0m\n") != std::string::npos);
    for (std::size_t at = help.find('\033'); at != std::string::npos; at = help.find('\033')) {
      help.erase(at, help.find('m', at) - at + 1);
    }
    CHECK(help == render_help(command, Screen{80, false}));
  });
}

TEST_CASE("every command teaches") {
  const CommandDescription program = describe_program();
  for_each_command(program, [&](const CommandDescription& command) {
    CAPTURE(command.name);
    const std::string help = render_help(command, Screen{});
    for (const OptionDescription& option : command.options) {
      CAPTURE(option.names.front());
      CHECK_FALSE(option.text.empty());
      CHECK(option.text.back() != '.');
      const bool wants_default = !option.value.empty() && option.default_value.empty();
      // Every value has its default named, unless leaving it out means "not at all".
      if (wants_default && option.names.front() != "--override" && option.names.front() != "--explain") {
        CHECK(option.text.find("(default: ") != std::string::npos);
      }
      CHECK(help.find(option.names.front()) != std::string::npos);
    }
    for (const OptionDescription& argument : command.arguments) CHECK_FALSE(argument.text.empty());
    CHECK(command.about.back() == '.');
    if (command.name.empty()) return;
    CHECK_FALSE(command.summary.empty());
    CHECK(command.summary.size() <= 65);  // one line of 80 beside the longest name
    CHECK(command.example.rfind("defused " + command.name, 0) == 0);
    CHECK(command.shows.back() == '.');
    CHECK(help.find("  " + command.example + "\n") != std::string::npos);
    CHECK_FALSE(command.exit_codes.empty());
  });
}

TEST_CASE("what a command refers to exists") {
  for_each_command(describe_program(), [](const CommandDescription& command) {
    for (const std::string& other : command.see_also) {
      CAPTURE(command.name, other);
      if (other.find(".md") == std::string::npos) {
        CHECK(find_command_text(other) != nullptr);
      } else {
        CHECK(std::ifstream("docs/" + other).good());
      }
    }
  });
}

TEST_CASE("every command has a text, and every text a command") {
  std::vector<std::string> names;
  for_each_command(describe_program(), [&](const CommandDescription& command) { names.push_back(command.name); });
  CHECK(names.size() == command_texts().size() + 1);
  for (const CommandText& text : command_texts()) {
    CHECK(std::find(names.begin(), names.end(), text.name) != names.end());
  }
}

TEST_CASE("the listing") {
  const auto json = nlohmann::json::parse(render_command_line_json(describe_program()));
  CHECK(json["schema"] == "defused.command-line/v1");
  CHECK(json["name"] == "defused");
  const auto& scan = json["commands"][0];
  CHECK(scan["name"] == "scan");
  CHECK(scan["options"][2] == nlohmann::json::parse(R"({"names": ["--samples"], "value": "N", "default": "3",
      "required": false, "repeatable": false, "values": [],
      "description": "How often to look, from 2 to 100: what does not move in between is stuck"})"));
  CHECK(json["commands"].back()["positionals"][0]["values"].size() == json["commands"].size());
  CHECK(json.dump().find("internal-") == std::string::npos);
}

TEST_CASE("the table of exit codes is the one of docs/OPERATING.md") {
  std::ifstream file("docs/OPERATING.md");
  REQUIRE(file.good());
  std::vector<std::string> documented;
  for (std::string line; std::getline(file, line) && line != "## Signals of `defused run`";) {
    if (line.size() > 3 && line[0] == '|' && line[2] >= '0' && line[2] <= '9') documented.push_back(line);
  }
  std::vector<std::string> wanted;
  for (const ExitCode& exit : exit_codes()) {
    std::string commands(exit.commands);
    for (std::size_t at = commands.find(' '); at != std::string::npos; at = commands.find(' ', at + 2)) {
      commands.replace(at, 1, ", ");
    }
    wanted.push_back("| " + std::to_string(exit.code) + " | " + std::string(exit.word) + " | " +
                     (commands.empty() ? "all but check" : commands) + " | " + std::string(exit.meaning) + " |");
  }
  CHECK(documented == wanted);
}
