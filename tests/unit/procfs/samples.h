// SPDX-License-Identifier: Apache-2.0
// Files of the captures, and what the parsers make of them as one line of text, so that a table of expectations is read
// like the files themselves.
#pragma once

#include <string>

#include "procfs/parse.h"

namespace defused {

/// The text of a file of build/captures; REQUIREs that it is there.
std::string read_capture_file(const std::string& path);
/// The text of a symbolic link of build/captures, as readlink gave it.
std::string read_capture_link(const std::string& path);

/// "repro-init D tgid 94 pid 94 ppid 93 level 1 inner 2 threads 1 fds 0 switches 2 killed": the last words are flags,
/// `memory kthread user killed dumping`, of which `kthread` and `user` are what a `Kthread:` line says.
std::string describe(const StatusFields& status);
/// "repro-init D ppid 93 flags 4195660 start 256"
std::string describe(const StatFields& stat);
/// "31 conn 23 fuse.ndrive ndrive /tmp/m_flush", one for each FUSE mount, and the flags `overlay virtiofs cut`.
std::string describe(const MountTable& table);
/// "mnt 59 flags 02100002 conn 40"
std::string describe(const DescriptorInfo& info);
/// What it describes, or the name of the error's kind.
template <typename Value>
std::string describe(const Result<Value>& result) {
  return result ? describe(*result) : std::string(to_string(result.error().kind));
}

}  // namespace defused
