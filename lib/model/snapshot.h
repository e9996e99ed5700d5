// SPDX-License-Identifier: Apache-2.0
// Snapshot: what one pass read, and nothing concluded from it. Made by lib/procfs and lib/fusectl, judged by
// lib/detect. Passive data; does not change after it is made. All strings went through sanitize() at the parser.
#pragma once

#include <sys/types.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "model/ids.h"
#include "model/words.h"

namespace defused {

/// Reads that failed, counted by file name without its PID ("status", "task/mountinfo", "fdinfo") and kind.
/// `gone` of a process that just ended is not counted: a vanished process is no failure.
using Gaps = std::map<std::pair<std::string, ErrorKind>, std::uint64_t>;

inline void add_gap(Gaps& gaps, std::string file, ErrorKind kind) { ++gaps[{std::move(file), kind}]; }

inline void add_gaps(Gaps& gaps, const Gaps& more) {
  for (const auto& [what, count] : more) gaps[what] += count;
}

/// A process as a list for people names it.
struct NamedProcess {
  pid_t pid = 0;
  std::string comm;
  friend bool operator==(const NamedProcess&, const NamedProcess&) = default;
};

/// Which processes gaps are about: the first kMaxGapProcesses distinct ones for each file and kind.
using GapProcesses = std::map<std::pair<std::string, ErrorKind>, std::vector<NamedProcess>>;
inline constexpr std::size_t kMaxGapProcesses = 8;

inline void add_gap_process(GapProcesses& gaps, const std::pair<std::string, ErrorKind>& what,
                            const NamedProcess& process) {
  std::vector<NamedProcess>& named = gaps[what];
  for (const NamedProcess& known : named) {
    if (known.pid == process.pid) return;
  }
  if (named.size() < kMaxGapProcesses) named.push_back(process);
}

inline void add_gap_processes(GapProcesses& gaps, const GapProcesses& more) {
  for (const auto& [what, processes] : more) {
    for (const NamedProcess& process : processes) add_gap_process(gaps, what, process);
  }
}

/// The few fields of a `status` that the walk over all processes keeps, and the only file it reads.
struct ProcessBrief {
  pid_t pid = 0;            ///< thread-group leader, host PID namespace
  pid_t ppid = 0;           ///< real parent, 0 when outside the reader's namespace
  std::uint32_t level = 0;  ///< depth of its PID namespace below the reader's: numbers in NStgid less one
  pid_t inner_pid = 0;      ///< last number of NStgid; level > 0 and inner_pid == 1 make it an init
  std::uint32_t threads = 0;
  char state = '?';         ///< R S D Z T t I X ...
  bool has_memory = false;  ///< Vm* lines are there: not yet through exit_mm
  bool kernel_thread = false;
  bool sigkill_pending = false;  ///< bit 9 of SigPnd or ShdPnd
  bool killed = false;  ///< bit 9 of ShdPnd; in SigPnd alone it is of the leader, which a sibling's execve ends too
  bool core_dumping = false;
  bool told_to_die = false;            ///< the kernel says so where status does not (lib/bpf): it left by exit_group
  std::uint64_t context_switches = 0;  ///< of the leader, voluntary + nonvoluntary
  pid_t tracer = 0;                    ///< TracerPid of the leader; 0: none
  std::string name;

  [[nodiscard]] bool is_init() const { return level > 0 && inner_pid == 1; }
  /// Its namespace is dying: it is exiting, or will never do anything else. A SIGKILL from inside never reaches an
  /// init.
  [[nodiscard]] bool is_dying_init() const { return is_init() && (is_exiting() || is_doomed()); }
  /// It still has its memory, but will never again run in user space.
  [[nodiscard]] bool is_doomed() const { return killed || core_dumping || told_to_die; }
  /// A zombie with no other thread: dead, waiting for its parent.
  [[nodiscard]] bool is_finished() const { return (state == 'Z' || state == 'X') && threads <= 1; }
  /// Past exit_mm. A leader in Z may still have live threads: ask them.
  [[nodiscard]] bool is_exiting() const { return !has_memory && !kernel_thread; }
};

/// The one of that PID in a list by PID; null: none.
inline const ProcessBrief* find_process(const std::vector<ProcessBrief>& processes, pid_t pid) {
  const auto found = std::lower_bound(processes.begin(), processes.end(), pid,
                                      [](const ProcessBrief& process, pid_t wanted) { return process.pid < wanted; });
  return found != processes.end() && found->pid == pid ? &*found : nullptr;
}

/// One FUSE mount in one mountinfo. Other file systems are not kept.
struct FuseMount {
  int mount_id = 0;
  ConnectionId connection;
  std::string fstype;  ///< "fuse", "fuse.s3fs", "fuseblk"
  std::string source;
  std::string mount_point;
  friend bool operator==(const FuseMount&, const FuseMount&) = default;
};

inline constexpr std::size_t kMaxContainerHints = 8;

/// What a mountinfo says, reduced to FUSE.
struct MountTable {
  std::vector<FuseMount> fuse_mounts;
  bool complete = true;  ///< false: the cap on lines bit
  bool has_overlay = false;
  std::vector<std::string> container_hints;  ///< roots and mount points that may name a container; kMaxContainerHints
  bool has_virtiofs = false;  ///< FUSE without an entry in fusectl: a wait for it looks like one for another
};

/// A thread that was looked at closely.
struct ThreadSample {
  ThreadId id;
  std::string comm;
  char state = '?';
  bool has_memory = false;
  bool sigkill_pending = false;
  bool core_dumping = false;
  bool asked = false;                  ///< read because somebody asked about its process
  std::optional<bool> exiting;         ///< PF_EXITING (0x4) of field 9 of stat; nothing where stat was not read
  std::uint64_t context_switches = 0;  ///< voluntary + nonvoluntary
  std::optional<std::vector<std::string>>
      stack;          ///< function names, innermost first, offsets and suffixes stripped; nothing: unreadable
  std::string wchan;  ///< "" where not read or 0
  /// Threads of one process in one mount namespace share it. Null: EINVAL (its namespaces are gone) or unreadable.
  std::shared_ptr<const MountTable> mounts;
  std::optional<NamespaceId> mount_namespace;
  std::vector<int> open_mount_ids;  ///< mnt_id of its open files (exit_mm and killed threads still have them)
  /// When it last ran, se.exec_start of `sched`: on the clock of the CPU that it ran on, which is no other one's.
  std::optional<Nanoseconds> last_ran;
  std::optional<std::uint32_t> last_cpu;  ///< field 39 of stat
  std::optional<Nanoseconds> slept;       ///< since it last ran, from the two; nothing where nobody can say
  pid_t tracer = 0;                       ///< TracerPid; 0: none, or none any more
  /// The connection in whose queue it stands at this moment, where the kernel itself was asked (lib/bpf).
  std::optional<ConnectionId> queued;
  /// All connections that its kernel stack leads to, what is long over included (lib/bpf); nothing: not known, or many.
  std::optional<std::vector<ConnectionId>> on_stack;
  Gaps gaps;             ///< what of this thread could not be read
  bool kept = false;     ///< it has not run since an earlier pass read it: all but its status is from there
  bool all_read = true;  ///< false: there was no time for those of its files that may block

  /// Dead: a zombie, or about to be one.
  [[nodiscard]] bool is_finished() const { return state == 'Z' || state == 'X'; }
};

/// A process that was looked at closely: an init that may be dying, a process below one, or one that was told to die.
struct ProcessSample {
  ProcessId id;
  ProcessBrief brief;
  std::optional<NamespaceId> pid_namespace;
  std::vector<ThreadSample> threads;
  bool asked = false;                     ///< somebody asked about it: looked at though nothing says that it is dying
  bool below_dying = false;               ///< in the tree of an init that is exiting or was killed, or that init itself
  bool threads_complete = true;           ///< false: the cap on threads bit or task/ could not be listed
  std::vector<std::string> cgroup_paths;  ///< of the leader: v2 ("0::") first, then v1, without "/" ones
  Gaps gaps;

  /// Whether that thread was told to die: it exits, dumps core or has SIGKILL pending, or the kernel says so of the
  /// whole process.
  [[nodiscard]] bool is_told_to_die(const ThreadSample& thread) const {
    return !thread.has_memory || thread.sigkill_pending || thread.core_dumping || brief.told_to_die;
  }
};

/// A directory below /sys/fs/fuse/connections.
struct ConnectionSample {
  ConnectionId id;
  std::optional<std::uint64_t> waiting;  ///< requests queued or being answered; nothing: unreadable
  std::uint64_t max_background = 0;
  std::uint64_t congestion_threshold = 0;
  std::uint64_t directory_inode = 0;  ///< identity: minors are used again at once, inode numbers are not
  [[nodiscard]] bool may_wait() const { return waiting != 0; }
};

/// Whether two readings of a directory's inode may be of one and the same connection; 0 is one that failed.
[[nodiscard]] constexpr bool may_be_same(std::uint64_t inode, std::uint64_t other) {
  return inode == other || inode == 0 || other == 0;
}

/// One live or dying process that holds /dev/fuse descriptors.
struct DeviceHolder {
  pid_t pid = 0;
  std::string name;
  std::uint64_t start_ticks = 0;          ///< 0: not read (its stat may block)
  std::vector<ConnectionId> connections;  ///< by `fuse_connection:` of fdinfo, one entry per descriptor
  std::uint32_t unattributed = 0;         ///< /dev/fuse descriptors whose connection the kernel does not name
};

/// One process with files open on mounts; mount ids are unique on the host, whatever the namespace.
struct FileUser {
  ProcessId id;                           ///< start time 0: not read
  std::vector<int> mount_ids;             ///< distinct, sorted; FUSE mounts only
  std::vector<ConnectionId> connections;  ///< the same as connections, where the kernel itself was asked (lib/bpf)
};

/// A mount namespace with live processes (as seen from one of them), told apart by the id of its first mount.
struct Viewer {
  std::vector<pid_t> pids;
  MountTable mounts;
};

/// Threads of processes with their context switches, where the kernel itself was asked (lib/bpf).
using ThreadsByProcess = std::map<pid_t, std::map<ThreadId, std::uint64_t>>;

/// Which mount namespace a thread is in, where the kernel itself was asked (lib/bpf).
struct ThreadPlace {
  pid_t pid = 0;
  pid_t tid = 0;
  NamespaceId mount_namespace;
};

/// Who holds, uses and sees connections: one index per pass, made only when a blocked thread may wait for FUSE.
struct Surroundings {
  std::vector<DeviceHolder> holders;
  std::vector<FileUser> users;
  std::vector<Viewer> viewers;
  bool kept = false;              ///< read in an earlier pass (daemon/kept_surroundings.h)
  std::set<ConnectionId> later;   ///< connections that came since then: nothing is known of them
  bool exact = false;             ///< the kernel itself was asked (lib/bpf): holders and users are known, not inferred
  bool readers_disagree = false;  ///< the kernel (BPF) and /proc were both asked and do not say the same
  bool holders_complete = true;   ///< false: a gap in the scan, so "no holder" is not known
  bool users_complete = true;
  bool viewers_complete = true;
  GapProcesses gap_processes;  ///< whose files could not be read
  std::set<pid_t> with_gaps;   ///< all of those
};

/// What does not change while the host runs, and the two knobs of fs.fuse.
struct KernelFacts {
  std::string release;
  FlushWaits fuse_flush_waits = FlushWaits::unknown;
  bool fdinfo_names_connection = false;  ///< fdinfo of /dev/fuse has `fuse_connection:` (Linux 6.16)
  std::optional<std::uint64_t> default_request_timeout_seconds;  ///< fs.fuse.default_request_timeout (Linux 6.15)
  std::optional<std::uint64_t> max_request_timeout_seconds;
  std::optional<bool> openat2;
};

struct Snapshot {
  Instant taken;
  KernelFacts kernel;
  bool fusectl_present = false;
  std::vector<ProcessBrief> processes;                     ///< all of the host, by PID
  std::vector<ProcessSample> suspects;                     ///< by PID
  std::vector<ConnectionSample> connections;               ///< by id
  std::map<pid_t, std::vector<std::string>> init_cgroups;  ///< of living inits, as ProcessSample::cgroup_paths
  /// Who has files open on FUSE, all of the host, where the kernel itself was asked; nothing: it was not.
  std::optional<std::vector<FileUser>> open_files;
  /// The number of the oldest waiting request of each connection that has a server, 0 for none (lib/bpf).
  std::optional<std::map<ConnectionId, std::uint64_t>> oldest_requests;
  std::map<pid_t, NamespaceId> init_namespaces;  ///< of living inits, only where somebody asked
  std::map<pid_t, pid_t> thread_owners;          ///< TID to process, of a TID that somebody asked about
  std::optional<Surroundings> surroundings;
  std::vector<std::string> blind;  ///< what this pass could not see at all: "fusectl", "stack" ...
  Gaps gaps;                       ///< of the whole pass, those of suspects included
  GapProcesses gap_processes;      ///< of suspects; those of the index are in `surroundings`

  /// Every process was seen: no `status` of one that still is there failed to be read.
  [[nodiscard]] bool processes_complete() const {
    return std::none_of(gaps.begin(), gaps.end(), [](const auto& gap) { return gap.first.first == "status"; });
  }
};

}  // namespace defused
