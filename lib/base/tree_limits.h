// SPDX-License-Identifier: Apache-2.0
// What a tree that somebody else made may be, and how much of it is taken. Private to lib/base. Pure.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/file_tree.h"
#include "base/result.h"
#include "base/tree_archive.h"

namespace defused {

/// Deepest path: those of a capture have 8 parts, and a directory holds a descriptor for each.
inline constexpr std::size_t kMaxTreeDepth = 32;
inline constexpr std::size_t kMaxTreeName = 255;  ///< NAME_MAX
/// Latest time of a file, seconds: with it no difference of two times overflows.
inline constexpr std::int64_t kMaxTreeSeconds = (1LL << 62) / 1'000'000'000;
inline constexpr std::string_view kExpectedNodes = "expected files, directories and symbolic links only";

/// malformed: not plain, too deep, a part too long. The sentence does not show the path.
Result<void> check_tree_path(std::string_view path);

/// unsupported: the sentence for more bytes than there may be.
Error too_many_bytes(const TreeLimits& limits);

/// What is left of the limits.
class TreeRoom {
 public:
  explicit TreeRoom(const TreeLimits& limits) : limits_(limits) {}
  /// For another node at `path`. unsupported: there is none.
  Result<void> take_node(std::string_view path);
  /// For the directories above `path`, which fits, that `tree` does not have: adding a node makes them.
  Result<void> take_parents(const FileTree& tree, std::string_view path);
  Result<void> take_bytes(std::uint64_t size);

 private:
  TreeLimits limits_;
  std::size_t nodes_ = 0;
  std::uint64_t bytes_ = 0;
};

/// If all lies in one directory that is not `proc` or `sys`, what is in it becomes the tree.
void unwrap_tree(LoadedTree& loaded);

}  // namespace defused
