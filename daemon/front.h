// SPDX-License-Identifier: Apache-2.0
// The front: the unprivileged process that serves HTTP from the last report. It holds nothing but its listeners and its
// clients; the sandbox is entered before the first of them.
#pragma once

#include "base/unique_fd.h"

namespace defused {

/// Waits for settings, enters the sandbox, then serves until the channel closes or `stop` comes. The exit code.
int run_front(UniqueFd channel);

}  // namespace defused
