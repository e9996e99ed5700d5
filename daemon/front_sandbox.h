// SPDX-License-Identifier: Apache-2.0
// What the front gives up before it talks to anybody: root, groups, capabilities, new privileges, files, and all system
// calls but those that serve. In this order: give_up_privileges(), then whatever has a thread of its own, then
// load_front_filter(), which holds for all of them. After that it can open nothing, with one exception.
#pragma once

#include <sys/types.h>

#include <string>

#include "base/result.h"
#include "daemon/spawn.h"

namespace defused {

struct FrontAccount {
  uid_t uid = 0;
  gid_t gid = 0;
  bool named = false;  ///< false: no such account, a free number is used
};

/// The account `name`; where it does not exist, kSpareId from systemd's range of dynamic users.
FrontAccount find_front_account(const std::string& name);
inline constexpr uid_t kSpareId = 61911;

/// Where the directory of the textfile has to be, if there is one: the filter knows it by its number.
inline constexpr int kTextfileDescriptor = kChannelDescriptor + 1;

/// Whether a textfile is to be written below kTextfileDescriptor.
enum class Textfile { none, written };

/// Own uid and gid, no groups, no capabilities in any set, NoNewPrivs, not dumpable, few descriptors; by Landlock,
/// where the kernel has it (Linux 5.13), no file but in the textfile's directory. While there is one thread. Errors:
/// one sentence; then the front must not serve.
Result<void> give_up_privileges(const FrontAccount& account, Textfile textfile);

/// A seccomp filter for all threads: opening files fails with EPERM, whatever is not on the list - another thread, say
/// - ends the process. With a textfile, kTextfileDescriptor is where one new file may be made, renamed and unlinked.
/// Errors as above.
Result<void> load_front_filter(Textfile textfile);

}  // namespace defused
