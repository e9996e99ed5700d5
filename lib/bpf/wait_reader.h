// SPDX-License-Identifier: Apache-2.0
// WaitReader: which connection a thread waits for that was told to die, from the kernel itself (BPF iterator over
// tasks, Linux 5.17 with BTF, x86-64). /proc can only list candidates. Optional. One thread.
#pragma once

#include <memory>
#include <optional>
#include <set>
#include <vector>

#include "base/result.h"
#include "model/snapshot.h"

namespace defused {

struct TaskWait {
  pid_t pid = 0;
  ThreadId thread;
  /// It stands in a queue of this connection at this moment: for the answer to a request, for a page, for a free slot.
  std::optional<ConnectionId> queued;
  std::vector<ConnectionId> on_stack;  ///< all that its kernel stack leads to, what is long over included
  bool on_stack_complete = true;       ///< false: there were more
  std::uint64_t context_switches = 0;  ///< voluntary + nonvoluntary; of one that runs, a number that no status shows
  bool group_exit = false;  ///< its whole process was told to die; false: this thread, or a worker of io_uring
};

/// The processes that were told to die.
std::set<pid_t> told_to_die(const std::vector<TaskWait>& waits);

/// By process, each thread with its context switches.
ThreadsByProcess threads_of(const std::vector<TaskWait>& waits);

class WaitReader {
 public:
  /// Loads the program. unsupported: built without BPF, no BTF, a kernel before 5.17; denied; io. One sentence why.
  static Result<std::unique_ptr<WaitReader>> load();
  WaitReader() = default;
  WaitReader(const WaitReader&) = delete;
  WaitReader& operator=(const WaitReader&) = delete;
  virtual ~WaitReader() = default;

  /// Every thread that is exiting, dumping core, a sleeping worker of io_uring, has SIGKILL pending, or belongs to a
  /// process that left by exit_group.
  virtual Result<std::vector<TaskWait>> read() = 0;
};

/// Puts what `waits` says beside the threads of `suspects`; a thread is known by TID and start time.
void merge_waits(const std::vector<TaskWait>& waits, std::vector<ProcessSample>& suspects);

}  // namespace defused
