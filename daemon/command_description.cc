// SPDX-License-Identifier: Apache-2.0
#include "daemon/command_description.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "daemon/command_texts.h"

namespace defused {

namespace {

using Json = nlohmann::ordered_json;

OptionDescription describe_option(const CLI::Option& option) {
  OptionDescription out;
  if (option.get_positional()) {
    out.names.push_back(option.get_name(true));
  } else {
    for (const std::string& name : option.get_lnames()) out.names.push_back("--" + name);
    for (const std::string& name : option.get_snames()) out.names.push_back("-" + name);
    // A flag expects no value, and CLI11 has a type name for it all the same.
    if (option.get_items_expected_max() > 0) out.value = option.get_type_name();
  }
  out.default_value = option.get_default_str();
  out.text = option.get_description();
  out.required = option.get_required();
  out.repeatable = option.get_multi_option_policy() == CLI::MultiOptionPolicy::TakeAll ||
                   (option.get_positional() && option.get_items_expected_max() > 1);
  return out;
}

std::vector<std::string> names_of_commands(const CLI::App& app) {
  std::vector<std::string> out;
  for (const CLI::App* below : app.get_subcommands(nullptr)) {
    if (!below->get_group().empty()) out.push_back(below->get_name());
  }
  return out;
}

std::vector<std::string> split_list(std::string_view text) {
  std::vector<std::string> out;
  for (const std::string_view part : split_fields(text, ',')) out.emplace_back(trim(part));
  return out;
}

Json option_json(const OptionDescription& option) {
  Json json;
  json["names"] = option.names;
  json["value"] = option.value.empty() ? Json() : Json(option.value);
  json["default"] = option.default_value.empty() ? Json() : Json(option.default_value);
  json["required"] = option.required;
  json["repeatable"] = option.repeatable;
  json["values"] = option.values;
  json["description"] = option.text;
  return json;
}

Json argument_json(const OptionDescription& argument) {
  Json json = option_json(argument);
  json["name"] = argument.names.front();
  json.erase("names");
  json.erase("value");
  return json;
}

// Commands have commands, these have none.
Json command_json(const CommandDescription& command) {  // NOLINT(misc-no-recursion)
  Json json;
  json["name"] = command.name;
  json["group"] = command.group;
  json["summary"] = command.summary;
  json["description"] = command.about;
  json["positionals"] = Json::array();
  for (const OptionDescription& argument : command.arguments) json["positionals"].push_back(argument_json(argument));
  json["options"] = Json::array();
  for (const OptionDescription& option : command.options) json["options"].push_back(option_json(option));
  json["commands"] = Json::array();
  for (const CommandDescription& below : command.commands) json["commands"].push_back(command_json(below));
  json["example"] = command.example;
  json["example_shows"] = command.shows;
  json["see_also"] = command.see_also;
  json["exit_codes"] = Json::array();
  for (const ExitCode& exit : command.exit_codes) json["exit_codes"].push_back(exit.code);
  return json;
}

// Names of the top-level commands that end with it.
std::vector<std::string> commands_of(const ExitCode& exit, const CommandDescription& program) {
  std::vector<std::string> out;
  for (const CommandDescription& command : program.commands) {
    const bool ends = std::any_of(command.exit_codes.begin(), command.exit_codes.end(),
                                  [&](const ExitCode& one) { return one.code == exit.code && one.word == exit.word; });
    if (ends) out.push_back(command.name);
  }
  return out;
}

}  // namespace

// NOLINTNEXTLINE(misc-no-recursion): as above
CommandDescription describe_command(const CLI::App& app, const std::string& name) {
  CommandDescription out;
  out.name = name;
  out.about = app.get_description();
  if (const CommandText* text = find_command_text(name)) {
    out.group = text->group;
    out.summary = text->summary;
    out.about = text->about;
    out.example = text->example;
    out.shows = text->shows;
    out.see_also = split_list(text->see_also);
  }
  // What a command of a command ends with is what the command ends with.
  out.exit_codes = exit_codes_of(name.substr(0, name.find(' ')));
  for (const CLI::Option* option : app.get_options()) {
    (option->get_positional() ? out.arguments : out.options).push_back(describe_option(*option));
  }
  if (name == "help") out.arguments.front().values = names_of_commands(*app.get_parent());
  for (const CLI::App* below : app.get_subcommands(nullptr)) {
    if (below->get_group().empty()) continue;
    out.commands.push_back(describe_command(*below, name.empty() ? below->get_name() : name + " " + below->get_name()));
  }
  return out;
}

std::string render_command_line_json(const CommandDescription& program) {
  Json json = command_json(program);
  json["name"] = "defused";
  json["exit_codes"] = Json::array();
  for (const ExitCode& exit : exit_codes()) {
    Json one;
    one["code"] = exit.code;
    one["word"] = exit.word;
    one["meaning"] = exit.meaning;
    one["commands"] = commands_of(exit, program);
    json["exit_codes"].push_back(one);
  }
  Json out;
  out["schema"] = "defused.command-line/v1";
  out.update(json);
  constexpr int kIndent = 2;
  return out.dump(kIndent) + "\n";
}

}  // namespace defused
