// SPDX-License-Identifier: Apache-2.0
#include "daemon/usage_error.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <optional>
#include <string_view>
#include <vector>

#include "base/text.h"

namespace defused {

std::string see_help(const std::string& command) {
  return " (see defused " + command + (command.empty() ? "" : " ") + "--help)";
}

namespace {

constexpr std::size_t kMaxShownWord = 64;  // of what was typed, in bytes

std::string as_typed_word(std::string_view typed) { return "\"" + sanitize(typed, kMaxShownWord) + "\""; }

// The command that the words were for, and how it was typed.
struct WordPlace {
  const CLI::App* app;
  std::string name;
};

WordPlace find_place(const CLI::App& app) {
  WordPlace place{&app, ""};
  for (auto below = app.get_subcommands(); !below.empty(); below = place.app->get_subcommands()) {
    // A word before the command that was not taken is the one to speak of.
    if (place.app->remaining_size() > 0) break;
    place.app = below.front();
    place.name += (place.name.empty() ? "" : " ") + place.app->get_name();
  }
  return place;
}

std::string see_help(const WordPlace& place) { return defused::see_help(place.name); }

// What may have been meant by `word`: near enough that it is no guess.
std::optional<std::string> find_nearest(std::string_view word, const std::vector<std::string>& known) {
  constexpr std::size_t kMostEdits = 2;
  std::optional<std::string> nearest;
  std::size_t edits = 0;
  if (word.size() > kMaxShownWord) return nearest;
  for (const std::string& name : known) {
    const std::size_t distance = edit_distance(word, name);
    if (distance > std::max(kMostEdits, name.size() / 3) || (nearest && distance >= edits)) continue;
    nearest = name;
    edits = distance;
  }
  return nearest;
}

std::vector<std::string> commands_of(const CLI::App& app) {
  std::vector<std::string> out;
  for (const CLI::App* below : app.get_subcommands(nullptr)) {
    if (!below->get_group().empty()) out.push_back(below->get_name());
  }
  return out;
}

std::string list_commands(const CLI::App& app) {
  std::string out;
  for (const std::string& name : commands_of(app)) out += (out.empty() ? "" : ", ") + name;
  return out;
}

std::string call_of(const CLI::Option& option) {
  return option.get_name() + (option.get_positional() ? "" : " " + option.get_type_name());
}

bool is_flag(const CLI::Option& option) { return option.get_items_expected_max() == 0; }

std::string explain_unknown_option(const WordPlace& place, const std::string& typed) {
  const std::string word = typed.substr(0, typed.find('='));
  std::vector<std::string> known;
  for (const CLI::Option* option : place.app->get_options()) {
    if (option->get_positional()) continue;
    for (const std::string& name : option->get_lnames()) known.push_back("--" + name);
  }
  std::string sentence = "unknown option " + sanitize(word, kMaxShownWord);
  if (const auto nearest = find_nearest(word, known)) sentence += "; did you mean " + *nearest + "?";
  return sentence + see_help(place);
}

std::string explain_extra(const WordPlace& place) {
  const auto rest = place.app->remaining();
  const std::string word = rest.empty() ? "" : rest.front();
  if (word.size() > 1 && word.front() == '-' && word != "--") return explain_unknown_option(place, word);
  if (!commands_of(*place.app).empty()) return explain_unknown_command(*place.app, word);
  std::string taken;
  for (const CLI::Option* option : place.app->get_options()) {
    if (option->get_positional()) taken += " " + option->get_name();
  }
  return "one argument too many, " + as_typed_word(word) + ": expected " +
         (taken.empty() ? "none but options" : "only" + taken) + see_help(place);
}

std::string explain_required(const WordPlace& place) {
  for (const CLI::Option* option : place.app->get_options()) {
    if (!option->get_required() || option->count() > 0) continue;
    return call_of(*option) + " is missing: expected defused " + place.name + " " + call_of(*option) + see_help(place);
  }
  return "something is missing" + see_help(place);
}

// CLI11 begins these with the name of the option. Nullptr: it is none of this command's.
const CLI::Option* option_of(const WordPlace& place, std::string_view text) {
  const std::string_view name = text.substr(0, text.find_first_of(": "));
  for (const CLI::Option* option : place.app->get_options()) {
    if (option->get_name() == name || option->check_lname(std::string(name))) return option;
  }
  return nullptr;
}

std::string explain_mismatch(const WordPlace& place, std::string_view text) {
  const CLI::Option* option = option_of(place, text);
  if (option == nullptr) return sanitize(text) + see_help(place);
  if (is_flag(*option)) return option->get_name() + " takes no value" + see_help(place);
  if (option->count() > 1) return option->get_name() + " is given more than once" + see_help(place);
  return option->get_name() + " has no value: expected " + call_of(*option) + see_help(place);
}

}  // namespace

UsageError explain_usage_error(const CLI::App& app, const CLI::ParseError& error) {
  const WordPlace place = find_place(app);
  UsageError out{place.name, ""};
  if (dynamic_cast<const CLI::ExtrasError*>(&error) != nullptr) {
    out.sentence = explain_extra(place);
  } else if (dynamic_cast<const CLI::RequiredError*>(&error) != nullptr) {
    out.sentence = explain_required(place);
  } else if (dynamic_cast<const CLI::ArgumentMismatch*>(&error) != nullptr) {
    out.sentence = explain_mismatch(place, error.what());
  } else {
    // A check of ours: "--every: expected ..".
    out.sentence = sanitize(error.what()) + see_help(place);
  }
  return out;
}

UsageError explain_missing_command(const CLI::App& app) {
  const WordPlace place = find_place(app);
  return {place.name, "a command is missing: expected one of " + list_commands(*place.app) + see_help(place)};
}

std::string explain_unknown_command(const CLI::App& app, const std::string& word) {
  const bool whole = app.get_parent() == nullptr;
  const std::string name = whole ? "" : app.get_name();
  if (commands_of(app).empty()) {
    return "one argument too many, " + as_typed_word(word) + ": " + name + " has no commands of its own" +
           see_help(name);
  }
  std::string sentence = "unknown command " + as_typed_word(word);
  if (const auto nearest = find_nearest(word, commands_of(app))) {
    sentence += "; did you mean " + *nearest + "?";
  } else {
    sentence += ": expected one of " + list_commands(app);
  }
  return sentence + see_help(name);
}

}  // namespace defused
