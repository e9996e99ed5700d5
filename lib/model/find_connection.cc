// SPDX-License-Identifier: Apache-2.0
#include "model/find_connection.h"

#include <algorithm>

namespace defused {

const ConnectionFinding* find_connection(const Report& report, ConnectionId id) {
  const auto& all = report.findings.connections;
  const auto found = std::find_if(all.begin(), all.end(), [&](const auto& connection) { return connection.id == id; });
  return found == all.end() ? nullptr : &*found;
}

}  // namespace defused
