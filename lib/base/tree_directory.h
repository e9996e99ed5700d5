// SPDX-License-Identifier: Apache-2.0
// TreeDirectory: a FileTree as a private directory on disk (mode 0700, below $TMPDIR's place as given), brought from
// one tree to the next in place: what stays keeps its inode. Removed when the object goes. One thread.
#pragma once

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/file_tree.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace defused {

class TreeDirectory {
 public:
  /// Makes `<where>/defused-XXXXXX`. Errors: io, denied, gone (no such place).
  static Result<std::unique_ptr<TreeDirectory>> create(const std::string& where);
  TreeDirectory(const TreeDirectory&) = delete;
  TreeDirectory& operator=(const TreeDirectory&) = delete;
  ~TreeDirectory();

  /// Makes it what `tree` says, which it owns from then on: only what differs is written, what is not in `tree` is
  /// removed. `stop` is asked often: true ends it. Errors: io, and then it is of no further use.
  Result<void> become(FileTree tree, const std::function<bool()>& stop = {});
  /// What is removed and made anew by the next become() although it is in both: another object with the same name.
  void replace_next(std::string path);

  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  TreeDirectory(std::string path, UniqueFd root) : path_(std::move(path)), root_(std::move(root)) {}
  Result<void> take_away(int directory, const std::string& path);
  Result<void> remove_different(FileTree& before, const FileTree& tree);
  Result<void> make_different(const FileTree& before, const FileTree& tree, const std::function<bool()>& stop);

  std::string path_;
  UniqueFd root_;
  FileTree now_;
  std::set<std::string> replaced_;
  std::vector<std::string> aside_;  ///< names in root_ of what was replaced
};

}  // namespace defused
