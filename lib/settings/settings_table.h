// SPDX-License-Identifier: Apache-2.0
// The one table of all configuration keys: path, type, range, meaning and where the value lives in Settings. Parsing,
// the schema and the shipped configuration are all made from it; defaults are those of a fresh Settings. Knows no JSON.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/clock.h"
#include "model/settings.h"

namespace defused {

/// What one text must look like.
struct TextRule {
  std::string_view expected;         ///< completes "expected ..."
  std::string_view pattern;          ///< the same for the schema, roughly: a regular expression
  bool (*fits)(std::string_view){};  ///< the exact rule
};

struct DurationKey {
  Nanoseconds& (*at)(Settings&){};
  Nanoseconds min{0};
  Nanoseconds max{0};
};
struct SizeKey {
  std::uint64_t& (*at)(Settings&){};
  std::uint64_t min = 0;  ///< bytes
  std::uint64_t max = 0;
};
struct CountKey {
  std::uint32_t& (*at)(Settings&){};
  std::uint32_t min = 0;
  std::uint32_t max = 0;
};
struct FlagKey {
  bool& (*at)(Settings&){};
};
/// One of `words`; get and set speak of its index.
struct WordKey {
  std::vector<std::string_view> words;
  std::size_t (*get)(const Settings&){};
  void (*set)(Settings&, std::size_t){};
};
struct TextKey {
  std::string& (*at)(Settings&){};
  TextRule rule;
};
/// A list of distinct texts.
struct TextListKey {
  std::vector<std::string>& (*at)(Settings&){};
  TextRule rule;  ///< of one of them
  std::size_t min_items = 0;
  std::size_t max_items = 0;
};

inline constexpr std::size_t kMaxCommandItems = 64;
/// A program by its absolute path, then its arguments; an empty list is none.
struct CommandKey {
  std::vector<std::string>& (*at)(Settings&){};
};

struct SettingsKey {
  std::string_view path;   ///< "remedy.min_stuck": the objects around it, then its name
  std::string_view about;  ///< what it does, one line, no full stop
  std::variant<DurationKey, SizeKey, CountKey, FlagKey, WordKey, TextKey, TextListKey, CommandKey> value;
};

/// All keys, those of one object side by side.
const std::vector<SettingsKey>& settings_table();

/// What `key` takes, to complete "expected ...": `a duration such as "5s" between 100ms and 10m`.
std::string describe_expected(const SettingsKey& key);

/// What the item at `index` of the list that `key` takes must look like; nothing where it takes no list.
std::optional<TextRule> rule_of_item(const SettingsKey& key, std::size_t index);

/// One sentence about values that are fine alone but not together, or nothing.
std::optional<std::string> find_contradiction(const Settings& settings);

}  // namespace defused
