// SPDX-License-Identifier: Apache-2.0
// Children of the same binary: started from a descriptor of it that was opened at start, so that an upgrade on disk
// cannot mix versions. Used by the supervisor and by the one-shot commands.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "model/ids.h"

namespace defused {

/// Where a child finds its end of the channel.
inline constexpr int kChannelDescriptor = 3;

struct Child {
  ProcessId id;      ///< start_ticks read from its own stat right after the start, 0 if it was gone by then
  UniqueFd pidfd;    ///< readable when it has ended
  UniqueFd channel;  ///< our end
  UniqueFd log;      ///< what it writes to standard error, for forward_log
  [[nodiscard]] bool running() const { return pidfd.valid(); }
};

/// The binary of this process, for spawn_self.
Result<UniqueFd> open_self();

/// Starts `self` as "defused ARGUMENTS..." with a new channel at descriptor 3, nothing at 0 and 1, a pipe to us at 2
/// and nothing else open, also of what we inherited: one that cannot be killed must not keep the pipe open that
/// somebody reads us by. It ignores INT, TERM and HUP, which a terminal sends to all of us, and gets SIGKILL when the
/// thread that started it ends. Errors: io.
Result<Child> spawn_self(int self, const std::vector<std::string>& arguments);

/// Writes to our standard error what the child has written to its own, at most 64 KiB. Does not wait for the child.
void forward_log(const Child& child);

/// Invalid, with errno, where there is no such process.
UniqueFd open_pidfd(pid_t pid);

/// SIGKILL through the pidfd. An error means that it may go on.
Result<void> kill_child(const Child& child);

/// Takes the remains of an ended child, its last words as well, and closes its descriptors. False: it is still there.
bool reap_child(Child& child);

/// Waits at most `milliseconds` for it to end; then as reap_child.
bool wait_child(Child& child, int milliseconds);

/// For the child: takes over descriptor kChannelDescriptor as close-on-exec and names the process.
UniqueFd adopt_channel(const char* process_name);

}  // namespace defused
