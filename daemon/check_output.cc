// SPDX-License-Identifier: Apache-2.0
#include "daemon/check_output.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "base/text.h"

namespace defused {

namespace {

// max_output_length of node-problem-detector by default (pkg/custompluginmonitor/types/config.go).
constexpr std::size_t kNodeProblemBytes = 80;

std::string upper(std::string_view word) {
  std::string out(word);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c; });
  return out;
}

// Counts as whole numbers, times to the millisecond.
std::string render_value(const CheckMeasure& measure) {
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), measure.unit == "s" ? "%.3f" : "%.0f", measure.value);
  return text.data();
}

// 'label'=value[unit];[warning];[critical];[minimum]: none of our labels needs the quotes.
std::string render_measure(const CheckMeasure& measure) {
  return measure.label + "=" + render_value(measure) + std::string(measure.unit) + ";" + std::string(measure.warning) +
         ";" + std::string(measure.critical) + ";0";
}

nlohmann::ordered_json render_problem(const CheckProblem& problem) {
  nlohmann::ordered_json out;
  out["state"] = to_string(problem.state);
  out["what"] = to_string(problem.kind);
  out["text"] = problem.text;
  if (problem.pid_namespace) out["pid_namespace"] = problem.pid_namespace->inode;
  if (problem.connection) out["connection"] = problem.connection->kernel_dev;
  if (!problem.container.empty()) out["container"] = problem.container;
  if (problem.age > Nanoseconds(0)) out["age_seconds"] = to_seconds(problem.age);
  if (!problem.command.empty()) out["command"] = problem.command;
  return out;
}

// On a character's boundary, with ".." where something was cut.
std::string cut_bytes(const std::string& text, std::size_t most) {
  if (text.size() <= most) return text;
  std::size_t end = most - 2;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U) --end;
  return text.substr(0, end) + "..";
}

}  // namespace

std::string escape_for_monitoring(std::string_view text) {
  constexpr std::string_view kSpecial = "|~$&'\"<>`";
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string out;
  // Four characters for each byte is the most that it can become.
  for (const char c : sanitize(text, text.size() * 4)) {
    if (kSpecial.find(c) == std::string_view::npos) {
      out += c;
      continue;
    }
    const auto byte = static_cast<unsigned char>(c);
    out += std::string("\\x") + kDigits[byte >> 4U] + kDigits[byte & 15U];
  }
  return out;
}

std::string render_plugin(const CheckResult& result) {
  std::string out = "DEFUSED " + upper(to_string(result.state)) + ": " + escape_for_monitoring(result.summary);
  const char* separator = " | ";
  for (const CheckMeasure& measure : result.measures) {
    out += separator + render_measure(measure);
    separator = " ";
  }
  out += "\n";
  const bool said = result.problems.size() == 1 && result.problems.front().text == result.summary;
  const std::size_t shown = std::min(result.problems.size(), kMostProblemLines);
  for (std::size_t i = 0; i < shown; ++i) {
    const CheckProblem& problem = result.problems[i];
    if (said && problem.command.empty()) continue;
    out += upper(to_string(problem.state)) + ": " + escape_for_monitoring(problem.text);
    if (!problem.command.empty()) out += "; to type: " + escape_for_monitoring(problem.command);
    out += "\n";
  }
  if (result.problems.size() > shown) {
    out += "and " + std::to_string(result.problems.size() - shown) + " more: see defused scan\n";
  }
  for (const std::string& note : result.notes) out += "note: " + escape_for_monitoring(note) + "\n";
  return out;
}

std::string render_node_problem(const CheckResult& result) {
  return cut_bytes(escape_for_monitoring(result.brief), kNodeProblemBytes) + "\n";
}

int node_problem_exit(const CheckResult& result, bool warnings) {
  switch (result.state) {
    case CheckState::ok: return 0;
    case CheckState::warning: return warnings ? 1 : 0;
    case CheckState::critical: return 1;
    // The condition becomes Unknown by it. A rule that makes events would make one each time, of the daemon's restart
    // too.
    case CheckState::unknown: return warnings ? 0 : 2;
  }
  return 2;
}

std::string render_check_json(const CheckResult& result) {
  nlohmann::ordered_json out;
  out["schema"] = "defused.check/v1";
  out["state"] = to_string(result.state);
  out["exit_code"] = static_cast<int>(result.state);
  out["summary"] = result.summary;
  out["source"] = nullptr;
  if (!result.source.empty()) out["source"] = result.source;
  out["problems"] = nlohmann::json::array();
  for (const CheckProblem& problem : result.problems) out["problems"].push_back(render_problem(problem));
  out["notes"] = result.notes;
  out["performance"] = nlohmann::json::object();
  for (const CheckMeasure& measure : result.measures) {
    const std::string key = measure.label + (measure.unit == "s" ? "_seconds" : "");
    if (measure.unit == "s") {
      out["performance"][key] = measure.value;
    } else {
      out["performance"][key] = static_cast<std::uint64_t>(measure.value);
    }
  }
  constexpr int kIndent = 2;
  // Everything from a report is valid UTF-8; what is not would throw.
  return out.dump(kIndent, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

}  // namespace defused
