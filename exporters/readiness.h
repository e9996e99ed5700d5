// SPDX-License-Identifier: Apache-2.0
// Whether what a View says can be relied on: /-/ready, the status page and `defused check` say the same of it. Pure.
#pragma once

#include <string>
#include <string_view>

#include "exporters/exporter.h"

namespace defused {

/// Why the daemon is not ready - the last pass is too old, or no prober runs - or nothing.
std::string why_not_ready(const View& view);

/// Not ready, and no trouble either: no pass is finished, but the daemon has not run for as long as one may take.
[[nodiscard]] bool has_just_started(const View& view);

/// Of what a pass could not see (Report::blind): whether "nothing is stuck" is worth nothing without it.
[[nodiscard]] bool is_needed(std::string_view blind);

}  // namespace defused
