// SPDX-License-Identifier: Apache-2.0
// What is made from the table: the JSON schema, and the commented configuration with all defaults.
#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <string>
#include <variant>
#include <vector>

#include "base/text.h"
#include "settings/settings_file.h"
#include "settings/settings_table.h"
#include "settings/text_rules.h"

namespace defused {

namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kIndent = 2;

Json value_in(Settings& settings, const DurationKey& key) { return format_duration(key.at(settings)); }
Json value_in(Settings& settings, const SizeKey& key) { return format_size(key.at(settings)); }
Json value_in(Settings& settings, const CountKey& key) { return key.at(settings); }
Json value_in(Settings& settings, const FlagKey& key) { return key.at(settings); }
Json value_in(Settings& settings, const WordKey& key) { return std::string(key.words[key.get(settings)]); }
Json value_in(Settings& settings, const TextKey& key) { return key.at(settings); }
Json value_in(Settings& settings, const TextListKey& key) { return key.at(settings); }
Json value_in(Settings& settings, const CommandKey& key) { return key.at(settings); }

Json value_in(Settings& settings, const SettingsKey& key) {
  return std::visit([&](const auto& value) { return value_in(settings, value); }, key.value);
}

Json default_of(const SettingsKey& key) {
  Settings defaults;
  return value_in(defaults, key);
}

// What judging rests on: nothing that only this host knows what to do with, such as paths, hooks and addresses.
bool serves_report(std::string_view path) {
  constexpr std::array<std::string_view, 9> kPaths = {"mode",
                                                      "expose_source",
                                                      "remedy.min_stuck",
                                                      "remedy.min_samples",
                                                      "remedy.require_proven",
                                                      "remedy.cooldown",
                                                      "remedy.max_aborts",
                                                      "remedy.max_aborts_window",
                                                      "remedy.breaker_failures"};
  constexpr std::array<std::string_view, 3> kGroups = {"detect.", "remedy.allow.", "remedy.deny."};
  const auto begins = [&](std::string_view group) { return path.substr(0, group.size()) == group; };
  return std::find(kPaths.begin(), kPaths.end(), path) != kPaths.end() ||
         std::any_of(kGroups.begin(), kGroups.end(), begins);
}

std::string on_one_line(const Json& value) {
  if (!value.is_array()) return value.dump();
  std::string text = "[";
  for (const Json& element : value) text += (text.size() > 1 ? ", " : "") + element.dump();
  return text + "]";
}

Json type_of(const DurationKey& /*key*/) {
  return {{"type", "string"}, {"pattern", "^([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?([0-9]+us)?([0-9]+ns)?$"}};
}
Json type_of(const SizeKey& /*key*/) { return {{"type", "string"}, {"pattern", "^[0-9]+(B|KiB|MiB|GiB)$"}}; }
Json type_of(const CountKey& key) { return {{"type", "integer"}, {"minimum", key.min}, {"maximum", key.max}}; }
Json type_of(const FlagKey& /*key*/) { return {{"type", "boolean"}}; }
Json type_of(const WordKey& key) {
  Json words = Json::array();
  for (const std::string_view word : key.words) words.push_back(std::string(word));
  return {{"enum", words}};
}
Json type_of(const TextKey& key) { return {{"type", "string"}, {"pattern", std::string(key.rule.pattern)}}; }
Json type_of(const TextListKey& key) {
  return {{"type", "array"},
          {"items", {{"type", "string"}, {"pattern", std::string(key.rule.pattern)}}},
          {"minItems", key.min_items},
          {"maxItems", key.max_items},
          {"uniqueItems", true}};
}
Json type_of(const CommandKey& /*key*/) {
  const auto text = [](const TextRule& rule) {
    return Json{{"type", "string"}, {"pattern", std::string(rule.pattern)}};
  };
  return {{"type", "array"},
          {"prefixItems", Json::array({text(program_rule())})},
          {"items", text(argument_rule())},
          {"maxItems", kMaxCommandItems}};
}

// The schema of the object that holds the keys below `group` ("" for the whole).
Json& object_at(Json& root, std::string_view group) {
  Json* object = &root;
  for (const std::string_view part : split_fields(group, '.')) object = &(*object)["properties"][std::string(part)];
  if (!object->contains("type")) {
    (*object)["type"] = "object";
    (*object)["additionalProperties"] = false;
  }
  return *object;
}

std::string_view group_of(std::string_view path) {
  const std::size_t dot = path.rfind('.');
  return dot == std::string_view::npos ? std::string_view() : path.substr(0, dot);
}

// Writes keys as nested objects with a comment above each; neighbours in the table share their objects.
class DefaultsWriter {
 public:
  void add(const SettingsKey& key) {
    const auto parts = split_fields(key.path, '.');
    std::size_t shared = 0;
    while (shared < open_.size() && shared + 1 < parts.size() && open_[shared] == parts[shared]) ++shared;
    close_to(shared);
    separate();
    for (; shared + 1 < parts.size(); ++shared) {
      line("\"" + std::string(parts[shared]) + "\": {");
      open_.push_back(parts[shared]);
    }
    line("// " + std::string(key.about) + ".");
    line("// Takes " + describe_expected(key) + ".");
    text_ += std::string(indent(), ' ') + "\"" + std::string(parts.back()) + "\": " + on_one_line(default_of(key));
    in_object_ = true;
  }
  std::string finish() {
    close_to(0);
    return text_ + "\n}\n";
  }

 private:
  [[nodiscard]] std::size_t indent() const { return kIndent * (open_.size() + 1); }
  void line(const std::string& content) { text_ += std::string(indent(), ' ') + content + "\n"; }
  void separate() {
    text_ += in_object_ ? ",\n" : "\n";
    in_object_ = false;
  }
  void close_to(std::size_t depth) {
    while (open_.size() > depth) {
      open_.pop_back();
      text_ += "\n" + std::string(indent(), ' ') + "}";
      in_object_ = true;
    }
  }

  std::string text_ = "{";
  std::vector<std::string_view> open_;  // names of the objects around the next key
  bool in_object_ = false;              // something stands before it
};

}  // namespace

std::string render_settings_schema() {
  Json schema = {{"$schema", "https://json-schema.org/draft/2020-12/schema"},
                 {"title", "Configuration of defused"},
                 {"type", "object"},
                 {"additionalProperties", false},
                 {"properties", Json::object()}};
  for (const SettingsKey& key : settings_table()) {
    Json entry = {{"description", std::string(key.about) + ". Takes " + describe_expected(key) + "."}};
    entry.update(std::visit([](const auto& value) { return type_of(value); }, key.value));
    entry["default"] = default_of(key);
    const std::string_view name = key.path.substr(key.path.rfind('.') + 1);
    object_at(schema, group_of(key.path))["properties"][std::string(name)] = std::move(entry);
  }
  return schema.dump(kIndent, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string render_default(std::string_view path) {
  for (const SettingsKey& key : settings_table()) {
    if (key.path == path) return on_one_line(default_of(key));
  }
  return {};
}

std::string render_report_settings(const Settings& settings) {
  Settings values = settings;
  Json root = Json::object();
  for (const SettingsKey& key : settings_table()) {
    if (!serves_report(key.path)) continue;
    Json* object = &root;
    for (const std::string_view part : split_fields(group_of(key.path), '.')) object = &(*object)[std::string(part)];
    (*object)[std::string(key.path.substr(key.path.rfind('.') + 1))] = value_in(values, key);
  }
  return root.dump(kIndent, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string render_default_settings() {
  DefaultsWriter writer;
  for (const SettingsKey& key : settings_table()) writer.add(key);
  return "// Configuration of defused: every key with its default. Comments are allowed, unknown keys are not.\n" +
         writer.finish();
}

}  // namespace defused
