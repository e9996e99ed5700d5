// SPDX-License-Identifier: Apache-2.0
// What the prober gives up once it knows its mode: capabilities, places that can be written, system calls. It cannot be
// widened again: who needs another one is another process (ProberKeeper).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "model/settings.h"

namespace defused {

/// What a sandbox is made for. One that differs needs another prober.
struct SandboxPlan {
  bool acts = false;          ///< abort files can be opened
  bool hooks = false;         ///< programs of the operator can be run; only where it acts
  bool writes_state = false;  ///< ledger, audit log, evidence
  std::string state_directory;

  bool operator==(const SandboxPlan&) const = default;
};

/// Of the daemon's prober.
SandboxPlan plan_sandbox(const Settings& settings);

/// What a confined prober has of the host, as it is now: where this changes it sees something that is no longer there.
struct SandboxGround {
  bool fusectl = false;
  bool fusectl_read_only = false;
  std::uint64_t state_device = 0;  ///< of the state directory; 0: there is none
  std::uint64_t state_inode = 0;

  bool operator==(const SandboxGround&) const = default;
};
SandboxGround look_at_ground(const std::string& state_directory);

/// For good, while there is one thread. Returns what this kernel or container does not allow, a sentence each: the
/// prober does its work without. Errors: what every kernel has failed; then it must not go on.
Result<std::vector<std::string>> confine_prober(const SandboxPlan& plan);

/// The last step alone. A refused call fails with EPERM. Needs NoNewPrivs or CAP_SYS_ADMIN.
Result<void> load_prober_filter(bool hooks);

}  // namespace defused
