// SPDX-License-Identifier: Apache-2.0
// Where a command's settings come from.
#pragma once

#include <optional>
#include <string>

#include "base/result.h"
#include "model/settings.h"

namespace defused {

inline constexpr const char* kDefaultConfig = "/etc/defused/defused.json";

/// From `path`; without one from kDefaultConfig where that exists, else the defaults.
Result<Settings> load_settings(const std::optional<std::string>& path);

}  // namespace defused
