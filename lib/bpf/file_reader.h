// SPDX-License-Identifier: Apache-2.0
// FileReader: who holds /dev/fuse of which connection and who has files open on one, from the kernel itself (BPF
// iterator, Linux 5.8 with BTF), beside what /proc says: it needs no ptrace right over the processes and takes none of
// their locks. Needs CAP_BPF and CAP_PERFMON (CAP_SYS_ADMIN before 5.8). Optional: without it /proc serves alone. One
// thread.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "base/result.h"
#include "model/snapshot.h"

namespace defused {

struct OpenFuseFile {
  ProcessId process;
  bool device = false;               ///< an open /dev/fuse; else a file on FUSE
  ConnectionId connection;           ///< 0 for a device that is not mounted yet
  std::uint64_t oldest_request = 0;  ///< device: smallest number of the requests that wait for an answer; 0: none
};

class FileReader {
 public:
  enum class Detail {
    holders,         ///< who has what open: Linux 5.8
    oldest_request,  ///< and which request waits the longest: Linux 5.17
  };
  /// Loads the program with as much detail as the kernel allows, at most `most`. unsupported: built without BPF, or no
  /// BTF; denied; io. One sentence that says why.
  static Result<std::unique_ptr<FileReader>> load(Detail most = Detail::oldest_request);
  FileReader() = default;
  FileReader(const FileReader&) = delete;
  FileReader& operator=(const FileReader&) = delete;
  virtual ~FileReader() = default;

  /// All open FUSE files of all processes, equal ones of one process told once. It has a file of its own open for the
  /// time of the reading and expects to see that: malformed where it does not, so that a reader that is blind is never
  /// taken for one that saw nothing. Not /dev/fuse, which a container need not have.
  virtual Result<std::vector<OpenFuseFile>> read() = 0;
};

/// Puts what `files` says beside what /proc said in `around`: the union of both, complete and exact, unless /proc saw a
/// holder that `files` does not have and that still is there (`is_there`; then `around` keeps its own and false is
/// returned).
bool merge_open_files(const std::vector<OpenFuseFile>& files, const std::vector<ProcessBrief>& processes,
                      const std::function<bool(pid_t)>& is_there, Surroundings& around);

/// Who has files open, for the History.
std::vector<FileUser> users_of(const std::vector<OpenFuseFile>& files);

/// The oldest waiting request of each connection that has a server, by its number; 0: none waits. The same number in
/// two readings is the same request.
std::map<ConnectionId, std::uint64_t> oldest_requests(const std::vector<OpenFuseFile>& files);

}  // namespace defused
