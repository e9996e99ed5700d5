// SPDX-License-Identifier: Apache-2.0
// FileTree: files, links and directories by their paths, in memory: what is recorded, archived, unpacked and compared.
// Paths are plain and relative ("proc/4711/status"): no empty, "." or ".." component, no control character. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/recorder.h"
#include "base/result.h"

namespace defused {

class FileTree {
 public:
  enum class Kind { file, link, directory };
  struct Node {
    Kind kind = Kind::file;
    std::string text;  ///< of a file or link
    bool operator==(const Node&) const = default;
  };

  /// Whether `path` may stand in a tree.
  static bool is_plain(std::string_view path);

  /// Directories above are made. A path that is not plain is left out. What is a directory to one call and a file to
  /// another is a directory.
  void add_file(std::string_view path, std::string text);
  void add_link(std::string_view path, std::string target);
  void add_directory(std::string_view path);
  /// What was recorded below `root`: files, links, and of listings the names of what nobody read (empty files).
  void add_record(std::string_view root, const ReadRecorder& record);
  /// All of `other` below `root` ("": beside what is here).
  void add_tree(std::string_view root, const FileTree& other);
  void remove(std::string_view path);  ///< and what is below

  using Nodes = std::map<std::string, Node, std::less<>>;
  [[nodiscard]] const Nodes& nodes() const { return nodes_; }
  [[nodiscard]] const Node* find(std::string_view path) const;  ///< null: not there
  /// What lies below `root`, with paths from there; empty where there is no such directory.
  [[nodiscard]] FileTree below(std::string_view root) const;  ///< "": all of it
  /// The same, taken out of here without a copy.
  FileTree take_below(std::string_view root);
  [[nodiscard]] std::uint64_t bytes() const;  ///< of paths and texts
  bool operator==(const FileTree&) const = default;

 private:
  void add(std::string_view path, Node node);
  void add_listed(const std::string& directory, std::string_view listing);
  [[nodiscard]] std::pair<Nodes::const_iterator, Nodes::const_iterator> range_below(std::string_view path) const;

  Nodes nodes_;
};

/// Whether one of `paths` is above `path`: "proc" is above "proc/1/status", and not above "proc" or "proc-x".
bool is_below_any(const std::set<std::string, std::less<>>& paths, std::string_view path);

/// For handing a tree to another process of the same binary.
std::vector<std::uint8_t> encode_tree(const FileTree& tree);
/// malformed: not such bytes.
Result<FileTree> decode_tree(const std::vector<std::uint8_t>& bytes);

}  // namespace defused
