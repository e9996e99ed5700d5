// SPDX-License-Identifier: Apache-2.0
// What `defused abort --json` prints: what the connection holds, which gates held it, and what came of it. Pure.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "model/codec.h"
#include "model/report.h"

namespace defused {

struct AbortAnswer {
  ConnectionId connection;
  std::vector<NamespaceId> pid_namespaces;  ///< dying ones that it holds
  std::vector<GateInWords> gates;           ///< those that hold it back; none where it was or may be aborted
  std::optional<OutcomeRecord> outcome;     ///< nothing: nothing was attempted, or what came of it is not known
  int exit_code = 0;
};

/// Schema defused.abort/v1, indented, with a newline at its end.
std::string render_abort_json(const AbortAnswer& answer);

}  // namespace defused
