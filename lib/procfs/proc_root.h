// SPDX-License-Identifier: Apache-2.0
// ProcRoot: /proc as a root descriptor (or, for captures and tests, any directory of that shape), and the readings that
// make a Snapshot of it. The rules of DESIGN.md section 4 stand here: the walk reads `status` only; files that may
// block a reader (`stat stack wchan syscall ns/* fd/*` of a process that still has memory) are read last, by a child
// process that can be given up (bounded_read.h); cmdline, environ, maps, exe, root and cwd are never opened. A file
// that cannot be read is a gap, a process that vanished is nothing. One thread at a time.
#pragma once

#include <sys/types.h>

#include <functional>
#include <set>
#include <string>
#include <vector>

#include "base/beneath.h"
#include "base/clock.h"
#include "model/snapshot.h"
#include "procfs/walk_memory.h"

namespace defused {

/// Caps on what one process can make us read; a cap that bites is a gap, so nothing is ever "none" because of it.
struct ReadLimits {
  std::size_t max_processes = 4'194'304;     // PID_MAX_LIMIT of 64-bit kernels
  std::size_t max_threads = 32'768;          // per process
  std::size_t max_descriptors = 131'072;     // per process
  std::size_t max_mount_lines = 65'536;      // per mountinfo
  std::size_t max_mount_bytes = 32U << 20U;  // per mountinfo
  std::size_t max_index_mounts = 65'536;     // FUSE mounts of all mount namespaces together
  bool thread_tables = true;  // look for threads with a descriptor table of their own; not where lib/bpf sees all files
  Nanoseconds suspects_budget = std::chrono::milliseconds(2000);  // their files that do not block
  Nanoseconds surroundings_budget = std::chrono::milliseconds(2500);
  Nanoseconds hazard_timeout = std::chrono::milliseconds(250);  // one file of a process that still has memory
  Nanoseconds hazard_budget = std::chrono::milliseconds(1000);  // all of them in one pass
  Nanoseconds clock_timeout = std::chrono::milliseconds(250);   // the clock of one CPU, for the ages of threads
  Nanoseconds clock_budget = std::chrono::milliseconds(500);    // those that are asked at once, twice in a pass
  std::size_t readers = 8;  // children at once that may be lost by it; 0: none is read, each file is a gap (timeout)
  std::function<void(pid_t reader)> left_behind = {};  // told of each reader that cannot be ended; may be empty
};

/// Ours, so neither users nor viewers: this process, its parent (supervisor or command) and the parent's other
/// children.
struct OwnProcesses {
  pid_t self = 0;
  pid_t parent = 0;
};

class ProcRoot {
 public:
  /// Opens the directory at `path`. Errors: gone, denied, io.
  static Result<ProcRoot> open(const std::string& path = "/proc", ReadHook hook = {});

  [[nodiscard]] const Beneath& files() const { return root_; }
  /// Whether it is a procfs, so that of this kernel; else a copy of another moment, in which this host has no say.
  [[nodiscard]] bool is_live() const { return live_; }
  /// /proc/sys/fs/fuse, a root of its own: containers bind /proc/sys read-only, which is another mount. May be invalid.
  [[nodiscard]] const Beneath& fuse_knobs() const { return fuse_knobs_; }

  /// Notes what is read from now on, what children read included (Beneath::record_to): what a replay of it needs, and
  /// of kallsyms the symbols of FUSE.
  void record_to(ReadRecorder* recorder) {
    root_.record_to(recorder);
    fuse_knobs_.record_to(recorder);
  }

  /// All processes by PID, each with its inode number (walk_memory.h).
  [[nodiscard]] Result<std::vector<NumberedEntry>> list_processes(std::size_t max) const;

 private:
  ProcRoot(Beneath root, Beneath fuse_knobs, bool live)
      : root_(std::move(root)), fuse_knobs_(std::move(fuse_knobs)), live_(live) {}
  Beneath root_;
  Beneath fuse_knobs_;
  bool live_ = false;
};

/// Release, fs.fuse knobs and, from kallsyms (50 ms of reading, so once at start), how fuse_flush and fdinfo behave.
KernelFacts read_kernel_facts(const ProcRoot& proc);
/// The fs.fuse knobs alone, into `facts`: an operator may set them at any time.
void read_request_timeouts(const ProcRoot& proc, KernelFacts& facts);

/// How much of what earlier passes read is read again.
enum class WalkDepth {
  full,     ///< everything: for acting, and whenever there is nothing to go on from
  changes,  ///< who is new, inits, whoever was told to die and who is below a dying init; the rest in turn
};

struct WalkOrder {
  WalkDepth depth = WalkDepth::full;
  std::set<pid_t> told_to_die = {};  ///< what the kernel itself says where `status` does not (lib/bpf)
  /// All threads that sleep and are exiting, have SIGKILL pending or belong to `told_to_die`; nothing: nobody says.
  /// Then a process of which none is told is not dying, and one whose threads have not run since is as it was.
  std::optional<ThreadsByProcess> dying_threads = {};
  Nanoseconds rotation = std::chrono::seconds(60);  ///< by `changes` each `status` is read once in so long
};

/// Fills processes and suspects of `snapshot` (whose `taken` is set) from files that do not block. Errors: /proc itself
/// cannot be listed.
Result<void> read_processes(const ProcRoot& proc, const ReadLimits& limits, const WalkOrder& order, WalkMemory& memory,
                            Snapshot& snapshot);
/// The same in full, without memory.
Result<void> read_processes(const ProcRoot& proc, const ReadLimits& limits, Snapshot& snapshot);

inline constexpr std::size_t kMaxAskedProcesses = 48;  // per pass
inline constexpr std::size_t kMaxAskedThreads = 64;    // per process, beside those in D

/// Adds processes that somebody asked about to the suspects, at most kMaxAskedProcesses: what may block is left to
/// read_hazards, where it comes last.
void add_asked(const ProcRoot& proc, const ReadLimits& limits, const std::set<pid_t>& asked, Snapshot& snapshot);

/// Whose thread `tid` is, by its `status`; nothing where there is none.
std::optional<pid_t> read_owner(const ProcRoot& proc, pid_t tid);

/// The PID namespaces of the living inits and of this process, by `ns/pid`, each bounded.
void read_init_namespaces(const ProcRoot& proc, const ReadLimits& limits, Snapshot& snapshot);

/// Reads the status of all processes of `snapshot` again: some are of earlier passes where it was made by `changes`,
/// and an index that rests on how many threads each has must not rest on those.
void refresh_processes(const ProcRoot& proc, Snapshot& snapshot);

/// Reads what is missing of suspects that still have memory: files that may block, last, each bounded. Then it is known
/// since when threads sleep (thread_ages.h). Sums up the gaps of all suspects, and remembers them.
void read_hazards(const ProcRoot& proc, const ReadLimits& limits, WalkMemory& memory, Snapshot& snapshot);
void read_hazards(const ProcRoot& proc, const ReadLimits& limits, Snapshot& snapshot);

/// Makes the index of holders, users and viewers over all live processes from their descriptors and mounts, within the
/// budget. Needs `processes`, `suspects` and `kernel` of `snapshot`.
Surroundings read_surroundings(const ProcRoot& proc, const ReadLimits& limits, const OwnProcesses& own,
                               const Clock& clock, Snapshot& snapshot);

/// The viewers alone, where the kernel said which mount namespace each thread is in: two processes of each namespace
/// are asked for their mounts. For showing: a namespace whose two processes with the lowest PIDs changed their root is
/// seen only as far as they see it.
Surroundings read_viewers(const ProcRoot& proc, const ReadLimits& limits, const OwnProcesses& own,
                          const std::vector<ThreadPlace>& places, Snapshot& snapshot);

}  // namespace defused
