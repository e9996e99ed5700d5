// SPDX-License-Identifier: Apache-2.0
#include "detect/threads.h"

#include <algorithm>

#include "detect/wait_class.h"

namespace defused {

namespace {

WaitClass class_of(const ThreadSample& thread) {
  const bool has_stack = thread.stack && !thread.stack->empty();
  WaitClass found = WaitClass::unknown;
  if (has_stack) {
    found = classify_wait(*thread.stack);
  } else if (!thread.wchan.empty()) {
    found = classify_wchan(thread.wchan);
  }
  const bool says_nothing = found == WaitClass::other || found == WaitClass::unknown;
  // Siblings of the one that writes it: `do_exit` is all their stack says (6.18), or nothing.
  if (says_nothing && thread.core_dumping) return WaitClass::coredump;
  // A page whose file system no frame names; the kernel itself named the connection.
  if (says_nothing && thread.queued) return WaitClass::fuse_request;
  return found;
}

// May the wait be one for a FUSE server? Of a dump or a worker of io_uring the frames tell, of AIO nothing does.
bool may_wait_for_fuse(const BlockedThread& thread) {
  switch (thread.wait_class) {
    case WaitClass::aio: return true;
    case WaitClass::coredump:
    case WaitClass::io_uring: return has_fuse_frame(thread.stack);
    default: return is_fuse(thread.wait_class);
  }
}

// Frames that do not say what it waits for: not FUSE is then no more than a guess.
bool is_undecided(const BlockedThread& thread) {
  return thread.wait_class == WaitClass::unknown || thread.wait_class == WaitClass::io_uring ||
         is_in_lock(thread.stack);
}

bool waits_for_a_sibling(const BlockedThread& thread) {
  if (thread.wait_class == WaitClass::io_uring || thread.wait_class == WaitClass::coredump) {
    return !has_fuse_frame(thread.stack);
  }
  return !thread.connection && is_in_lock(thread.stack);
}

// Of the same process, and certain of what it waits for: the worker, the writer of the dump, the holder of the lock.
bool can_lead(const BlockedThread& leader, const BlockedThread& follower) {
  if (leader.pid != follower.pid || &leader == &follower || !has_fuse_frame(leader.stack)) return false;
  if (follower.wait_class == WaitClass::io_uring) return is_io_worker(leader.stack);
  if (follower.wait_class == WaitClass::coredump) return leader.wait_class == WaitClass::coredump;
  return !is_in_lock(leader.stack);
}

}  // namespace

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
                         const std::map<ConnectionId, MountFacts>& mounts,
                         const std::vector<ConnectionFinding>& connections)
    : snapshot_(snapshot),
      before_(before),
      connections_(connections),
      out_of_sight_(find_out_of_sight(snapshot, mounts)),
      hung_flushers_(find_hung_flushers(snapshot.processes)) {
  for (const auto& [id, facts] : mounts) {
    for (const int mount_id : facts.mount_ids) connection_of_mount_.emplace(mount_id, id);
  }
}

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

// The kernel itself says where it is queued; or its stack leads to one connection only, and that one has requests
// waiting. Several on the stack prove nothing: some are of calls that are long over.
bool ThreadJudge::attribute_exactly(const ThreadSample& thread, BlockedThread& out) const {
  std::optional<ConnectionId> id = thread.queued;
  if (!id && is_fuse(out.wait_class) && thread.on_stack && thread.on_stack->size() == 1) id = thread.on_stack->front();
  if (!id || !waits_in_both_samples(*id)) return false;
  out.connection = id;
  out.candidates = {*id};
  out.attribution = Attribution::exact;
  out.attribution_serves_acting = true;
  return true;
}

ThreadJudge::Pool ThreadJudge::pool_of(const ThreadSample& thread, const BlockedThread& out) const {
  Pool pool;
  if (out.wait_class == WaitClass::aio) {
    // What it has in flight, it has open; descriptors are closed only later.
    for (const int mount_id : thread.open_mount_ids) {
      const auto found = connection_of_mount_.find(mount_id);
      if (found != connection_of_mount_.end() && waits_in_both_samples(found->second)) {
        pool.candidates.insert(found->second);
      }
    }
    pool.mounted = 2;
    pool.own = pool.candidates;
    if (!pool.candidates.empty()) return pool;
  }
  std::set<ConnectionId> mounted;
  if (thread.mounts) {
    for (const FuseMount& mount : thread.mounts->fuse_mounts) mounted.insert(mount.connection);
  }
  pool.mounted = mounted.size();
  pool.all_in_sight =
      out_of_sight_.empty() && thread.mounts && thread.mounts->complete && !has_overlay_frame(out.stack);
  for (const ConnectionId id : mounted) {
    if (waits_in_both_samples(id)) pool.own.insert(id);
  }
  mounted.insert(out_of_sight_.begin(), out_of_sight_.end());
  pool.all_known = thread.mounts && thread.mounts->complete && !thread.mounts->has_virtiofs;
  if (has_overlay_frame(out.stack) || !thread.mounts) {  // a layer may be mounted in any namespace
    for (const ConnectionSample& sample : snapshot_.connections) mounted.insert(sample.id);
  }
  for (const ConnectionId id : mounted) {
    if (waits_in_both_samples(id)) pool.candidates.insert(id);
  }
  return pool;
}

std::optional<ConnectionId> ThreadJudge::flushed(const BlockedThread& out, const Pool& pool) const {
  const bool for_pages = out.wait_class == WaitClass::fuse_writeback ||
                         (out.wait_class == WaitClass::fuse_flush && !has_frame(out.stack, "request_wait_answer"));
  if (!for_pages) return std::nullopt;
  std::vector<ConnectionId> both;
  std::set_intersection(pool.candidates.begin(), pool.candidates.end(), hung_flushers_.begin(), hung_flushers_.end(),
                        std::back_inserter(both));
  return both.size() == 1 ? std::optional(both.front()) : std::nullopt;
}

// The one of several candidates that its process had files open on when it was last seen with any.
std::optional<ConnectionId> ThreadJudge::remembered(const ProcessId& process, const Pool& pool) const {
  const auto known = before_.open_files.find(process);
  if (known == before_.open_files.end()) return std::nullopt;
  std::optional<ConnectionId> only;
  for (const OpenConnection& open : known->second.connections) {
    const ConnectionFinding* connection = find(open.id);
    const bool same = connection != nullptr && connection->directory_inode == open.directory_inode;
    if (!same || pool.candidates.count(open.id) == 0) continue;
    if (only) return std::nullopt;
    only = open.id;
  }
  return only;
}

// The kernel names a connection that fusectl does not list: virtiofs, say.
bool ThreadJudge::waits_for_unlisted(const ThreadSample& thread) const {
  if (thread.queued) return find(*thread.queued) == nullptr;
  if (!thread.on_stack || thread.on_stack->empty()) return false;
  return std::all_of(thread.on_stack->begin(), thread.on_stack->end(),
                     [&](ConnectionId id) { return find(id) == nullptr; });
}

bool ThreadJudge::attribute(const ProcessId& process, const ThreadSample& thread, BlockedThread& out) const {
  if (attribute_exactly(thread, out)) return true;
  if (waits_for_unlisted(thread)) return false;
  const Pool pool = pool_of(thread, out);
  out.candidates.assign(pool.candidates.begin(), pool.candidates.end());
  if (pool.candidates.empty()) return pool.all_known;
  if (!pool.all_known) {
    out.attribution = Attribution::ambiguous;
    return false;
  }
  // One that it can see, where others wait out of sight: told, but not acted on; conclude() takes it back where they
  // differ.
  const std::set<ConnectionId>& named = pool.own.size() == 1 ? pool.own : pool.candidates;
  if (named.size() == 1 && !has_overlay_frame(out.stack)) {
    out.connection = *named.begin();
    out.attribution = pool.mounted == 1 && !pool.own.empty() ? Attribution::only_candidate : Attribution::by_waiting;
    out.attribution_serves_acting = pool.all_in_sight;
    return true;
  }
  out.attribution = Attribution::ambiguous;
  auto known = flushed(out, pool);
  if (!known) known = remembered(process, pool);
  if (known) {
    out.connection = known;
    out.candidates = {*known};
    out.attribution = Attribution::exact;
    out.attribution_serves_acting = pool.all_in_sight;
  }
  return true;
}

// From the connection, or from all candidates where they say the same.
void ThreadJudge::conclude(const ThreadSample& thread, bool all_known, BlockedThread& out) const {
  if (!may_wait_for_fuse(out)) {
    out.verdict = is_undecided(out) ? Verdict::undetermined : Verdict::not_fuse;
    return;
  }
  if (!all_known) return;
  if (out.candidates.empty()) {
    // Of AIO nothing says that it is FUSE's; with no connection that waits it is not.
    const bool none = out.wait_class == WaitClass::aio && out_of_sight_.empty() && thread.mounts.has_value();
    if (none) out.verdict = Verdict::not_fuse;
    return;
  }
  bool all_silent = true;
  bool all_alive = true;
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
  if (all_silent || all_alive) {
    out.evidence = weakest;
  } else if (out.candidates.size() > 1) {
    out.connection.reset();
    out.attribution = Attribution::ambiguous;
  }
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
  out.wait_class = class_of(thread);
  const bool all_known = !may_wait_for_fuse(out) || attribute(process.id, thread, out);
  conclude(thread, all_known, out);
  return out;
}

void ThreadJudge::follow_each_other(std::vector<BlockedThread>& threads) {
  for (BlockedThread& thread : threads) {
    if (!waits_for_a_sibling(thread)) continue;
    const auto leader = std::find_if(threads.begin(), threads.end(),
                                     [&](const BlockedThread& other) { return can_lead(other, thread); });
    if (leader == threads.end()) continue;
    if (is_in_lock(thread.stack)) thread.wait_class = WaitClass::fuse_lock;
    thread.connection = leader->connection;
    thread.candidates = leader->candidates;
    thread.attribution = leader->attribution;
    thread.attribution_serves_acting = leader->attribution_serves_acting;
    thread.verdict = leader->verdict;
    thread.evidence = leader->evidence;
  }
}

}  // namespace defused
