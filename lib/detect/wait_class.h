// SPDX-License-Identifier: Apache-2.0
// Where a thread sleeps, told from its kernel stack by a table of rules: any frame counts, not the top one. Pure.
// Symbols of Linux 5.4 to 6.18 and their sources: KERNEL.md sections 2 and 3.
//
// Two things about /proc/PID/stack decide what the table looks like:
// - Functions of the scheduler are not in it (kernel/stacktrace.c, stack_trace_consume_entry_nosched), and since 5.18
//   none of the sleeping locks is either (c441e934b604; mutexes never were). Who waits for a lock shows the function
//   that takes it: `filename_create`, `fuse_file_write_iter`.
// - A tail call leaves no frame: a read(2) that waits for a page of a FUSE file shows no function of FUSE.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "model/words.h"

namespace defused {

/// Where in a stack the frame of a rule has to stand. What counts, but for `whole`, is what the thread does now: the
/// frames inside of the innermost page fault, memory reclaim or call of FUSE into its backing file. Whoever faulted or
/// needed memory does not wait for its own file system.
enum class FramePlace {
  whole,         ///< anywhere
  any,           ///< anywhere in what it does now
  any_in_fuse,   ///< the same, and a frame of FUSE's client side is there too
  top,           ///< innermost
  lock,          ///< innermost, where it takes a lock
  lock_in_fuse,  ///< the same, and a frame of FUSE's client side is there too
};

/// How a row of the documentation says it.
std::string_view to_string(FramePlace place);

struct WaitRule {
  WaitClass wait_class;
  FramePlace place;
  std::string_view symbol;   ///< a name, or a prefix where it ends in '*'
  std::string_view kernels;  ///< "5.16", "to 6.15", "6.3 to 6.5.2"; "" for all from 5.4 to 6.18
};

/// The table, in the order in which it is asked: the first rule that holds decides.
std::span<const WaitRule> describe_wait_classes();

/// The rule that decides about a stack as parse_stack gives it (innermost first, suffixes stripped), for explaining;
/// nullptr where none holds. Points into the table.
const WaitRule* deciding_rule(const std::vector<std::string>& stack);

/// The class of the rule that decides; `other` for a stack that no rule knows, `unknown` for an empty one and for a
/// wait for a page or a lock without a frame that says whose.
WaitClass classify_wait(const std::vector<std::string>& stack);

/// Where only the innermost function is known (wchan). What says nothing without the frames below is `unknown`.
WaitClass classify_wchan(std::string_view symbol);

bool has_frame(const std::vector<std::string>& stack, std::string_view symbol);

/// A frame of the client side of FUSE in what the thread does now. `fuse_dev_*` and `fuse_uring_*` are the server's:
/// one that waits for work.
bool has_fuse_frame(const std::vector<std::string>& stack);

/// Whether a frame of overlayfs is in the way: then the thread's own mountinfo need not show the FUSE mount.
bool has_overlay_frame(const std::vector<std::string>& stack);

/// Asleep for a lock (top frame): the one who holds it decides.
bool is_in_lock(const std::vector<std::string>& stack);

/// A worker of io_uring, which waits in the name of its process.
bool is_io_worker(const std::vector<std::string>& stack);

}  // namespace defused
