// SPDX-License-Identifier: Apache-2.0
#include "settings/settings_table.h"

#include <array>
#include <type_traits>

#include "settings/settings_file.h"
#include "settings/text_rules.h"

namespace defused {

namespace {

constexpr auto kWeek = 168h;

// The spellings of the enums of model/settings.h, in their order.
constexpr std::array<std::string_view, 3> kExposeWords = {"redacted", "hidden", "full"};
constexpr std::array<std::string_view, 2> kFormatWords = {"text", "json"};
constexpr std::array<std::string_view, 4> kLevelWords = {"debug", "info", "warning", "error"};
static_assert(static_cast<std::size_t>(ExposeSource::full) + 1 == kExposeWords.size());
static_assert(static_cast<std::size_t>(LogFormat::json) + 1 == kFormatWords.size());
static_assert(static_cast<std::size_t>(LogLevel::error) + 1 == kLevelWords.size());

template <typename Words>
std::vector<std::string_view> all(const Words& words) {
  return {words.begin(), words.end()};
}

std::vector<std::string_view> mode_words() {
  std::vector<std::string_view> words;
  words.reserve(AllWords<Mode>::values.size());
  for (const Mode mode : AllWords<Mode>::values) words.push_back(to_string(mode));
  return words;
}

std::vector<SettingsKey> general_keys() {
  return {{"mode",
           "What the daemon may do: observe; dry_run, which runs every gate and writes nothing; enforce, which aborts",
           WordKey{mode_words(), [](const Settings& s) { return static_cast<std::size_t>(s.policy.mode); },
                   [](Settings& s, std::size_t word) { s.policy.mode = static_cast<Mode>(word); }}},
          {"interval", "Time from the start of one pass to the start of the next",
           DurationKey{[](Settings & s) -> auto& {return s.interval;
}
, 100ms, 10min
}  // namespace
}  // namespace defused
, {"pass_deadline", "A prober that needs longer for one phase of a pass is abandoned and replaced",
   DurationKey{[](Settings & s) -> auto& {return s.pass_deadline;
}
, 100ms, 10min
}
}
, {"max_lost_probers", "With so many unkillable probers left behind, no new one is started",
   CountKey{[](Settings & s) -> auto& {return s.max_lost_probers;
}
, 1, 100
}
}
,
    {"expose_source", "How much of a mount's source is shown; redacted is without user, password and query",
     WordKey{all(kExposeWords), [](const Settings& s) { return static_cast<std::size_t>(s.expose_source); },
             [](Settings& s, std::size_t word) { s.expose_source = static_cast<ExposeSource>(word); }}},
    {"state_directory", "Where ledger and audit are kept", TextKey{[](Settings & s) -> auto& {return s.state_directory;
}
, directory_rule()
}
}
, {"runtime_directory", "Where lock and process records are kept until the next boot",
   TextKey{[](Settings & s) -> auto& {return s.runtime_directory;
}
, directory_rule()
}
}
, {"front_user", "Account of the process that serves HTTP; a fixed free uid where it does not exist",
   TextKey{[](Settings & s) -> auto& {return s.front_user;
}
, account_rule()
}
}
,
}
;
}

std::vector<SettingsKey> judging_keys() {
  return {{"detect.stuck_after", "Without progress for so long, a dying namespace counts as stuck",
           DurationKey{[](Settings & s) -> auto& {return s.detect.stuck_after;
}
, 1s, 24h
}
}
, {"remedy.min_stuck", "A namespace is left alone until it has been stuck for so long",
   DurationKey{[](Settings & s) -> auto& {return s.policy.min_stuck;
}
, 1s, 24h
}
}
, {"remedy.min_samples", "A namespace is left alone until so many samples in a row showed no progress",
   CountKey{[](Settings & s) -> auto& {return s.policy.min_samples;
}
, 2, 1000
}
}
, {"remedy.require_proven", "Act only where the kernel itself names the connection of each server (Linux 6.16)",
   FlagKey{[](Settings & s) -> auto& {return s.policy.require_proven;
}
}
}
, {"remedy.allow.fstypes", "File-system types that may be aborted; * is any text, ? any character",
   TextListKey{[](Settings & s) -> auto& {return s.policy.allow_fstypes;
}
, pattern_rule(), 0, 100
}
}
, {"remedy.deny.fstypes", "File-system types that are never aborted, whatever is allowed",
   TextListKey{[](Settings & s) -> auto& {return s.policy.deny_fstypes;
}
, pattern_rule(), 0, 100
}
}
, {"remedy.cooldown", "No second abort of the same connection within this time",
   DurationKey{[](Settings & s) -> auto& {return s.policy.cooldown;
}
, 0s, kWeek
}
}
, {"remedy.max_aborts", "At most so many aborts on this host in one window",
   CountKey{[](Settings & s) -> auto& {return s.policy.max_aborts;
}
, 1, 1000
}
}
, {"remedy.max_aborts_window", "The window that max_aborts speaks of",
   DurationKey{[](Settings & s) -> auto& {return s.policy.max_aborts_window;
}
, 1s, kWeek
}
}
, {"remedy.watch", "How long a namespace may take to go after the abort before it counts as not released",
   DurationKey{[](Settings & s) -> auto& {return s.remedy.watch;
}
, 100ms, 10min
}
}
,
}
;
}

std::vector<SettingsKey> output_keys() {
  return {{"web.listen_addresses", "Where HTTP is served; :PORT alone means all addresses",
           TextListKey{[](Settings & s) -> auto& {return s.web.listen_addresses;
}
, listen_address_rule(), 1, 16
}
}
, {"web.telemetry_path", "The page with the metrics", TextKey{[](Settings & s) -> auto& {return s.web.telemetry_path;
}
, telemetry_path_rule()
}
}
,
    {"log.format", "The form of a log line",
     WordKey{all(kFormatWords), [](const Settings& s) { return static_cast<std::size_t>(s.log.format); },
             [](Settings& s, std::size_t word) { s.log.format = static_cast<LogFormat>(word); }}},
    {"log.level", "The least important messages that are logged",
     WordKey{all(kLevelWords), [](const Settings& s) { return static_cast<std::size_t>(s.log.level); },
             [](Settings& s, std::size_t word) { s.log.level = static_cast<LogLevel>(word); }}},
}
;
}

std::string describe(const DurationKey& key) {
  return "a duration such as \"5s\" between " + format_duration(key.min) + " and " + format_duration(key.max);
}
std::string describe(const CountKey& key) {
  return "a whole number between " + std::to_string(key.min) + " and " + std::to_string(key.max);
}
std::string describe(const FlagKey& /*key*/) { return "true or false"; }
std::string describe(const WordKey& key) {
  std::string text = "one of";
  const char* separator = " \"";
  for (const std::string_view word : key.words) {
    text.append(separator).append(word).append("\"");
    separator = ", \"";
  }
  return text;
}
std::string describe(const TextKey& key) { return std::string(key.rule.expected); }
std::string describe(const TextListKey& key) {
  return "a list of " + std::to_string(key.min_items) + " to " + std::to_string(key.max_items) +
         " different items, each " + std::string(key.rule.expected);
}

}  // namespace

const std::vector<SettingsKey>& settings_table() {
  static const std::vector<SettingsKey> kTable = [] {
    std::vector<SettingsKey> keys = general_keys();
    for (const auto& group : {judging_keys(), output_keys()}) keys.insert(keys.end(), group.begin(), group.end());
    return keys;
  }();
  return kTable;
}

std::string describe_expected(const SettingsKey& key) {
  return std::visit([](const auto& value) { return describe(value); }, key.value);
}

std::optional<std::string> find_contradiction(const Settings& settings) {
  if (settings.policy.min_stuck < settings.detect.stuck_after) {
    return "remedy.min_stuck: " + format_duration(settings.policy.min_stuck) + " is less than the " +
           format_duration(settings.detect.stuck_after) + " of detect.stuck_after";
  }
  return std::nullopt;
}

}  // namespace defused
