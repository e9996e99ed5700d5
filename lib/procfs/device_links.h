// SPDX-License-Identifier: Apache-2.0
// Before Linux 6.16 fdinfo does not tell a /dev/fuse descriptor from others; only the text of fd/N does, and reading it
// may block. Candidates are collected first and read together, by bounded_read. Private to lib/procfs.
#pragma once

#include <sys/types.h>

#include <map>
#include <string>
#include <vector>

#include "procfs/proc_root.h"

namespace defused {

/// A descriptor opened for reading and writing that may be /dev/fuse.
struct LinkCandidate {
  pid_t pid = 0;
  std::string path;  ///< below /proc, "4711/fd/3"
  int mount_id = 0;
};

struct DeviceLinks {
  std::map<pid_t, std::uint32_t> found;  ///< /dev/fuse descriptors by process
  bool complete = true;                  ///< false: some could not be read
};

/// Reads the links of `candidates`. One descriptor of each mount is asked first: sockets, pipes and anonymous inodes
/// live on kernel mounts of their own, so the rest of those needs no reading.
DeviceLinks read_device_links(const ProcRoot& proc, const ReadLimits& limits,
                              const std::vector<LinkCandidate>& candidates, Gaps& gaps);

}  // namespace defused
