// SPDX-License-Identifier: Apache-2.0
// Landlock for the front: the filter of system calls sees the number of a directory, not the path beside it.
#pragma once

#include "base/result.h"

namespace defused {

/// No file system for this thread and those that it starts, but making, writing and removing plain files below
/// `directory` (-1: nowhere). Does nothing where the kernel has no Landlock. Needs NoNewPrivs. Errors: io, denied.
Result<void> forbid_files(int directory);

}  // namespace defused
