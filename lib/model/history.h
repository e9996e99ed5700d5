// SPDX-License-Identifier: Apache-2.0
// History: what earlier passes saw, as far as judging needs it. With Counters and LogMemory it is the Memory that the
// supervisor hands from a lost prober to its successor; the Ledger has a file of its own. Passive data, bounded:
// entries not seen in a pass are dropped.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "model/ids.h"
#include "model/report.h"
#include "model/subject.h"
#include "model/words.h"

namespace defused {

/// A blocked thread as it was last seen.
struct ThreadMemory {
  std::uint64_t context_switches = 0;
  Nanoseconds unchanged_since{0};  ///< boot time at which this count was first seen (or, from `sched`, last ran)
  std::uint32_t samples = 0;       ///< passes in which the count was the same, the first included
};

/// A dying PID namespace as it was first seen.
struct NamespaceMemory {
  Nanoseconds first_seen{0};  ///< boot time
};

/// A connection as it was last seen.
struct ConnectionMemory {
  std::uint64_t directory_inode = 0;
  std::optional<std::uint64_t> waiting;  ///< nothing: could not be read, so it may wait
  Nanoseconds waiting_since{0};          ///< boot time since which no sample was 0; meaningful while it may wait
  std::uint64_t oldest_request = 0;      ///< its number when that was last read; 0: not known
  Nanoseconds oldest_since{0};           ///< boot time since which it is the oldest one
  Nanoseconds oldest_read{0};            ///< boot time of the last reading of that number
  Nanoseconds silent_since{0};  ///< boot time since which nobody was seen who could answer; 0: somebody, or not known
  bool answered = false;        ///< somebody alive who could answer was seen, at some time
  bool flusher_hung = false;    ///< its flusher was in D
  [[nodiscard]] bool may_wait() const { return waiting != 0; }
};

/// A connection that a process had files open on.
struct OpenConnection {
  ConnectionId id;
  std::uint64_t directory_inode = 0;
  friend auto operator<=>(const OpenConnection&, const OpenConnection&) = default;
};

/// What a process had open when it was last seen with any file on FUSE: its descriptors vanish long before it does.
struct OpenFilesMemory {
  std::vector<OpenConnection> connections;
  Nanoseconds seen{0};  ///< boot time
};
inline constexpr std::size_t kMaxRememberedProcesses = 4096;
/// What was read longer before a thread stopped says nothing of what it waits for. By /proc alone it is read every 5
/// min.
inline constexpr Nanoseconds kOpenFilesServe = std::chrono::minutes(6);

/// The control group of a living init: of several the path that names a container, else the first, v2 before v1.
struct ContainerMemory {
  pid_t ppid = 0;
  std::string path;
};

struct History {
  std::map<ThreadId, ThreadMemory> threads;
  std::map<NamespaceId, NamespaceMemory> namespaces;
  std::map<ConnectionId, ConnectionMemory> connections;
  std::map<pid_t, ContainerMemory> containers;      ///< by PID of the init (cgroup v1 forgets it once it exits)
  std::map<ProcessId, OpenFilesMemory> open_files;  ///< at most kMaxRememberedProcesses, the last seen ones
};

/// One action, from intent to outcome. Of one before the last boot only its time and outcome mean anything: connection,
/// inode and namespace are 0.
struct LedgerEntry {
  ConnectionId connection;
  std::uint64_t directory_inode = 0;
  NamespaceId pid_namespace;
  Nanoseconds at_boottime{0};
  Nanoseconds at_wall{0};
  std::optional<Outcome> outcome;  ///< nothing: intent written, outcome not yet known
  std::string detail = {};         ///< of the outcome: one sentence
  Nanoseconds recovery{0};         ///< since -> released
  bool by_hand = false;            ///< `defused abort`
};

/// The circuit breaker: opened by failures, closed by an operator only.
struct Breaker {
  BreakerCause cause = BreakerCause::none;
  Nanoseconds since_wall{0};
  std::uint32_t failures = 0;  ///< failed outcomes in a row, also while it is closed
  std::string detail = {};     ///< one sentence
  [[nodiscard]] bool is_open() const { return cause != BreakerCause::none; }
};

/// What was done: the last kMaxLedgerEntries actions, oldest first. The file <state_directory>/ledger.json is its only
/// home (lib/remedy, ledger_file.h): it outlives probers, services and boots, and `defused abort` shares it.
struct Ledger {
  std::vector<LedgerEntry> entries;
  Breaker breaker;
};
inline constexpr std::size_t kMaxLedgerEntries = 256;

/// A cumulative histogram with fixed upper bounds in seconds (the last bucket is +Inf).
struct Histogram {
  std::vector<double> bounds;
  std::vector<std::uint64_t> counts;  ///< per bucket, not cumulative; bounds.size() + 1 of them
  double sum = 0;
};

/// What a line of the log is about; what does not apply is nothing or empty.
struct LogFacts {
  std::optional<NamespaceId> pid_namespace;
  std::optional<pid_t> init_pid;
  std::optional<pid_t> pid;  ///< of a stuck exit: its process and thread
  std::optional<pid_t> tid;
  std::string comm;  ///< of init, or of that thread
  std::string container_id;
  std::vector<ConnectionId> connections;
  std::string fstype;
  std::optional<Verdict> verdict;
  std::optional<WaitClass> wait_class;
  std::optional<Action> decision;
  std::vector<Gate> reasons;
  std::optional<ServerState> server_state;
  friend bool operator==(const LogFacts&, const LogFacts&) = default;
};

/// What the log said last of one namespace, stuck exit or connection: a successor does not say it again.
struct ToldMemory {
  std::string name;  ///< "PID namespace 4026532178 (init 4700 'docker-init')"
  LogFacts facts;
  bool trouble = false;        ///< stuck or stalled, as it was said last
  bool orphaned = false;       ///< as it was said last
  std::string counted = {};    ///< the decision that was counted last, as describe_decision() words it
  std::uint32_t lines = 0;     ///< about it, in a row
  Nanoseconds last_line{0};    ///< boot time
  std::uint32_t unsaid = 0;    ///< changes since then that were not said
  std::uint32_t records = 0;   ///< of its decisions in the audit log, in a row
  Nanoseconds last_record{0};  ///< boot time
};

/// What the log said, and how much of it lately. Bounded by what exists on the host.
struct LogMemory {
  std::map<std::string, ToldMemory> told;  ///< by "pid_namespace 4026532178", "thread 4713:99", "connection 40:17"
  Nanoseconds window{0};                   ///< boot time at which the current window began
  std::uint32_t lines = 0;                 ///< said in it
  std::map<std::string, std::uint64_t> left_out;  ///< not said in it, by event
};

/// Totals that must not fall when a prober is replaced.
struct Counters {
  std::uint64_t scans = 0;
  std::map<std::string, std::uint64_t> scan_failures;                      ///< by stage
  std::map<std::pair<std::string, std::string>, std::uint64_t> read_gaps;  ///< by file, kind
  std::map<Action, std::uint64_t> decisions;
  std::map<Outcome, std::uint64_t> aborts;
  Histogram scan_duration;      ///< seconds of one pass
  Histogram recovery_duration;  ///< seconds from since to released
};

struct Memory {
  History history;
  Counters counters;
  LogMemory log;
};

/// What a prober hands over after each pass.
struct PassResult {
  Report report;
  Memory memory;
  std::optional<SubjectFinding> subject;  ///< only where a subject was asked for
};

}  // namespace defused
