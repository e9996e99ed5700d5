// SPDX-License-Identifier: Apache-2.0
// What the front gives up before it talks to anybody: root, groups, capabilities, new privileges, and all system calls
// but those that serve. After enter_sandbox() it can open nothing.
#pragma once

#include <sys/types.h>

#include <string>

#include "base/result.h"

namespace defused {

struct FrontAccount {
  uid_t uid = 0;
  gid_t gid = 0;
  bool named = false;  ///< false: no such account, a free number is used
};

/// The account `name`; where it does not exist, kSpareId from systemd's range of dynamic users.
FrontAccount find_front_account(const std::string& name);
inline constexpr uid_t kSpareId = 61911;

/// Own uid and gid, no groups, no capabilities in any set, NoNewPrivs, not dumpable, a seccomp filter: opening files
/// fails with EPERM, whatever is not on the list ends the process. Errors: one sentence; then the front must not serve.
Result<void> enter_sandbox(const FrontAccount& account);

}  // namespace defused
