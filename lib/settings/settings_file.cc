// SPDX-License-Identifier: Apache-2.0
#include "settings/settings_file.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <utility>
#include <variant>
#include <vector>

#include "base/text.h"
#include "settings/nearest_path.h"
#include "settings/regular_file.h"
#include "settings/settings_table.h"

namespace defused {

namespace {

using nlohmann::json;

constexpr std::size_t kMaxShownBytes = 64;  // of a hostile key or value in an error

std::string quote(std::string_view text) { return '"' + sanitize(text, kMaxShownBytes) + '"'; }

/// A value as it stood in the file, and how an error shows it.
struct Given {
  std::variant<std::monostate, bool, std::uint64_t, std::string, std::vector<std::string>> value;
  std::string shown;
};

// ---- Given -> Settings; false: not what the key takes. The items of a list were looked at one by one before.

bool store(const DurationKey& key, const Given& given, Settings& settings) {
  const auto* text = std::get_if<std::string>(&given.value);
  if (text == nullptr) return false;
  const auto duration = parse_duration(*text);
  if (!duration || *duration < key.min || *duration > key.max) return false;
  key.at(settings) = *duration;
  return true;
}

bool store(const SizeKey& key, const Given& given, Settings& settings) {
  const auto* text = std::get_if<std::string>(&given.value);
  if (text == nullptr) return false;
  const auto bytes = parse_size(*text);
  if (!bytes || *bytes < key.min || *bytes > key.max) return false;
  key.at(settings) = *bytes;
  return true;
}

bool store(const CountKey& key, const Given& given, Settings& settings) {
  const auto* number = std::get_if<std::uint64_t>(&given.value);
  if (number == nullptr || *number < key.min || *number > key.max) return false;
  key.at(settings) = static_cast<std::uint32_t>(*number);
  return true;
}

bool store(const FlagKey& key, const Given& given, Settings& settings) {
  const auto* flag = std::get_if<bool>(&given.value);
  if (flag != nullptr) key.at(settings) = *flag;
  return flag != nullptr;
}

bool store(const WordKey& key, const Given& given, Settings& settings) {
  const auto* text = std::get_if<std::string>(&given.value);
  if (text == nullptr) return false;
  const auto found = std::find(key.words.begin(), key.words.end(), *text);
  if (found == key.words.end()) return false;
  key.set(settings, static_cast<std::size_t>(found - key.words.begin()));
  return true;
}

bool store(const TextKey& key, const Given& given, Settings& settings) {
  const auto* text = std::get_if<std::string>(&given.value);
  if (text == nullptr || !key.rule.fits(*text)) return false;
  key.at(settings) = *text;
  return true;
}

bool store(const TextListKey& key, const Given& given, Settings& settings) {
  const auto* texts = std::get_if<std::vector<std::string>>(&given.value);
  if (texts == nullptr || texts->size() < key.min_items || texts->size() > key.max_items) return false;
  const std::set<std::string_view> distinct(texts->begin(), texts->end());
  if (distinct.size() != texts->size()) return false;
  key.at(settings) = *texts;
  return true;
}

bool store(const CommandKey& key, const Given& given, Settings& settings) {
  const auto* texts = std::get_if<std::vector<std::string>>(&given.value);
  if (texts == nullptr || texts->size() > kMaxCommandItems) return false;
  key.at(settings) = *texts;
  return true;
}

// ---- keys

const SettingsKey* find_key(std::string_view path) {
  for (const SettingsKey& key : settings_table()) {
    if (key.path == path) return &key;
  }
  return nullptr;
}

bool lies_in(std::string_view path, std::string_view group) {
  return path.size() > group.size() && path.substr(0, group.size()) == group && path[group.size()] == '.';
}

bool is_group(std::string_view path) {
  const auto& table = settings_table();
  return std::any_of(table.begin(), table.end(), [&](const SettingsKey& key) { return lies_in(key.path, path); });
}

// The known path, of a key or of an object around keys, that `path` was probably meant to be; else "".
std::string_view nearest_known(std::string_view path) {
  std::vector<std::string_view> known;
  for (const SettingsKey& key : settings_table()) {
    known.push_back(key.path);
    for (std::size_t dot = key.path.find('.'); dot != std::string_view::npos; dot = key.path.find('.', dot + 1)) {
      known.push_back(key.path.substr(0, dot));
    }
  }
  return nearest_path(path, known);
}

// Takes the events of nlohmann's parser and stores each value as it comes. No tree is built, and only known objects are
// entered, so nesting is bounded by the table. The first error ends the parse.
class SettingsReader final : public json::json_sax_t {
 public:
  explicit SettingsReader(Settings& settings) : settings_(settings) {}
  /// What is wrong, without the name of the file.
  [[nodiscard]] const std::string& error() const { return error_; }

  bool null() override { return take({std::monostate(), "null"}); }
  bool boolean(bool value) override { return take({value, value ? "true" : "false"}); }
  bool number_integer(number_integer_t value) override { return take({std::monostate(), std::to_string(value)}); }
  bool number_unsigned(number_unsigned_t value) override { return take({value, std::to_string(value)}); }
  bool number_float(number_float_t /*value*/, const string_t& text) override {
    return take({std::monostate(), sanitize(text, kMaxShownBytes)});
  }
  bool string(string_t& value) override { return take({value, quote(value)}); }
  bool binary(binary_t& /*value*/) override { return false; }  // JSON text has none

  bool start_object(std::size_t /*elements*/) override {
    if (groups_.empty() || (!list_ && is_group(path_))) {
      groups_.push_back(path_);
      return true;
    }
    return mismatch("an object");
  }
  bool key(string_t& name) override {
    const std::string& group = groups_.back();
    path_ = group.empty() ? name : group + "." + name;
    const std::string shown = sanitize(path_, kMaxShownBytes);
    if (name.find('.') != std::string::npos) {
      return refuse(shown + ": unknown key; a dot is written as an object within an object");
    }
    if (find_key(path_) == nullptr && !is_group(path_)) {
      const std::string_view meant = nearest_known(path_);
      return refuse(shown + ": unknown key" + (meant.empty() ? "" : "; did you mean " + quote(meant) + "?"));
    }
    return seen_.insert(path_).second || refuse(shown + ": given twice");
  }
  bool end_object() override {
    groups_.pop_back();
    return true;
  }
  bool start_array(std::size_t /*elements*/) override {
    const SettingsKey* key = find_key(path_);
    if (list_ || key == nullptr || !rule_of_item(*key, 0)) return mismatch("a list");
    list_.emplace();
    return true;
  }
  bool end_array() override {
    const std::size_t size = list_->size();
    Given given{*std::exchange(list_, std::nullopt), "a list of " + std::to_string(size)};
    return take(given);
  }
  bool parse_error(std::size_t /*position*/, const std::string& /*token*/,
                   const nlohmann::detail::exception& problem) override {
    // "[json.exception.parse_error.101] parse error at line 2, column 5: syntax error while parsing ..."
    const std::string_view text = problem.what();
    const std::size_t at = text.find("line ");
    return refuse(sanitize(at == std::string_view::npos ? text.substr(text.find(' ') + 1) : text.substr(at)));
  }

 private:
  bool refuse(std::string error) {
    error_ = std::move(error);
    return false;
  }

  // The value at path_ is not what is expected there.
  bool mismatch(const std::string& shown) {
    if (groups_.empty()) return refuse("expected an object, got " + shown);
    const SettingsKey* key = find_key(path_);
    return refuse(path_ + ": expected " + (key == nullptr ? "an object" : describe_expected(*key)) + ", got " + shown);
  }

  bool take(const Given& given) {
    const SettingsKey* key = groups_.empty() ? nullptr : find_key(path_);
    if (key == nullptr) return mismatch(given.shown);
    if (list_) {
      const auto* text = std::get_if<std::string>(&given.value);
      const auto rule = rule_of_item(*key, list_->size());
      if (text == nullptr || !rule->fits(*text)) return mismatch(given.shown + " in it");
      list_->push_back(*text);
      return true;
    }
    const bool stored = std::visit([&](const auto& value) { return store(value, given, settings_); }, key->value);
    return stored || mismatch(given.shown);
  }

  Settings& settings_;
  std::vector<std::string> groups_;  // paths of the objects around, outermost ("") first
  std::string path_;                 // of the key at hand
  std::set<std::string> seen_;
  std::optional<std::vector<std::string>> list_;  // being collected
  std::string error_;
};

}  // namespace

Result<Settings> parse_settings(std::string_view text, std::string_view where) {
  const std::string prefix = std::string(where) + ": ";
  if (text.size() > kMaxSettingsBytes) {
    return fail(ErrorKind::malformed, prefix + "larger than " + std::to_string(kMaxSettingsBytes) + " bytes");
  }
  Settings settings;
  SettingsReader reader(settings);
  if (!json::sax_parse(text, &reader, json::input_format_t::json, true, true)) {
    return fail(ErrorKind::malformed, prefix + reader.error());
  }
  if (const auto contradiction = find_contradiction(settings)) {
    return fail(ErrorKind::malformed, prefix + *contradiction);
  }
  return settings;
}

Result<Settings> read_settings(const std::string& path) {
  const auto text = read_regular_file(path, kMaxSettingsBytes);
  if (!text) return Failure(text.error());
  return parse_settings(*text, path);
}

Result<void> check_text(std::string_view path, const std::string& value) {
  const SettingsKey* key = find_key(path);
  const auto* text = key == nullptr ? nullptr : std::get_if<TextKey>(&key->value);
  if (text != nullptr && text->rule.fits(value)) return {};
  const std::string expected = text == nullptr ? "no text" : describe_expected(*key);
  return fail(ErrorKind::malformed, "expected " + expected + ", got " + quote(value));
}

}  // namespace defused
