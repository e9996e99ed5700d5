// SPDX-License-Identifier: Apache-2.0
#include "detect/detect.h"

#include <algorithm>
#include <set>

#include "detect/connections.h"
#include "detect/remember.h"
#include "detect/threads.h"
#include "detect/wait_class.h"
#include "detect/world.h"

namespace defused {

namespace {

// Two samples with the same context switches make a thread blocked; before that it may only be on its way.
constexpr std::uint32_t kSamplesToBeBlocked = 2;

// The worst verdict, then the oldest. A worker of io_uring waits in the name of its process, which is told first; who
// waits behind another one is told after it.
bool decides_before(const BlockedThread& a, const BlockedThread& b) {
  if (a.verdict != b.verdict) return severity(a.verdict) > severity(b.verdict);
  const bool a_behind = a.wait_class == WaitClass::fuse_lock;
  if (a_behind != (b.wait_class == WaitClass::fuse_lock)) return !a_behind;
  if (is_io_worker(a.stack) != is_io_worker(b.stack)) return is_io_worker(b.stack);
  return a.blocked_for > b.blocked_for;
}

// What waits for something by name, then what sleeps in D.
bool tells_more(const BlockedThread& a, const BlockedThread& b) {
  const auto weight = [](const BlockedThread& thread) {
    const bool named = thread.wait_class != WaitClass::other && thread.wait_class != WaitClass::unknown;
    return (named ? 2 : 0) + (thread.state == 'D' ? 1 : 0);
  };
  return weight(a) > weight(b);
}

// wchan is only the fallback for a stack, and a namespace link decides nothing: their gaps do not weaken a finding.
bool matters(const Gaps& gaps) {
  return std::any_of(gaps.begin(), gaps.end(), [](const auto& gap) { return gap.first.first != "wchan"; });
}

Gaps gaps_of(const DyingNamespace& dying) {
  Gaps gaps;
  for (const ProcessSample* member : dying.members) {
    add_gaps(gaps, member->gaps);
    for (const ThreadSample& thread : member->threads) add_gaps(gaps, thread.gaps);
  }
  return gaps;
}

bool has_gap(const DyingNamespace& dying) {
  return std::any_of(dying.members.begin(), dying.members.end(), [](const ProcessSample* member) {
    return !member->threads_complete || matters(member->gaps) ||
           std::any_of(member->threads.begin(), member->threads.end(),
                       [](const ThreadSample& thread) { return matters(thread.gaps); });
  });
}

class Detector {
 public:
  Detector(const Snapshot& snapshot, const History& before, const DetectSettings& settings)
      : snapshot_(snapshot),
        before_(before),
        settings_(settings),
        tree_(snapshot),
        mounts_(collect_mounts(snapshot)),
        connections_(judge_connections(snapshot, tree_, mounts_, before)),
        judge_(snapshot, before, mounts_, connections_) {}

  Detection run() {
    Detection out;
    after_.connections = remember_connections(snapshot_, before_);
    after_.containers = remember_containers(snapshot_, before_);
    after_.open_files = remember_open_files(snapshot_, mounts_, before_);
    for (const DyingNamespace& dying : tree_.dying()) out.findings.namespaces.push_back(judge_namespace(dying));
    tell_outer_ones(out.findings.namespaces);
    for (const ProcessSample& suspect : snapshot_.suspects) {
      if (tree_.namespace_of(suspect.id.pid) < 0) judge_stuck_exits(suspect, out.findings);
    }
    for (const ProcessSample& suspect : snapshot_.suspects) {
      if (suspect.asked) out.findings.asked.push_back(judge_asked(suspect));
    }
    for (ConnectionFinding& connection : connections_) {
      tell_stall(connection);
      tell_lost_server(connection);
      // Its requests were counted before anybody looked for holders and mounts: one that ended in between has neither.
      connection.orphaned = connection.orphaned && connection.stalled_since;
      connection.containers = containers_around(connection, snapshot_, tree_, after_);
    }
    out.findings.connections = std::move(connections_);
    out.history = std::move(after_);
    return out;
  }

 private:
  // All that may become blocked goes into the history; true where it has stood since the last sample.
  std::optional<ThreadMemory> stands(const ThreadSample& thread) {
    const ThreadMemory memory = remember_thread(thread, before_.threads, snapshot_.taken);
    after_.threads[thread.id] = memory;
    if (memory.samples < kSamplesToBeBlocked) return std::nullopt;
    return memory;
  }

  std::vector<BlockedThread> judge_threads(const ProcessSample& process) {
    std::vector<BlockedThread> blocked;
    for (const ThreadSample& thread : process.threads) {
      if (!may_be_blocked(thread)) continue;
      const auto memory = stands(thread);
      if (!memory) continue;
      blocked.push_back(judge_.judge(process, thread, *memory));
      if (blocked.back().wait_class == WaitClass::ptrace) blocked.back().awaited = awaited(thread.tracer);
    }
    ThreadJudge::follow_each_other(blocked);
    return blocked;
  }

  // A dead member that nobody takes away. Init in zap_pid_ns_processes reaps every child of its own at once, but for
  // one that is traced: that is its tracer's. One put into the namespace from outside is its parent's.
  std::optional<BlockedThread> judge_dead(const DyingNamespace& dying, const ProcessSample& member) {
    if (!member.brief.is_finished() || member.threads.empty() || &member == dying.init) return std::nullopt;
    const ThreadSample& leader = member.threads.front();
    const auto memory = stands(leader);
    if (!memory) return std::nullopt;
    const pid_t parent = member.brief.ppid;
    BlockedThread dead;
    if (parent == dying.init->id.pid) {
      dead.wait_class = WaitClass::ptrace;
      dead.awaited = awaited(leader.tracer);
    } else if (tree_.brief(parent) != nullptr && tree_.namespace_of(parent) < 0) {
      dead.wait_class = WaitClass::unreaped_child;
      dead.awaited = awaited(parent);
    } else {
      return std::nullopt;  // its parent is itself about to die
    }
    dead.pid = member.id.pid;
    dead.id = leader.id;
    dead.comm = leader.comm;
    dead.state = leader.state;
    dead.exiting = leader.exiting;
    dead.sigkill_pending = leader.sigkill_pending;
    dead.context_switches = leader.context_switches;
    dead.samples = memory->samples;
    dead.blocked_for = snapshot_.taken.boottime - memory->unchanged_since;
    dead.verdict = Verdict::not_fuse;
    return dead;
  }

  [[nodiscard]] std::optional<NamedProcess> awaited(pid_t pid) const {
    const ProcessBrief* brief = tree_.brief(pid);
    if (brief == nullptr) return std::nullopt;
    return NamedProcess{pid, brief->name};
  }

  NamespaceFinding judge_namespace(const DyingNamespace& dying) {
    NamespaceFinding finding;
    finding.id = dying.id;
    finding.init = dying.init->id;
    finding.init_comm = dying.init->brief.name;
    finding.state = dying.state;
    finding.container = container_of(dying, after_);
    finding.cgroup = cgroup_of(dying, after_);
    finding.gaps = gaps_of(dying);
    finding.member_count = static_cast<std::uint32_t>(dying.members.size());
    for (const ProcessSample* member : dying.members) {
      if (finding.members.size() == kMaxShownProcesses) break;
      finding.members.push_back({member->id.pid, member->brief.name});
    }
    finding.gap = has_gap(dying) || lacks_connections(snapshot_);
    for (const ProcessSample* member : dying.members) {
      for (BlockedThread& thread : judge_threads(*member)) finding.blocked_threads.push_back(std::move(thread));
    }
    judge_the_dead(dying, finding.blocked_threads);
    const auto known = before_.namespaces.find(dying.id);
    const Nanoseconds first = known == before_.namespaces.end() ? snapshot_.taken.boottime : known->second.first_seen;
    after_.namespaces[dying.id] = NamespaceMemory{first};
    finding.since = snapshot_.taken.wall - (snapshot_.taken.boottime - first);
    if (finding.blocked_threads.empty()) {
      finding.wait_class = dying.state == DyingState::draining ? WaitClass::unreaped_child : WaitClass::unknown;
      if (dying.state == DyingState::draining) finding.verdict = Verdict::not_fuse;
      return finding;
    }
    std::stable_sort(finding.blocked_threads.begin(), finding.blocked_threads.end(), decides_before);
    sum_up(finding);
    bound(finding);
    return finding;
  }

  // Nothing is done to threads that nobody can look at again.
  static void bound(NamespaceFinding& finding) {
    finding.blocked_thread_count = static_cast<std::uint32_t>(finding.blocked_threads.size());
    if (finding.blocked_threads.size() <= kMaxBlockedThreads) return;
    finding.blocked_threads.resize(kMaxBlockedThreads);
    finding.gap = true;
    add_gap(finding.gaps, "threads", ErrorKind::unsupported);
  }

  // Only once init itself makes no progress: among many that die, each is dead for a moment before it is reaped.
  void judge_the_dead(const DyingNamespace& dying, std::vector<BlockedThread>& out) {
    bool init_stands = false;
    for (const ThreadSample& thread : dying.init->threads) {
      if (is_in_zap(thread) && stands(thread)) init_stands = true;
    }
    for (const ProcessSample* member : dying.members) {
      auto dead = judge_dead(dying, *member);
      if (dead && init_stands) out.push_back(*std::move(dead));
    }
  }

  // The thread that decides stands first; the namespace has its verdict.
  void sum_up(NamespaceFinding& finding) const {
    const BlockedThread& first = finding.blocked_threads.front();
    finding.wait_class = first.wait_class;
    finding.verdict = first.verdict;
    finding.evidence = first.evidence;
    finding.stuck_for = first.blocked_for;
    finding.since = snapshot_.taken.wall - first.blocked_for;
    finding.samples = first.samples;
    finding.stuck = first.blocked_for >= settings_.stuck_after;
    std::set<ConnectionId> holding;
    for (const BlockedThread& thread : finding.blocked_threads) {
      if (thread.verdict == first.verdict) finding.samples = std::min(finding.samples, thread.samples);
      if (thread.connection) holding.insert(*thread.connection);
    }
    finding.connections.assign(holding.begin(), holding.end());
  }

  // A namespace that waits for one inside of it: the cause is told once, at the inner one; the outer one has its
  // verdict unless it has a cause of its own. Innermost first, so that it goes all the way up.
  void tell_outer_ones(std::vector<NamespaceFinding>& findings) const {
    const auto& dying = tree_.dying();
    std::vector<std::size_t> order(dying.size());
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
    std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
      return dying[a].init->brief.level > dying[b].init->brief.level;
    });
    for (const std::size_t i : order) {
      if (dying[i].outer < 0) continue;
      const NamespaceFinding& inner = findings[i];
      NamespaceFinding& outer = findings[static_cast<std::size_t>(dying[i].outer)];
      outer.waits_for.push_back(inner.id);
      const bool has_own = !outer.blocked_threads.empty();
      const bool told = outer.waits_for.size() > 1 && severity(outer.verdict) >= severity(inner.verdict);
      if (has_own || told) continue;
      outer.wait_class = inner.wait_class;
      outer.verdict = inner.verdict;
      outer.evidence = inner.evidence;
      outer.since = std::min(outer.since, inner.since);
    }
  }

  void remember_silence(const ConnectionFinding& connection, ConnectionMemory& memory) const {
    const bool silent = connection.server_state == ServerState::none || connection.server_state == ServerState::dying;
    if (!silent) return;
    const auto known = before_.connections.find(connection.id);
    const bool was = known != before_.connections.end() && known->second.silent_since > Nanoseconds(0) &&
                     may_be_same(known->second.directory_inode, memory.directory_inode);
    memory.silent_since = was ? known->second.silent_since : snapshot_.taken.boottime;
  }

  // Counted from the first look without it, not from the last one with it: looks may be far apart.
  void tell_lost_server(ConnectionFinding& connection) {
    const auto found = after_.connections.find(connection.id);
    if (found == after_.connections.end()) return;
    ConnectionMemory& memory = found->second;
    const auto known = before_.connections.find(connection.id);
    const bool same =
        known != before_.connections.end() && may_be_same(known->second.directory_inode, memory.directory_inode);
    memory.answered = connection.server_state == ServerState::alive || (same && known->second.answered);
    if (!memory.answered || memory.silent_since == Nanoseconds(0)) return;
    connection.server_gone_for = snapshot_.taken.boottime - memory.silent_since;
  }

  // Whether a request moves, its number tells; that none can move, the lack of a server.
  void tell_stall(ConnectionFinding& connection) {
    const auto found = after_.connections.find(connection.id);
    if (found == after_.connections.end() || !found->second.may_wait()) return;
    ConnectionMemory& memory = found->second;
    remember_silence(connection, memory);
    std::optional<Nanoseconds> since;
    if (memory.silent_since > Nanoseconds(0)) since = std::max(memory.waiting_since, memory.silent_since);
    if (memory.oldest_request != 0) since = memory.oldest_since;
    if (!since) return;
    // The number is not read in each pass: it has stood until it was last read, no longer.
    const Nanoseconds until = memory.oldest_request != 0 ? memory.oldest_read : snapshot_.taken.boottime;
    const Nanoseconds stood = until - *since;
    if (stood <= Nanoseconds(0) || (stood < settings_.stuck_after && !settings_.include_young)) return;
    connection.stalled_since = snapshot_.taken.wall - (snapshot_.taken.boottime - *since);
  }

  void judge_stuck_exits(const ProcessSample& suspect, Findings& out) {
    for (BlockedThread& thread : judge_threads(suspect)) {
      if (thread.blocked_for < settings_.stuck_after && !settings_.include_young) continue;
      const Nanoseconds since = snapshot_.taken.wall - thread.blocked_for;
      ++out.stuck_exit_count;
      if (out.stuck_exits.size() == kMaxBlockedThreads) continue;
      out.stuck_exits.push_back(StuckExit{std::move(thread), since, container_of(suspect, tree_, after_)});
    }
  }

  // Where each of its threads sleeps, as if it had been told to die.
  ProcessFinding judge_asked(const ProcessSample& process) {
    ProcessFinding out;
    out.id = process.id;
    out.ppid = process.brief.ppid;
    out.comm = process.brief.name;
    out.state = process.brief.state;
    out.has_memory = process.brief.has_memory;
    out.told_to_die = process.brief.is_exiting() || process.brief.is_doomed() || process.brief.sigkill_pending;
    out.pid_namespace = process.pid_namespace;
    out.container = container_of(process, tree_, after_);
    out.thread_count = static_cast<std::uint32_t>(process.threads.size());
    out.threads_complete = process.threads_complete;
    out.gaps = process.gaps;
    for (const ThreadSample& thread : process.threads) {
      if (thread.state == 'R' || (!thread.stack && thread.wchan.empty() && thread.gaps.empty())) continue;
      const ThreadMemory memory = remember_thread(thread, before_.threads, snapshot_.taken);
      after_.threads[thread.id] = memory;
      out.threads.push_back(judge_.judge(process, thread, memory));
    }
    ThreadJudge::follow_each_other(out.threads);
    std::stable_sort(out.threads.begin(), out.threads.end(), tells_more);
    if (out.threads.size() > kMaxShownThreads) out.threads.resize(kMaxShownThreads);
    return out;
  }

  const Snapshot& snapshot_;
  const History& before_;
  const DetectSettings& settings_;
  ProcessTree tree_;
  std::map<ConnectionId, MountFacts> mounts_;
  std::vector<ConnectionFinding> connections_;
  ThreadJudge judge_;
  History after_;
};

}  // namespace

Detection detect(const Snapshot& snapshot, const History& before, const DetectSettings& settings) {
  return Detector(snapshot, before, settings).run();
}

}  // namespace defused
