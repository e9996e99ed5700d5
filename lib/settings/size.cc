// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <cstdint>
#include <limits>

#include "base/text.h"
#include "settings/settings_file.h"

namespace defused {

namespace {

struct SizeUnit {
  std::string_view name;
  std::uint64_t bytes;
};

// Largest first.
constexpr std::array<SizeUnit, 4> kSizeUnits = {{{"GiB", 1U << 30U}, {"MiB", 1U << 20U}, {"KiB", 1U << 10U}, {"B", 1}}};

Failure malformed_size(std::string_view text) {
  return fail(ErrorKind::malformed, "not a size such as \"64MiB\": \"" + sanitize(text, 64) + "\"");
}

}  // namespace

Result<std::uint64_t> parse_size(std::string_view text) {
  const std::size_t digits = text.find_first_not_of("0123456789");
  if (digits == std::string_view::npos) return malformed_size(text);
  const auto number = parse_u64(text.substr(0, digits));
  for (const SizeUnit& unit : kSizeUnits) {
    if (text.substr(digits) != unit.name) continue;
    if (!number || *number > std::numeric_limits<std::uint64_t>::max() / unit.bytes) return malformed_size(text);
    return *number * unit.bytes;
  }
  return malformed_size(text);
}

std::string format_size(std::uint64_t bytes) {
  for (const SizeUnit& unit : kSizeUnits) {
    if (bytes >= unit.bytes && bytes % unit.bytes == 0) return std::to_string(bytes / unit.bytes).append(unit.name);
  }
  return "0B";
}

}  // namespace defused
