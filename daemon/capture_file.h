// SPDX-License-Identifier: Apache-2.0
// The file that `defused capture` writes: there whole or not at all, for its owner alone, and in the place of another
// one only if that was asked for. Signals that end a program should be held meanwhile (blocked_signals.h).
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "base/clock.h"
#include "base/file_tree.h"
#include "base/result.h"

namespace defused {

/// Whether `path` could be written: its directory is there, and it is not, or is a regular file and `force`. kind
/// unsupported: it is there; malformed: it cannot be such a file; and those of looking at it. One sentence.
Result<void> check_capture_path(const std::string& path, bool force);

/// Writes `tree` to `path`, through gzip where that ends in .gz or .tgz. Returns its size in bytes. The errors of
/// check_capture_path - also where somebody made it meanwhile - and io. `stop` is asked before it is put in its place:
/// true, and nothing is there (io).
Result<std::uint64_t> write_capture_file(const FileTree& tree, Nanoseconds time, const std::string& path, bool force,
                                         const std::function<bool()>& stop = {});

}  // namespace defused
