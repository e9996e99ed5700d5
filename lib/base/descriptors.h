// SPDX-License-Identifier: Apache-2.0
// All descriptors from a number on, at once. Safe between fork and exec, and in a thread with a table of its own.
#pragma once

namespace defused {

/// Closes `first` to `last`, whichever of them are open.
void close_descriptors(int first, int last);

/// Closes all from `first` on.
void close_descriptors_from(int first);

/// Those from `first` on that are open do not outlive an exec.
void close_on_exec_from(int first);

}  // namespace defused
