// SPDX-License-Identifier: Apache-2.0
// The record of probers that could not be killed: PID and start time, one a line, in the runtime directory, so that the
// cap on them survives a restart of the service. Written by rename, never half.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "model/ids.h"

namespace defused {

/// What the file at `path` holds; empty where there is none. malformed: a line that is not "PID START" (the rest is
/// lost).
Result<std::vector<ProcessId>> read_lost_probers(const std::string& path);

/// Replaces the file. Errors: denied, io.
Result<void> write_lost_probers(const std::string& path, const std::vector<ProcessId>& lost);

/// As `--lost` takes them: "17:4711,18:4720".
std::string render_lost(const std::vector<ProcessId>& lost);

}  // namespace defused
