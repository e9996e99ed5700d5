// SPDX-License-Identifier: Apache-2.0
#include "detect/threads.h"

#include <algorithm>
#include <set>

#include "detect/wait_class.h"

namespace defused {

ThreadMemory remember_thread(const ThreadSample& thread, const std::map<ThreadId, ThreadMemory>& before, Instant now) {
  const auto known = before.find(thread.id);
  if (known != before.end() && known->second.context_switches == thread.context_switches) {
    ThreadMemory memory = known->second;
    ++memory.samples;
    return memory;
  }
  ThreadMemory memory;
  memory.context_switches = thread.context_switches;
  memory.samples = 1;
  memory.unchanged_since = now.boottime - std::min(thread.slept.value_or(Nanoseconds(0)), now.boottime);
  return memory;
}

ThreadJudge::ThreadJudge(const Snapshot& snapshot, const History& before,
                         const std::vector<ConnectionFinding>& connections, bool out_of_sight)
    : snapshot_(snapshot), before_(before), connections_(connections), out_of_sight_(out_of_sight) {}

const ConnectionFinding* ThreadJudge::find(ConnectionId id) const {
  const auto found = std::find_if(connections_.begin(), connections_.end(),
                                  [&](const ConnectionFinding& connection) { return connection.id == id; });
  return found == connections_.end() ? nullptr : &*found;
}

// An unreadable `waiting` rules nothing out.
bool ThreadJudge::waits_in_both_samples(ConnectionId id) const {
  const auto sample = std::find_if(snapshot_.connections.begin(), snapshot_.connections.end(),
                                   [&](const ConnectionSample& connection) { return connection.id == id; });
  if (sample == snapshot_.connections.end()) return false;
  if (!sample->waiting) return true;
  const auto before = before_.connections.find(id);
  return *sample->waiting > 0 && before != before_.connections.end() && before->second.waiting > 0 &&
         before->second.directory_inode == sample->directory_inode;
}

void ThreadJudge::attribute(const ThreadSample& thread, BlockedThread& out) const {
  if (!thread.mounts) return;
  std::set<ConnectionId> mounted;
  for (const FuseMount& mount : thread.mounts->fuse_mounts) mounted.insert(mount.connection);
  for (const ConnectionId id : mounted) {
    if (waits_in_both_samples(id)) out.candidates.push_back(id);
  }
  if (out.candidates.empty()) return;
  if (out.candidates.size() > 1) {
    out.attribution = Attribution::ambiguous;
    return;
  }
  out.connection = out.candidates.front();
  out.attribution = mounted.size() == 1 ? Attribution::only_candidate : Attribution::by_waiting;
  out.attribution_serves_acting = !out_of_sight_ && !has_overlay_frame(out.stack) && thread.mounts->complete;
}

// From the connection, or from all candidates where they say the same.
void ThreadJudge::conclude(BlockedThread& out) const {
  if (!is_fuse(out.wait_class)) {
    out.verdict = out.wait_class == WaitClass::unknown ? Verdict::undetermined : Verdict::not_fuse;
    return;
  }
  bool all_silent = !out.candidates.empty();
  bool all_alive = !out.candidates.empty();
  Evidence weakest = Evidence::proven;
  for (const ConnectionId id : out.candidates) {
    const ConnectionFinding* connection = find(id);
    const ServerState state = connection == nullptr ? ServerState::unknown : connection->server_state;
    all_silent = all_silent && (state == ServerState::none || state == ServerState::dying);
    all_alive = all_alive && state == ServerState::alive;
    if (connection != nullptr) weakest = std::min(weakest, connection->server_evidence);
  }
  if (all_silent) out.verdict = Verdict::deadlocked;
  if (all_alive) out.verdict = Verdict::waiting_on_live_server;
  if (all_silent || all_alive) out.evidence = weakest;
}

BlockedThread ThreadJudge::judge(const ProcessSample& process, const ThreadSample& thread,
                                 const ThreadMemory& memory) const {
  BlockedThread out;
  out.pid = process.id.pid;
  out.id = thread.id;
  out.comm = thread.comm;
  out.sigkill_pending = thread.sigkill_pending;
  out.context_switches = thread.context_switches;
  out.samples = memory.samples;
  out.blocked_for = snapshot_.taken.boottime - memory.unchanged_since;
  if (thread.stack) out.stack = *thread.stack;
  const bool has_stack = thread.stack && !thread.stack->empty();
  const std::vector<std::string> frames =
      has_stack || thread.wchan.empty() ? out.stack : std::vector<std::string>{thread.wchan};
  out.wait_class = classify_wait(frames);
  if (is_fuse(out.wait_class)) attribute(thread, out);
  conclude(out);
  return out;
}

}  // namespace defused
