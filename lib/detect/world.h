// SPDX-License-Identifier: Apache-2.0
// World: a Snapshot with the questions that several judgements ask of it - who is below whom, who is alive, which
// mounts belong to a connection - answered once. Private to lib/detect. Pure.
#pragma once

#include <map>
#include <set>
#include <unordered_map>
#include <vector>

#include "model/report.h"
#include "model/snapshot.h"
#include "model/words.h"

namespace defused {

/// A dying PID namespace before anything is said of its threads.
struct DyingNamespace {
  NamespaceId id;
  const ProcessSample* init = nullptr;
  DyingState state = DyingState::reaping;
  std::vector<const ProcessSample*> members;  ///< suspects in it or below it, its own init included; innermost wins
  int outer = -1;                             ///< index of the dying namespace around it; -1: none
};

class ProcessTree {
 public:
  explicit ProcessTree(const Snapshot& snapshot);

  [[nodiscard]] const std::vector<DyingNamespace>& dying() const { return dying_; }

  /// The index in dying() of the innermost dying namespace that the process is in or below; -1 for none.
  [[nodiscard]] int namespace_of(pid_t pid) const;

  /// What the walk saw of a process; null: nothing.
  [[nodiscard]] const ProcessBrief* brief(pid_t pid) const;

  /// A process that can still run in user space: it has memory, was not told to die and is not being reaped with its
  /// namespace. A zombie leader with a living thread is alive; so is what is not known: a PID that the walk did not
  /// see, a process whose threads could not be read.
  [[nodiscard]] bool is_alive(pid_t pid) const;

  /// Alive and in no dying namespace at all.
  [[nodiscard]] bool is_alive_outside(pid_t pid) const { return is_alive(pid) && namespace_of(pid) < 0; }

 private:
  void find_dying();
  void assign_members();

  const Snapshot& snapshot_;
  std::unordered_map<pid_t, const ProcessBrief*> briefs_;
  std::unordered_map<pid_t, const ProcessSample*> suspects_;
  std::vector<DyingNamespace> dying_;
  std::unordered_map<pid_t, int> membership_;
};

/// What is known of a connection's mounts, from every mount table that was read.
struct MountFacts {
  std::string fstype;
  std::string source;
  std::vector<std::string> mount_points;  ///< distinct, at most kMaxMountPoints
  std::set<int> mount_ids;
};

std::map<ConnectionId, MountFacts> collect_mounts(const Snapshot& snapshot);

/// Whether a connection may be missing from the list.
bool lacks_connections(const Snapshot& snapshot);

/// Whether virtiofs, which fusectl does not list, is mounted in any mount table that was read.
bool has_any_virtiofs(const Snapshot& snapshot);

/// A thread that sits in zap_pid_ns_processes; where stacks are unreadable, told from wchan.
bool is_in_zap(const ThreadSample& thread);

/// A thread that was told to die and sleeps; whether it makes progress only a second sample can tell.
bool may_be_blocked(const ThreadSample& thread);

/// How far an exiting init has come, from its threads; nothing where none of them says that it is dying.
std::optional<DyingState> dying_state(const ProcessSample& init);

}  // namespace defused
