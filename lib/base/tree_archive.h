// SPDX-License-Identifier: Apache-2.0
// Archives and directories as FileTrees (libarchive). What is read is hostile: regular files, directories and symbolic
// links only, plain paths, bounded; nothing is followed, nothing is written. Any thread.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "base/clock.h"
#include "base/file_tree.h"
#include "base/result.h"

namespace defused {

struct TreeLimits {
  std::uint64_t max_bytes = 1U << 30U;  ///< of paths and texts together
  std::size_t max_nodes = 500'000;      ///< files, links and directories, also those that a path only implies
};

/// What was read beside the tree itself.
struct LoadedTree {
  FileTree tree;
  std::map<std::string, Nanoseconds> modified;  ///< wall-clock time by path, of files
};

/// Writes a tar archive (GNU) into `fd`, through gzip where `gzip`. The same tree gives the same bytes: names in order,
/// no owner, `time` for all. Errors: unsupported: longer than `room` bytes; io, with what was written so far.
Result<void> write_tree_archive(const FileTree& tree, Nanoseconds time, bool gzip, int fd, std::uint64_t room);

/// The archive at `path`: tar, plain or through any filter that libarchive has built in (gzip, xz, zstd). If all lies
/// in one directory that is not `proc` or `sys`, that is taken for the root. Errors, one sentence with the path: gone,
/// denied, io, malformed (no archive, cut off, a member that does not fit the rules), unsupported (beyond the limits).
Result<LoadedTree> read_tree_archive(const std::string& path, const TreeLimits& limits = {});

/// The same of a directory. Links are kept as links, anything but files, directories and links is malformed.
Result<LoadedTree> read_tree_directory(const std::string& path, const TreeLimits& limits = {});

}  // namespace defused
