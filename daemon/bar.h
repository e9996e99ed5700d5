// SPDX-License-Identifier: Apache-2.0
// Why a pass may not act, whatever its findings are: one actor at a time. Counted as Gate::inhibited.
#pragma once

#include <cstdint>
#include <string_view>

namespace defused {

enum class Bar : std::uint32_t {
  none,
  earlier_prober,  ///< a prober that was given up has no SIGKILL pending yet
  other_actor,     ///< somebody else has the actor lock: a `defused abort`, or another daemon
  no_lock,         ///< the actor lock cannot be opened
};

/// A reason for people; "" for none.
std::string_view describe_bar(Bar bar);

}  // namespace defused
