// SPDX-License-Identifier: Apache-2.0
#include "settings/nearest_path.h"

#include <algorithm>

#include "base/text.h"

namespace defused {

namespace {

constexpr std::size_t kMaxKeyBytes = 64;  // longer keys are no typing error of a known one

std::string_view last_part(std::string_view path) { return path.substr(path.rfind('.') + 1); }

}  // namespace

std::string_view nearest_path(std::string_view path, const std::vector<std::string_view>& known) {
  if (path.size() > kMaxKeyBytes) return {};
  std::string_view nearest;
  std::size_t least = std::max<std::size_t>(2, path.size() / 4) + 1;
  for (const std::string_view candidate : known) {
    const std::size_t distance = edit_distance(path, candidate);
    if (distance >= least) continue;
    least = distance;
    nearest = candidate;
  }
  if (!nearest.empty()) return nearest;
  for (const std::string_view candidate : known) {  // the right name in the wrong object
    if (last_part(candidate) == last_part(path)) return candidate;
  }
  return {};
}

}  // namespace defused
