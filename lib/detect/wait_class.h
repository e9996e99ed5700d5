// SPDX-License-Identifier: Apache-2.0
// Where a thread sleeps, told from its kernel stack: any frame counts, not the top one. Pure.
// Symbols and their kernels: KERNEL.md sections 2 and 3.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "model/words.h"

namespace defused {

/// The class of the first rule of the table that matches a frame; `other` for a stack that no rule knows, `unknown` for
/// an empty one. `stack` as parse_stack gives it: innermost first, suffixes stripped.
WaitClass classify_wait(const std::vector<std::string>& stack);

bool has_frame(const std::vector<std::string>& stack, std::string_view symbol);

/// Whether a frame of overlayfs is in the way: then the thread's own mountinfo need not show the FUSE mount.
bool has_overlay_frame(const std::vector<std::string>& stack);

}  // namespace defused
