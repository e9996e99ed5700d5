// SPDX-License-Identifier: Apache-2.0
// How much of a look is recorded.
#pragma once

#include <cstdint>

namespace defused {

enum class Recording : std::uint8_t {
  none,
  candidates,  ///< the processes that the report rests on
  all,         ///< everything that was read
};

}  // namespace defused
