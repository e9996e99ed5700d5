// SPDX-License-Identifier: Apache-2.0
// Reading suspects: their threads, and of each thread that may be blocked what detection needs. Private to lib/procfs.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "procfs/bounded_read.h"
#include "procfs/proc_root.h"

namespace defused {

/// Why a process is looked at.
enum class SuspectKind { told_to_die, below_dying, asked };

/// Reads the suspects of one pass with the files that do not block: those of threads without memory, and the safe class
/// of the others. All together have a budget; who comes after it has a gap.
class SuspectReader {
 public:
  SuspectReader(const ProcRoot& proc, const ReadLimits& limits) : proc_(proc), limits_(limits) {}

  /// Nothing where the process is gone. `kept` is the same process as an earlier pass read it, or null: a thread that
  /// has not run since is taken from there, all but its status.
  std::optional<ProcessSample> read(const ProcessBrief& brief, SuspectKind kind, const KeptSuspect* kept);

 private:
  /// What threads of one process share.
  struct Shared {
    std::unordered_map<pid_t, const ThreadSample*> before;  ///< as an earlier pass read them
    std::map<std::pair<int, int>, std::shared_ptr<const MountTable>> by_first_mount;
    std::map<NamespaceId, std::shared_ptr<const MountTable>> by_namespace;
    std::map<std::uint32_t, std::vector<int>> open_mounts;  ///< by FDSize, those of the last thread that had it
    std::size_t listings = 0;
  };
  /// No thread has run, came or went since. The leader's status is the one that the walk has just read.
  [[nodiscard]] bool is_unchanged(const ProcessBrief& brief, const KeptSuspect& kept) const;
  bool read_thread(const Beneath& directory, pid_t tid, Shared& shared, ProcessSample& out);
  void read_closely(const Beneath& directory, const std::string& task, std::uint32_t table_size, Shared& shared,
                    const ProcessSample& process, ThreadSample& thread);
  void read_mounts(const Beneath& directory, const std::string& task, Shared& shared, ThreadSample& thread) const;
  void read_open_mounts(const Beneath& directory, const std::string& task, std::uint32_t table_size, Shared& shared,
                        ThreadSample& thread) const;
  [[nodiscard]] bool out_of_time() const { return watch_.elapsed() > limits_.suspects_budget; }

  const ProcRoot& proc_;
  const ReadLimits& limits_;
  Stopwatch watch_;
};

/// The suspect `kept` again, none of whose threads has run since.
ProcessSample keep_suspect(const ProcessBrief& brief, const KeptSuspect& kept);

/// A read that was put off because it may block.
struct Hazard {
  enum class File { pid_namespace, stat, stack, wchan };
  File file{};
  std::size_t thread = 0;  ///< index in `threads`; of pid_namespace: none
};

/// What is put off of `sample`, and the path below /proc of each.
std::vector<Hazard> hazards_of(const ProcessSample& sample);
BoundedRequest request_of(const Hazard& hazard, const ProcessSample& sample);

/// Puts the answer to one of hazards_of into `sample`.
void take_hazard(const Hazard& hazard, const Result<std::string>& result, ProcessSample& sample);

}  // namespace defused
