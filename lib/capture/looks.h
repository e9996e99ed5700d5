// SPDX-License-Identifier: Apache-2.0
// Looks: the trees of several looks as one (the first in full, what is different in the later ones below `later/N/`),
// and the way back. `errors` of each look: what could not be read. Pure.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/file_tree.h"
#include "base/recorder.h"
#include "base/result.h"

namespace defused {

inline constexpr std::size_t kMaxLooks = 100;

/// `looks` are not empty. What the tree of the first has in `later/` is lost.
FileTree join_looks(const std::vector<FileTree>& looks);
/// The looks of a joined tree, at least one; files beside them (about.json, report.json ..) stay with the first.
/// malformed: `later/` has anything but the numbers from 1 on, at most kMaxLooks, or `gone` anything but paths.
Result<std::vector<FileTree>> split_looks(const FileTree& joined);

/// The same one by one: one look is held at a time, however many there are.
class LookReader {
 public:
  static Result<LookReader> open(FileTree joined);
  [[nodiscard]] std::size_t count() const { return count_; }
  /// The next look, good until the next call; null: that was the last one.
  const FileTree* next();

 private:
  LookReader(FileTree first, FileTree later, std::size_t count)
      : now_(std::move(first)), later_(std::move(later)), count_(count) {}
  FileTree now_;
  FileTree later_;
  std::size_t count_;
  std::size_t given_ = 0;
};

/// A line for each: "denied 13 proc/1/fdinfo".
std::string render_errors(const std::map<std::string, ReadRecorder::Failed>& errors);
/// malformed, with the number of the line.
Result<std::map<std::string, ReadRecorder::Failed>> parse_errors(std::string_view text);

}  // namespace defused
