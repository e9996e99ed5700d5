// SPDX-License-Identifier: Apache-2.0
// A state directory of a test, and what may go wrong with one.
#pragma once

#include <sys/resource.h>
#include <sys/types.h>

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "temporary_directory.h"

namespace defused {

/// `<temporary directory>/state`, which does not exist yet; all is removed at the end.
class StateDirectory {
 public:
  [[nodiscard]] std::string base() const { return base_.path(); }
  [[nodiscard]] std::string path() const { return base_.file("state"); }
  [[nodiscard]] std::filesystem::path file(const std::string& name) const { return base_.path() / "state" / name; }
  void write(const std::string& name, const std::string& text) const { base_.write("state/" + name, text); }
  [[nodiscard]] std::string text(const std::string& name) const { return base_.text("state/" + name); }
  /// Names in it, in their order.
  [[nodiscard]] std::vector<std::string> names() const;

 private:
  TemporaryDirectory base_;
};

mode_t mode_of(const std::filesystem::path& path);

/// No file may grow beyond `bytes` while this lives: writes become short, then fail.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes);
  FileSizeLimit(const FileSizeLimit&) = delete;
  FileSizeLimit& operator=(const FileSizeLimit&) = delete;
  ~FileSizeLimit();

 private:
  rlimit before_{};
  void (*before_handler_)(int);
};

/// Runs `check` in a child in which fallocate answers EOPNOTSUPP; what it returns, 77 where that cannot be had.
int run_without_fallocate(const std::function<int()>& check);

/// Runs `check` in a child with a tmpfs of `bytes` mounted at `path`; what it returns, 77 where that cannot be had.
int run_on_small_disk(const std::string& path, std::size_t bytes, const std::function<int()>& check);

}  // namespace defused
