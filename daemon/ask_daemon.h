// SPDX-License-Identifier: Apache-2.0
// Asks the daemon that runs for its newest report, at the socket of report_socket.h. Bounded; writes nothing.
#pragma once

#include <optional>
#include <string>

#include "base/clock.h"
#include "base/result.h"
#include "exporters/exporter.h"
#include "model/history.h"

namespace defused {

struct DaemonAnswer {
  std::optional<PassResult> pass;  ///< nothing: it has no report yet
  SupervisorStatus status;
  Nanoseconds report_age{0};  ///< how long ago the report came, by its clock
};

/// The answer of the daemon with this runtime directory, within `patience`. gone: there is none, or it
/// closed the connection without an answer; unsupported: it is
/// another build, the message says which; denied: we are not root, or whoever listens there is not; timeout: it does
/// not answer; malformed, io. One sentence.
Result<DaemonAnswer> ask_daemon(const std::string& runtime_directory, Nanoseconds patience = std::chrono::seconds(2));

}  // namespace defused
