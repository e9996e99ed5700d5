// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <chrono>
#include <cstdint>
#include <limits>

#include "base/text.h"
#include "settings/settings_file.h"

namespace defused {

namespace {

struct Unit {
  std::string_view name;
  std::uint64_t nanoseconds;
};

// Largest first: the order in which the parts of a duration are written and read.
constexpr std::array<Unit, 6> kUnits = {{{"h", 3'600'000'000'000},
                                         {"m", 60'000'000'000},
                                         {"s", 1'000'000'000},
                                         {"ms", 1'000'000},
                                         {"us", 1'000},
                                         {"ns", 1}}};
constexpr std::uint64_t kMost = std::numeric_limits<std::int64_t>::max();

Failure malformed(std::string_view text) {
  return fail(ErrorKind::malformed, "not a duration such as \"5s\" or \"1h30m\": \"" + sanitize(text, 64) + "\"");
}

std::string_view take_while(std::string_view& rest, bool digits) {
  std::size_t length = 0;
  while (length < rest.size() && (rest[length] >= '0' && rest[length] <= '9') == digits) ++length;
  const std::string_view taken = rest.substr(0, length);
  rest.remove_prefix(length);
  return taken;
}

}  // namespace

Result<Nanoseconds> parse_duration(std::string_view text) {
  std::string_view rest = text;
  std::uint64_t total = 0;
  std::size_t next_unit = 0;
  do {
    const auto number = parse_u64(take_while(rest, true));
    const std::string_view name = take_while(rest, false);
    while (next_unit < kUnits.size() && kUnits[next_unit].name != name) ++next_unit;
    if (!number || next_unit == kUnits.size()) return malformed(text);
    const std::uint64_t unit = kUnits[next_unit++].nanoseconds;
    if (*number > (kMost - total) / unit) return malformed(text);
    total += *number * unit;
  } while (!rest.empty());
  return Nanoseconds(static_cast<std::int64_t>(total));
}

std::string format_duration(Nanoseconds duration) {
  if (duration == Nanoseconds::zero()) return "0s";
  std::string text = duration < Nanoseconds::zero() ? "-" : "";
  // Unsigned, so that the smallest of all has a magnitude too.
  auto left = static_cast<std::uint64_t>(duration.count());
  if (!text.empty()) left = 0 - left;
  for (const Unit& unit : kUnits) {
    if (left < unit.nanoseconds) continue;
    text += std::to_string(left / unit.nanoseconds);
    text += unit.name;
    left %= unit.nanoseconds;
  }
  return text;
}

}  // namespace defused
