// SPDX-License-Identifier: Apache-2.0
// The record of processes of ours that could not be killed, one a line, in the runtime directory, so that the cap on
// them survives a restart of the service. Written by rename, never half.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "model/ids.h"

namespace defused {

struct LostProber {
  ProcessId id;
  std::uint64_t pidfd_inode = 0;  ///< of its pidfd: the same again only for the same process; 0: this kernel has none
  friend auto operator<=>(const LostProber&, const LostProber&) = default;
};

/// What the file at `path` holds; empty where there is none. malformed: a line that is not "PID START [INODE]" (the
/// rest is lost).
Result<std::vector<LostProber>> read_lost_probers(const std::string& path);

/// Replaces the file. Errors: denied, io.
Result<void> write_lost_probers(const std::string& path, const std::vector<LostProber>& lost);

/// As `--lost` takes them: "17:4711,18:4720".
std::string render_lost(const std::vector<ProcessId>& lost);

}  // namespace defused
