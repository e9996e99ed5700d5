// SPDX-License-Identifier: Apache-2.0
// Findings (what lib/detect concludes), Decisions (what lib/policy makes of them) and Report, the whole of one pass
// as it is shown: `defused.report/v1` of DESIGN.md section 7. Passive data.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "model/ids.h"
#include "model/snapshot.h"
#include "model/words.h"

namespace defused {

inline constexpr std::size_t kMaxShownMounts = 8;      ///< lines of one mount table that are kept as evidence
inline constexpr std::size_t kMaxShownProcesses = 16;  ///< processes of one list
inline constexpr std::size_t kMaxShownContainers = 8;
inline constexpr std::size_t kMaxMountPoints = 16;  ///< of one connection
inline constexpr std::size_t kMaxBlockedThreads =
    4096;  ///< of one namespace, and of all stuck exits; 1 KB of JSON each

/// A thread that was told to die and cannot; or one that is dead, and that nobody takes away (stack empty).
struct BlockedThread {
  pid_t pid = 0;  ///< its process
  ThreadId id;
  std::string comm;
  char state = '?';             ///< R S D Z T t I X, as in `status`
  bool has_memory = false;      ///< not yet through exit_mm
  std::optional<bool> exiting;  ///< PF_EXITING; nothing where stat was not read
  WaitClass wait_class = WaitClass::unknown;
  bool sigkill_pending = false;
  std::vector<std::string> stack;
  std::string wchan;  ///< the innermost function by itself; the fallback where there is no stack
  std::optional<ConnectionId> connection;
  std::vector<ConnectionId> candidates;  ///< connections that it may wait for
  std::vector<FuseMount> mounts;         ///< of its own mount table, those of the candidates; at most kMaxShownMounts
  Attribution attribution = Attribution::unknown;
  Witness witness = Witness::none;
  bool attribution_serves_acting = false;  ///< DESIGN.md 5.4: no overlay frame, no waiting connection out of sight
  Verdict verdict = Verdict::undetermined;
  Evidence evidence = Evidence::none;
  std::uint64_t context_switches = 0;
  std::uint32_t samples = 0;            ///< in a row without progress
  Nanoseconds blocked_for{0};           ///< without progress, by our samples or by `sched`
  std::optional<NamedProcess> awaited;  ///< unreaped_child: the parent; ptrace: the tracer, where it is known
  Gaps gaps;                            ///< what of this thread could not be read
};

struct Container {
  std::string id;       ///< full
  std::string runtime;  ///< docker, containerd, cri-o, podman, lxc, nspawn
  std::string pod_uid;  ///< with dashes, else empty
};

/// A dying PID namespace.
struct NamespaceFinding {
  NamespaceId id;
  ProcessId init;
  std::string init_comm;
  DyingState state = DyingState::reaping;
  WaitClass wait_class = WaitClass::unknown;  ///< that of the thread whose verdict it has
  Verdict verdict = Verdict::undetermined;
  Evidence evidence = Evidence::none;
  Nanoseconds since{0};  ///< wall clock: since when its oldest blocked thread has made no progress
  Nanoseconds stuck_for{0};
  std::uint32_t samples = 0;          ///< fewest among the threads that decide
  bool stuck = false;                 ///< a blocked thread, no progress for detect.stuck_after
  bool gap = false;                   ///< something that the decision rests on was unreadable
  Gaps gaps;                          ///< what of its members and their threads could not be read
  std::vector<NamedProcess> members;  ///< processes in it or below it, at most kMaxShownProcesses
  std::uint32_t member_count = 0;     ///< how many there are
  std::optional<Container> container;
  std::string cgroup;                          ///< path of its init's control group, v2 before v1; "": not known
  std::vector<BlockedThread> blocked_threads;  ///< the one that decides first; at most kMaxBlockedThreads
  std::uint32_t blocked_thread_count = 0;      ///< how many there are; where some are left out, `gap` is set
  std::vector<ConnectionId> connections;       ///< those that hold it: the wedged ones
  std::vector<NamespaceId> waits_for;          ///< dying namespaces in it that it waits for: their cause is told there
};

/// A blocked thread in no dying PID namespace. Shown and explained, never aborted automatically.
struct StuckExit {
  BlockedThread thread;
  Nanoseconds since{0};  ///< wall clock
  std::optional<Container> container;
};

struct Server {
  ProcessId id;
  std::string comm;
  ServerState state = ServerState::unknown;
  char process_state = '?';  ///< R S D T ...: of its leader
};

struct ConnectionFinding {
  ConnectionId id;
  std::uint64_t directory_inode = 0;
  std::string fstype;  ///< "" where it is mounted nowhere that was read
  std::string source;
  std::vector<std::string> mount_points;  ///< distinct, at most kMaxMountPoints
  std::vector<int> mount_ids;
  std::uint64_t waiting = 0;
  std::uint64_t max_background = 0;
  std::uint64_t congestion_threshold = 0;
  ServerState server_state = ServerState::unknown;
  Evidence server_evidence = Evidence::none;
  std::vector<Server> servers;
  std::optional<std::uint32_t> outside_users;  ///< nothing: not looked for, or unknown
  std::optional<std::uint32_t> outside_viewers;
  /// Those that were seen, also where the count is unknown; at most kMaxShownProcesses. Of a viewer, one live process.
  std::vector<NamedProcess> users;
  std::vector<NamedProcess> viewers;
  std::vector<Container> containers;         ///< that see or serve it, as far as known; at most kMaxShownContainers
  bool host_mount = false;                   ///< mounted in the mount namespace of the host's PID 1
  bool readers_disagree = false;             ///< the kernel (BPF) and /proc do not say the same of who holds or uses it
  bool orphaned = false;                     ///< stalled, mounted nowhere and held by nobody
  std::optional<Nanoseconds> waiting_since;  ///< wall clock, where requests have waited in two samples
  /// Wall clock: since when the oldest waiting request is the same, or requests wait that nobody can answer; only once
  /// that is detect.stuck_after.
  std::optional<Nanoseconds> stalled_since;
  /// Since when (so long ago) it is seen that nobody can answer, where somebody could before. The kernel ends a
  /// connection with its last descriptor, so that of one that goes on is somewhere: in flight, or kept in a store.
  std::optional<Nanoseconds> server_gone_for;
};

inline constexpr std::size_t kMaxShownThreads = 16;

/// A process that somebody asked about, whether anything is wrong with it or not.
struct ProcessFinding {
  ProcessId id;
  pid_t ppid = 0;
  std::string comm;
  char state = '?';
  bool has_memory = false;
  bool told_to_die = false;
  std::optional<NamespaceId> pid_namespace;
  std::optional<Container> container;
  /// Threads that sleep, judged like blocked ones although nobody told them to die: those that wait for something by
  /// name first, at most kMaxShownThreads.
  std::vector<BlockedThread> threads;
  std::uint32_t thread_count = 0;
  bool threads_complete = true;
  Gaps gaps;
};

/// What lib/detect makes of a Snapshot and the History.
struct Findings {
  std::vector<NamespaceFinding> namespaces;    ///< dying ones, by inode
  std::vector<StuckExit> stuck_exits;          ///< by TID, at most kMaxBlockedThreads
  std::uint32_t stuck_exit_count = 0;          ///< how many there are
  std::vector<ConnectionFinding> connections;  ///< all, by id
  std::vector<ProcessFinding> asked;           ///< processes that somebody asked about, by PID
};

/// What lib/policy makes of one NamespaceFinding.
struct Decision {
  NamespaceId pid_namespace;
  Action action = Action::hold;
  std::vector<Gate> reasons;               ///< every gate that holds; empty for abort
  std::optional<ConnectionId> connection;  ///< the one to abort, or that would be but for the gates
  std::uint32_t abort_budget = 0;          ///< aborts that the window still allowed when it was made
};

inline constexpr std::size_t kMaxShownActions = 16;

/// What beside the findings holds actions back, or lets them go on.
struct RemedyState {
  bool breaker_open = false;
  BreakerCause breaker_cause = BreakerCause::none;
  Nanoseconds breaker_since{0};       ///< wall clock
  std::string breaker_detail;         ///< one sentence
  std::uint32_t failures_in_row = 0;  ///< failed outcomes since the last released one, or the last reset
  bool inhibited = false;
  Nanoseconds inhibited_since{0};  ///< wall clock; 0: not known
  std::string inhibited_reason;    ///< what the operator said, or who else may act
  std::uint32_t abort_budget = 0;  ///< aborts left in the window
  std::string record_trouble;      ///< why ledger or audit cannot be written; "": they can, or were not tried
};

/// One action that was carried out or tried.
struct OutcomeRecord {
  NamespaceId pid_namespace;
  ConnectionId connection;
  Outcome outcome = Outcome::not_released;
  std::string detail;       ///< one sentence
  Nanoseconds recovery{0};  ///< since -> released
  Nanoseconds at{0};        ///< wall clock of its intent
  bool by_hand = false;     ///< `defused abort`
};

/// A whole pass, as shown.
struct Report {
  Nanoseconds scanned_at{0};  ///< wall clock
  Nanoseconds duration{0};
  std::string host;
  bool provisional = false;
  Mode mode = Mode::observe;
  KernelFacts kernel;
  std::vector<std::string> blind;
  Gaps gaps;
  GapProcesses gap_processes;
  std::uint32_t pid_namespace_count = 0;  ///< living and dying, the host's own not counted
  Findings findings;
  std::vector<Decision> decisions;      ///< one per namespace finding, same order
  std::vector<OutcomeRecord> outcomes;  ///< of this pass
  std::vector<OutcomeRecord> actions;   ///< the last ones of the Ledger, newest first, at most kMaxShownActions
  RemedyState remedy;
};

}  // namespace defused
