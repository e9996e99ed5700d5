// SPDX-License-Identifier: Apache-2.0
// The finding about one connection. Pure.
#pragma once

#include "model/report.h"

namespace defused {

/// Null where there is none.
const ConnectionFinding* find_connection(const Report& report, ConnectionId id);

}  // namespace defused
