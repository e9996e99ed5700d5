// SPDX-License-Identifier: Apache-2.0
#include "detect/detect.h"

#include <algorithm>
#include <set>

#include "detect/connections.h"
#include "detect/container.h"
#include "detect/threads.h"
#include "detect/world.h"

namespace defused {

namespace {

// Two samples with the same context switches make a thread blocked; before that it may only be on its way.
constexpr std::uint32_t kSamplesToBeBlocked = 2;

int rank(Verdict verdict) {
  switch (verdict) {
    case Verdict::deadlocked: return 3;
    case Verdict::undetermined: return 2;
    case Verdict::waiting_on_live_server: return 1;
    case Verdict::not_fuse: return 0;
  }
  return 0;
}

bool decides_before(const BlockedThread& a, const BlockedThread& b) {
  if (a.verdict != b.verdict) return rank(a.verdict) > rank(b.verdict);
  return a.blocked_for > b.blocked_for;
}

std::optional<Container> container_of(const DyingNamespace& dying) {
  if (auto found = find_container(dying.init->cgroup_paths)) return found;
  for (const ProcessSample* member : dying.members) {
    if (auto found = find_container(member->cgroup_paths)) return found;
  }
  for (const ProcessSample* member : dying.members) {
    for (const ThreadSample& thread : member->threads) {
      if (!thread.mounts) continue;
      if (auto found = parse_container(thread.mounts->container_hint)) return found;
    }
  }
  return std::nullopt;
}

// wchan is only the fallback for a stack, and a namespace link decides nothing: their gaps do not weaken a finding.
bool matters(const Gaps& gaps) {
  return std::any_of(gaps.begin(), gaps.end(), [](const auto& gap) { return gap.first.first != "wchan"; });
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
        judge_(snapshot, before, connections_, waiting_out_of_sight(snapshot, mounts_)) {}

  Detection run() {
    Detection out;
    remember_connections();
    for (const DyingNamespace& dying : tree_.dying()) out.findings.namespaces.push_back(judge_namespace(dying));
    for (const ProcessSample& suspect : snapshot_.suspects) {
      if (tree_.namespace_of(suspect.id.pid) < 0) judge_stuck_exits(suspect, out.findings.stuck_exits);
    }
    out.findings.connections = std::move(connections_);
    out.history = std::move(after_);
    return out;
  }

 private:
  void remember_connections() {
    for (const ConnectionSample& sample : snapshot_.connections) {
      ConnectionMemory memory;
      memory.directory_inode = sample.directory_inode;
      memory.waiting = sample.waiting.value_or(0);
      memory.waiting_since = snapshot_.taken.boottime;
      const auto known = before_.connections.find(sample.id);
      const bool same = known != before_.connections.end() && known->second.directory_inode == sample.directory_inode;
      if (same && known->second.waiting > 0) memory.waiting_since = known->second.waiting_since;
      after_.connections[sample.id] = memory;
    }
  }

  // The blocked threads of one process into `out`, and all that may become such into the history.
  void judge_threads(const ProcessSample& process, std::vector<BlockedThread>& out) {
    for (const ThreadSample& thread : process.threads) {
      if (!may_be_blocked(thread)) continue;
      const ThreadMemory memory = remember_thread(thread, before_.threads, snapshot_.taken);
      after_.threads[thread.id] = memory;
      if (memory.samples >= kSamplesToBeBlocked) out.push_back(judge_.judge(process, thread, memory));
    }
  }

  NamespaceFinding judge_namespace(const DyingNamespace& dying) {
    NamespaceFinding finding;
    finding.id = dying.id;
    finding.init = dying.init->id;
    finding.init_comm = dying.init->brief.name;
    finding.state = dying.state;
    finding.container = container_of(dying);
    finding.gap = has_gap(dying) || !snapshot_.fusectl_present;
    for (const ProcessSample* member : dying.members) judge_threads(*member, finding.blocked_threads);
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
    return finding;
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

  void judge_stuck_exits(const ProcessSample& suspect, std::vector<StuckExit>& out) {
    std::vector<BlockedThread> blocked;
    judge_threads(suspect, blocked);
    for (BlockedThread& thread : blocked) {
      if (thread.blocked_for < settings_.stuck_after && !settings_.include_young) continue;
      const Nanoseconds since = snapshot_.taken.wall - thread.blocked_for;
      out.push_back(StuckExit{std::move(thread), since});
    }
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
