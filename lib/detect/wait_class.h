// SPDX-License-Identifier: Apache-2.0
// Where a thread sleeps, told from its kernel stack: any frame counts, not the top one. Pure.
// Symbols of Linux 5.4 to 6.18 and their sources: KERNEL.md sections 2 and 3.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "model/words.h"

namespace defused {

/// The class of the first rule of the table that a frame matches; `other` for a stack that no rule knows, `unknown` for
/// an empty one and for a wait for a page or a lock without a frame that says whose. `stack` as parse_stack gives it:
/// innermost first, suffixes stripped.
WaitClass classify_wait(const std::vector<std::string>& stack);

/// Where only the innermost function is known (wchan). What says nothing without the frames below is `unknown`.
WaitClass classify_wchan(std::string_view symbol);

bool has_frame(const std::vector<std::string>& stack, std::string_view symbol);

/// A frame of the client side of FUSE. `fuse_dev_*` and `fuse_uring_*` are the server's: one that waits for work.
bool has_fuse_frame(const std::vector<std::string>& stack);

/// Whether a frame of overlayfs is in the way: then the thread's own mountinfo need not show the FUSE mount.
bool has_overlay_frame(const std::vector<std::string>& stack);

/// Asleep for a lock (top frame): the one who holds it decides.
bool is_in_lock(const std::vector<std::string>& stack);

/// A worker of io_uring, which waits in the name of its process.
bool is_io_worker(const std::vector<std::string>& stack);

}  // namespace defused
