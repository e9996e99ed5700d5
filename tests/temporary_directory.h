// SPDX-License-Identifier: Apache-2.0
// A directory of a test's own, and the files that it puts there. For trees that a test makes, never for those of the
// kernel. What shall be gone before its files are (a mount, a process) ends before this does. One thread.
#pragma once

#include <filesystem>
#include <string>

namespace defused {

/// Empty at first; removed at the end with all that is in it by then, without a word where that cannot be.
class TemporaryDirectory {
 public:
  /// Made below `below`. Throws std::system_error, a sentence with its name, where it cannot be made.
  explicit TemporaryDirectory(const std::filesystem::path& below = std::filesystem::temp_directory_path());
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  ~TemporaryDirectory();

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  /// The whole path of what is called `name` in it, which need not be there.
  [[nodiscard]] std::string file(const std::string& name) const { return (path_ / name).string(); }

  /// Makes the file, or makes it anew, with exactly these bytes, and the directories that lead to it. Throws
  /// std::system_error where it cannot: a tree that is not as the test wants it proves nothing.
  void write(const std::string& name, const std::string& text) const;
  /// All bytes of the file; empty where it is not there.
  [[nodiscard]] std::string text(const std::string& name) const;

 private:
  std::filesystem::path path_;
};

/// All bytes of the file at `path`; empty where it is not there.
[[nodiscard]] std::string read_whole(const std::filesystem::path& path);

}  // namespace defused
