// SPDX-License-Identifier: Apache-2.0
// Reading one file of /proc and parsing it, for whoever needs the values and not the text. `directory` is that of a
// process or thread below `root`: "4711/", "4711/task/4712/", or "" where `root` is the directory itself.
#pragma once

#include <optional>
#include <string>

#include "procfs/parse.h"
#include "procfs/proc_root.h"

namespace defused {

/// The most that is read of a file that holds a few lines.
inline constexpr std::size_t kMaxSmallFile = 65'536;

/// Errors: those of reading and of parse_status (gone also where the task was released while it was read).
Result<StatusFields> read_status(const Beneath& root, const std::string& directory);

/// Errors: those of reading and of parse_stat. It may block unless the task has no memory any more.
Result<StatFields> read_stat(const Beneath& root, const std::string& directory);

/// The brief of a process. Nothing where it is gone, or where it could not be read: then that is a gap.
std::optional<ProcessBrief> read_brief(const ProcRoot& proc, pid_t pid, Gaps& gaps);

}  // namespace defused
