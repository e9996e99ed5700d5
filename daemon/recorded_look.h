// SPDX-License-Identifier: Apache-2.0
// A look as it is recorded: what was read while it was taken, and the tree of files that is made of it (decision 0008):
// `proc/`, `sys/fs/fuse/connections/`, `bpf/`, `errors` and `look.json`. And the way back: errors that were recorded as
// a hook of a replay. Pure.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "base/beneath.h"
#include "base/file_tree.h"
#include "base/recorder.h"
#include "capture/about.h"

namespace defused {

/// Where the parts of a look lie in its tree, and what the paths in `errors` begin with.
inline constexpr const char* kRecordedProc = "proc";
inline constexpr const char* kRecordedFusectl = "sys/fs/fuse/connections";
inline constexpr const char* kRecordedBpf = "bpf";

/// Readings of one look. One thread.
struct Readings {
  /// `max_bytes` of each of the three.
  explicit Readings(std::size_t max_bytes) : proc(max_bytes), fusectl(max_bytes), bpf(max_bytes) {}

  ReadRecorder proc;
  ReadRecorder fusectl;
  ReadRecorder bpf;              ///< what the readers of lib/bpf said, by name: "files", "waits"
  bool fusectl_present = false;  ///< it could be opened
  LookAbout about;               ///< but for left_out

  [[nodiscard]] std::uint64_t left_out() const { return proc.left_out() + fusectl.left_out() + bpf.left_out(); }
};

/// The tree of a look; where `processes` is not null, without the others.
FileTree make_look(const Readings& readings, const std::set<pid_t>* processes);

/// A hook that makes fail what failed below `root`, one of the three names above, when `errors` (parse_errors) were
/// recorded: with the same kind and code.
ReadHook make_recorded_hook(std::shared_ptr<const std::map<std::string, ReadRecorder::Failed>> errors,
                            std::string root);

}  // namespace defused
