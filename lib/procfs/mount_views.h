// SPDX-License-Identifier: Apache-2.0
// Collecting the distinct mount tables of a host. Private to lib/procfs.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "procfs/proc_root.h"

namespace defused {

/// A living process that is not ours: it may hold, use or see a connection.
bool is_candidate(const ProcessBrief& process, const OwnProcesses& own);

class MountViews {
 public:
  /// `missed` is told of each table that could not be read, or not in full.
  using Missed = std::function<void(pid_t pid, const Error& error)>;
  MountViews(const ProcRoot& proc, const ReadLimits& limits, Missed missed)
      : proc_(proc), limits_(limits), missed_(std::move(missed)) {}

  enum class Look {
    seen,     ///< its table is among the views now
    nothing,  ///< it sees no mounts: gone, past exit_task_namespaces, or its root is outside of its namespace
    gap,      ///< it could not be read
  };
  /// Adds process `pid` to the view of the thread whose files are below `base` ("4711/", "4711/task/4712/"). A table
  /// that was read before, by the ids of its first mount, is not read again.
  Look add(pid_t pid, const std::string& base);

  /// Adds `pid` to the view that add() saw last.
  void add_same(pid_t pid);

  [[nodiscard]] const std::vector<Viewer>& all() const { return views_; }
  [[nodiscard]] bool complete() const { return complete_; }
  void set_incomplete() { complete_ = false; }
  std::vector<Viewer> take() { return std::move(views_); }

 private:
  Look note(pid_t pid, const Error& error);
  Look read_table(pid_t pid, const std::string& base, std::pair<int, int> key);

  const ProcRoot& proc_;
  const ReadLimits& limits_;
  Missed missed_;
  std::vector<Viewer> views_;
  std::map<std::pair<int, int>, std::size_t> by_first_mount_;
  std::size_t last_ = 0;
  std::size_t mounts_ = 0;
  bool complete_ = true;
};

}  // namespace defused
