// SPDX-License-Identifier: Apache-2.0
#include "exporters/http/status_words.h"

#include <algorithm>

#include "model/codec.h"

namespace defused::page {

namespace {

std::string two_digits(std::int64_t value) { return (value < 10 ? "0" : "") + std::to_string(value); }

bool begins_character(char byte) { return (static_cast<unsigned char>(byte) & 0xC0U) != 0x80U; }

// U+1100 is E1 84 80: what comes after it is mostly wide. Too much is better than too little.
bool may_be_wide(std::string_view from) {
  const auto first = static_cast<unsigned char>(from[0]);
  return first > 0xE1 || (first == 0xE1 && from.size() > 1 && static_cast<unsigned char>(from[1]) >= 0x84);
}

}  // namespace

std::string age_in_words(Nanoseconds age) {
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(age).count();
  constexpr std::int64_t kMinute = 60;
  constexpr std::int64_t kHour = 60 * kMinute;
  constexpr std::int64_t kDay = 24 * kHour;
  if (seconds < 1) return "under 1 s";
  if (seconds < kMinute) return std::to_string(seconds) + " s";
  if (seconds < kHour) return std::to_string(seconds / kMinute) + " min " + two_digits(seconds % kMinute) + " s";
  if (seconds < kDay) return std::to_string(seconds / kHour) + " h " + two_digits(seconds / kMinute % 60) + " min";
  return std::to_string(seconds / kDay) + " d " + std::to_string(seconds / kHour % 24) + " h";
}

void add_time(Html& html, Nanoseconds wall) {
  if (wall == Nanoseconds(0)) return html.text("not known");
  const std::string exact = format_wall_time(wall);  // "2026-07-01T12:00:00.000Z"
  std::string shown = exact.substr(0, exact.find('.')) + " UTC";
  if (const std::size_t t = shown.find('T'); t != std::string::npos) shown[t] = ' ';
  html.leaf("time", shown, {{"datetime", exact}});
}

void add_since(Html& html, Nanoseconds wall, Nanoseconds age) {
  add_time(html, wall);
  html.text(" ");
  html.leaf("span", "(" + age_in_words(age) + ")", {{"class", "age"}});
}

std::string cut(std::string_view text, std::size_t columns) {
  std::size_t used = 0;
  std::size_t fits = 0;  // bytes that leave room for the dots
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (!begins_character(text[i])) continue;
    if (used + 2 <= columns) fits = i;
    used += may_be_wide(text.substr(i)) ? 2U : 1U;
    if (used > columns) return std::string(text.substr(0, fits)) + "..";
  }
  return std::string(text);
}

std::string list_ids(const std::vector<ConnectionId>& ids, std::size_t most) {
  std::string out;
  for (std::size_t i = 0; i < std::min(ids.size(), most); ++i) out += (i == 0 ? "" : ", ") + number(ids[i]);
  if (ids.size() > most) out += " and " + std::to_string(ids.size() - most) + " more";
  return out;
}

void add_processes(Html& html, const std::vector<NamedProcess>& processes, std::size_t count) {
  const char* separator = "";
  for (const NamedProcess& process : processes) {
    html.text(separator + std::to_string(process.pid) + " (");
    html.name(process.comm.empty() ? "?" : process.comm);
    html.text(")");
    separator = ", ";
  }
  if (count > processes.size())
    html.text((processes.empty() ? "" : " and ") + std::to_string(count - processes.size()) + " more");
}

void add_rest(Html& html, std::size_t count, std::size_t most, std::string_view what) {
  if (count <= most) return;
  const Html::Element line = html.open("p", {{"class", "more"}});
  html.text("and " + std::to_string(count - most) + " more " + std::string(what) + ": see the ");
  html.leaf("a", "report", {{"href", "/api/v1/report"}});
}

void add_pair(Html& html, std::string_view term, std::string_view value) {
  const Html::Element pair = html.open("div");
  html.leaf("dt", term);
  html.leaf("dd", value);
}

void add_word(Html& html, std::string_view word) { html.leaf("code", word); }

void add_command(Html& html, std::string_view command) {
  const Html::Element line = html.open("p", {{"class", "type"}});
  html.leaf("code", command);
}

}  // namespace defused::page
