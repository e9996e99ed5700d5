// SPDX-License-Identifier: Apache-2.0
#include "base/tree_limits.h"

#include <algorithm>
#include <string>

#include "base/text.h"

namespace defused {

Result<void> check_tree_path(std::string_view path) {
  if (!FileTree::is_plain(path)) {
    return fail(ErrorKind::malformed,
                "expected a relative path of printable UTF-8 without empty, '.' and '..' components");
  }
  std::size_t depth = 0;
  while (!path.empty()) {
    if (take_field(path, '/').size() > kMaxTreeName) {
      return fail(ErrorKind::malformed, "a name longer than " + std::to_string(kMaxTreeName) + " bytes");
    }
    ++depth;
  }
  if (depth <= kMaxTreeDepth) return {};
  return fail(ErrorKind::malformed, "deeper than " + std::to_string(kMaxTreeDepth) + " directories");
}

Error too_many_bytes(const TreeLimits& limits) {
  return {ErrorKind::unsupported, "more than the " + std::to_string(limits.max_bytes) + " bytes that are read", 0};
}

Result<void> TreeRoom::take_node(std::string_view path) {
  if (++nodes_ > limits_.max_nodes) {
    return fail(ErrorKind::unsupported, "more than the " + std::to_string(limits_.max_nodes) + " files that are read");
  }
  return take_bytes(path.size());
}

Result<void> TreeRoom::take_parents(const FileTree& tree, std::string_view path) {
  for (std::size_t end = path.rfind('/'); end != std::string_view::npos; end = path.rfind('/', end - 1)) {
    const std::string_view above = path.substr(0, end);
    if (tree.find(above) != nullptr) break;  // and all that is above it
    if (auto counted = take_node(above); !counted) return counted;
  }
  return {};
}

Result<void> TreeRoom::take_bytes(std::uint64_t size) {
  if (size > limits_.max_bytes - bytes_) return Failure(too_many_bytes(limits_));
  bytes_ += size;
  return {};
}

void unwrap_tree(LoadedTree& loaded) {
  const FileTree::Nodes& nodes = loaded.tree.nodes();
  if (nodes.empty()) return;
  // The first in order is a name without a slash, and those below it follow, but for names such as "a-b" between.
  const std::string root = nodes.begin()->first;
  if (root == "proc" || root == "sys" || nodes.begin()->second.kind != FileTree::Kind::directory) return;
  const bool all = std::all_of(nodes.begin(), nodes.end(),
                               [&](const auto& entry) { return entry.first.substr(0, entry.first.find('/')) == root; });
  if (!all) return;
  loaded.tree = loaded.tree.take_below(root);
  std::map<std::string, Nanoseconds> modified;
  for (const auto& [path, time] : loaded.modified) modified.emplace(path.substr(root.size() + 1), time);
  loaded.modified = std::move(modified);
}

}  // namespace defused
