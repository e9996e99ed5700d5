// SPDX-License-Identifier: Apache-2.0
// "did you mean": the known key that an unknown one was probably meant to be. Pure.
#pragma once

#include <string_view>
#include <vector>

namespace defused {

/// The one of `known` (paths such as "remedy.min_stuck") that `path` differs least from; else one of the same name in
/// another object; else "".
std::string_view nearest_path(std::string_view path, const std::vector<std::string_view>& known);

}  // namespace defused
