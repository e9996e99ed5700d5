// SPDX-License-Identifier: Apache-2.0
#include "settings/settings_table.h"

#include <array>

#include "settings/settings_file.h"
#include "settings/text_rules.h"

namespace defused {

namespace {

using Texts = std::vector<std::string>;

constexpr auto kWeek = 168h;
constexpr std::uint64_t kMiB = 1U << 20U;
constexpr std::uint64_t kGiB = 1U << 30U;
constexpr std::size_t kMaxPatterns = 100;  // of one list: all of them are asked for each connection in each pass

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
  return {
      {"mode",
       "What the daemon may do: observe; dry_run, which runs every gate and writes nothing; enforce, which aborts",
       WordKey{mode_words(), [](const Settings& s) { return static_cast<std::size_t>(s.policy.mode); },
               [](Settings& s, std::size_t word) { s.policy.mode = static_cast<Mode>(word); }}},
      {"interval", "Time from the start of one pass to the start of the next",
       DurationKey{[](Settings& s) -> Nanoseconds& { return s.interval; }, 100ms, 10min}},
      {"pass_deadline", "A prober that needs longer for one phase of a pass is abandoned and replaced",
       DurationKey{[](Settings& s) -> Nanoseconds& { return s.pass_deadline; }, 100ms, 10min}},
      {"max_lost_probers", "With so many unkillable probers left behind, no new one is started",
       CountKey{[](Settings& s) -> std::uint32_t& { return s.max_lost_probers; }, 1, 100}},
      {"expose_source", "How much of a mount's source is shown; redacted is without user, password and query",
       WordKey{all(kExposeWords), [](const Settings& s) { return static_cast<std::size_t>(s.expose_source); },
               [](Settings& s, std::size_t word) { s.expose_source = static_cast<ExposeSource>(word); }}},
      {"state_directory", "Where ledger and audit are kept",
       TextKey{[](Settings& s) -> std::string& { return s.state_directory; }, directory_rule()}},
      {"runtime_directory", "Where lock and process records are kept until the next boot",
       TextKey{[](Settings& s) -> std::string& { return s.runtime_directory; }, directory_rule()}},
      {"front_user", "Account of the process that serves HTTP; a fixed free uid where it does not exist",
       TextKey{[](Settings& s) -> std::string& { return s.front_user; }, account_rule()}},
      {"detect.stuck_after", "Without progress for so long, a dying namespace counts as stuck",
       DurationKey{[](Settings& s) -> Nanoseconds& { return s.detect.stuck_after; }, 1s, 24h}},
  };
}

std::vector<SettingsKey> proof_keys() {
  return {
      {"remedy.min_stuck", "A namespace is left alone until it has been stuck for so long",
       DurationKey{[](Settings& s) -> Nanoseconds& { return s.policy.min_stuck; }, 1s, 24h}},
      {"remedy.min_samples", "A namespace is left alone until so many samples in a row showed no progress",
       CountKey{[](Settings& s) -> std::uint32_t& { return s.policy.min_samples; }, 2, 1000}},
      {"remedy.require_proven",
       "Act only where the kernel itself names the connection of each server (BPF, or Linux 6.16)",
       FlagKey{[](Settings& s) -> bool& { return s.policy.require_proven; }}},
      {"remedy.require_host_pid_namespace",
       "Act only in the PID namespace of the host, where every process that may answer is seen",
       FlagKey{[](Settings& s) -> bool& { return s.policy.require_host_pid_namespace; }}},
  };
}

TextListKey patterns(Texts& (*at)(Settings&), TextRule rule) { return {at, rule, 0, kMaxPatterns}; }

std::vector<SettingsKey> allow_keys() {
  return {
      {"remedy.allow.fstypes", "File-system types that may be aborted; * is any text, ? any character",
       patterns([](Settings& s) -> Texts& { return s.policy.allow.fstypes; }, fstype_rule())},
      {"remedy.allow.sources", "If not empty, only connections with such a source of the mount",
       patterns([](Settings& s) -> Texts& { return s.policy.allow.sources; }, source_rule())},
      {"remedy.allow.mount_points", "If not empty, only connections of which every mount point is such a one",
       patterns([](Settings& s) -> Texts& { return s.policy.allow.mount_points; }, mount_point_rule())},
      {"remedy.allow.container_ids", "If not empty, only namespaces of such a container",
       patterns([](Settings& s) -> Texts& { return s.policy.allow.container_ids; }, container_id_rule())},
      {"remedy.allow.pod_uids", "If not empty, only namespaces of such a pod",
       patterns([](Settings& s) -> Texts& { return s.policy.allow.pod_uids; }, pod_uid_rule())},
      {"remedy.allow.cgroups", "If not empty, only namespaces whose init is in such a control group",
       patterns([](Settings& s) -> Texts& { return s.policy.allow.cgroups; }, cgroup_rule())},
  };
}

std::vector<SettingsKey> deny_keys() {
  return {
      {"remedy.deny.fstypes", "File-system types that are never aborted, whatever is allowed",
       patterns([](Settings& s) -> Texts& { return s.policy.deny.fstypes; }, fstype_rule())},
      {"remedy.deny.sources", "Sources of a mount that are never aborted",
       patterns([](Settings& s) -> Texts& { return s.policy.deny.sources; }, source_rule())},
      {"remedy.deny.mount_points", "A connection is never aborted if one of its mount points is such a one",
       patterns([](Settings& s) -> Texts& { return s.policy.deny.mount_points; }, mount_point_rule())},
      {"remedy.deny.container_ids", "Nothing is aborted for such a container, nor what such a one serves or sees",
       patterns([](Settings& s) -> Texts& { return s.policy.deny.container_ids; }, container_id_rule())},
      {"remedy.deny.pod_uids", "Nothing is aborted for such a pod, nor what such a one serves or sees",
       patterns([](Settings& s) -> Texts& { return s.policy.deny.pod_uids; }, pod_uid_rule())},
      {"remedy.deny.cgroups", "Nothing is aborted for a namespace whose init is in such a control group",
       patterns([](Settings& s) -> Texts& { return s.policy.deny.cgroups; }, cgroup_rule())},
  };
}

std::vector<SettingsKey> remedy_keys() {
  return {
      {"remedy.cooldown", "No second abort of the same connection within this time",
       DurationKey{[](Settings& s) -> Nanoseconds& { return s.policy.cooldown; }, 0s, kWeek}},
      {"remedy.max_aborts", "At most so many aborts on this host in one window",
       CountKey{[](Settings& s) -> std::uint32_t& { return s.policy.max_aborts; }, 1, 1000}},
      {"remedy.max_aborts_window", "The window that max_aborts speaks of",
       DurationKey{[](Settings& s) -> Nanoseconds& { return s.policy.max_aborts_window; }, 1s, kWeek}},
      {"remedy.breaker_failures",
       "So many failed actions in a row stop all others until an operator resets the breaker",
       CountKey{[](Settings& s) -> std::uint32_t& { return s.policy.breaker_failures; }, 1, 100}},
      {"remedy.watch", "How long a namespace may take to go after the abort before it counts as not released",
       DurationKey{[](Settings& s) -> Nanoseconds& { return s.remedy.watch; }, 100ms, 10min}},
      {"remedy.before_hook",
       "A command that is asked before each abort, with the record on its standard input; not a shell",
       CommandKey{[](Settings& s) -> Texts& { return s.remedy.before_hook; }}},
      {"remedy.after_hook", "A command that is told of each outcome; not a shell",
       CommandKey{[](Settings& s) -> Texts& { return s.remedy.after_hook; }}},
      {"remedy.hook_timeout", "A hook that runs longer is ended; before an abort, that is a veto",
       DurationKey{[](Settings& s) -> Nanoseconds& { return s.remedy.hook_timeout; }, 100ms, 5min}},
      {"remedy.evidence_bundles", "So many bundles of evidence are kept, one for each action; 0: none is made",
       CountKey{[](Settings& s) -> std::uint32_t& { return s.remedy.evidence_bundles; }, 0, 1000}},
      {"remedy.evidence_bytes", "What all bundles of evidence together may take; the oldest go first",
       SizeKey{[](Settings& s) -> std::uint64_t& { return s.remedy.evidence_bytes; }, kMiB, 10 * kGiB}},
  };
}

std::vector<SettingsKey> output_keys() {
  return {
      {"audit.max_bytes", "The audit log is renamed at this size, and another begun",
       SizeKey{[](Settings& s) -> std::uint64_t& { return s.audit.max_bytes; }, kMiB, kGiB}},
      {"audit.max_files", "So many renamed audit logs are kept beside the one that is written",
       CountKey{[](Settings& s) -> std::uint32_t& { return s.audit.max_files; }, 0, 100}},
      {"web.listen_addresses", "Where HTTP is served; :PORT alone means all addresses",
       TextListKey{[](Settings& s) -> Texts& { return s.web.listen_addresses; }, listen_address_rule(), 1, 16}},
      {"web.telemetry_path", "The page with the metrics",
       TextKey{[](Settings& s) -> std::string& { return s.web.telemetry_path; }, telemetry_path_rule()}},
      {"web.config_file", "TLS, passwords and headers, in the terms of Prometheus' exporter-toolkit; empty: plain HTTP",
       TextKey{[](Settings& s) -> std::string& { return s.web.config_file; }, optional_path_rule()}},
      {"textfile.directory", "Where defused.prom is written for node_exporter's textfile collector; empty: nowhere",
       TextKey{[](Settings& s) -> std::string& { return s.textfile.directory; }, optional_path_rule()}},
      {"log.format", "The form of a log line",
       WordKey{all(kFormatWords), [](const Settings& s) { return static_cast<std::size_t>(s.log.format); },
               [](Settings& s, std::size_t word) { s.log.format = static_cast<LogFormat>(word); }}},
      {"log.level", "The least important messages that are logged",
       WordKey{all(kLevelWords), [](const Settings& s) { return static_cast<std::size_t>(s.log.level); },
               [](Settings& s, std::size_t word) { s.log.level = static_cast<LogLevel>(word); }}},
  };
}

std::string describe(const DurationKey& key) {
  return "a duration such as \"5s\" between " + format_duration(key.min) + " and " + format_duration(key.max);
}
std::string describe(const SizeKey& key) {
  return "a size such as \"64MiB\" between " + format_size(key.min) + " and " + format_size(key.max);
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

std::string describe(const CommandKey& /*key*/) {
  return "a list of " + std::string(program_rule().expected) + " and up to " + std::to_string(kMaxCommandItems - 1) +
         " arguments, each " + std::string(argument_rule().expected) + "; an empty list is none";
}

}  // namespace

const std::vector<SettingsKey>& settings_table() {
  static const std::vector<SettingsKey> kTable = [] {
    std::vector<SettingsKey> keys = general_keys();
    for (const auto& group : {proof_keys(), allow_keys(), deny_keys(), remedy_keys(), output_keys()}) {
      keys.insert(keys.end(), group.begin(), group.end());
    }
    return keys;
  }();
  return kTable;
}

std::string describe_expected(const SettingsKey& key) {
  return std::visit([](const auto& value) { return describe(value); }, key.value);
}

std::optional<TextRule> rule_of_item(const SettingsKey& key, std::size_t index) {
  if (const auto* list = std::get_if<TextListKey>(&key.value)) return list->rule;
  if (std::holds_alternative<CommandKey>(key.value)) return index == 0 ? program_rule() : argument_rule();
  return std::nullopt;
}

std::optional<std::string> find_contradiction(const Settings& settings) {
  if (settings.policy.min_stuck < settings.detect.stuck_after) {
    return "remedy.min_stuck: " + format_duration(settings.policy.min_stuck) + " is less than the " +
           format_duration(settings.detect.stuck_after) + " of detect.stuck_after";
  }
  return std::nullopt;
}

}  // namespace defused
