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
  // A lock that no frame ascribes to another file system.
  const bool open = thread.wait_class == WaitClass::unknown || thread.wait_class == WaitClass::fuse_lock;
  return open && !thread.connection && is_in_lock(thread.stack);
}

// Those of one process that are certain of what they wait for: the worker of its io_uring, the writer of its core dump,
// the holder of a lock.
struct Leaders {
  const BlockedThread* worker = nullptr;
  const BlockedThread* dumper = nullptr;
  const BlockedThread* holder = nullptr;

  explicit Leaders(const std::vector<BlockedThread>& threads) {
    for (const BlockedThread& thread : threads) {
      if (!has_fuse_frame(thread.stack)) continue;
      if (worker == nullptr && is_io_worker(thread.stack)) worker = &thread;
      if (dumper == nullptr && thread.wait_class == WaitClass::coredump) dumper = &thread;
      if (holder == nullptr && !is_in_lock(thread.stack)) holder = &thread;
    }
  }

  [[nodiscard]] const BlockedThread* of(const BlockedThread& follower) const {
    if (follower.wait_class == WaitClass::io_uring) return worker;
    return follower.wait_class == WaitClass::coredump ? dumper : holder;
  }
};

// The lines of its own mount table that the answer rests on.
void keep_mounts(const ThreadSample& thread, BlockedThread& out) {
  if (!thread.mounts) return;
  const std::set<ConnectionId> among(out.candidates.begin(), out.candidates.end());
  for (const FuseMount& mount : thread.mounts->fuse_mounts) {
    if (out.mounts.size() == kMaxShownMounts) return;
    if (among.count(mount.connection) > 0) out.mounts.push_back(mount);
  }
}

// A descriptor of it could not be read: it may be of a connection that is mounted elsewhere.
bool has_descriptor_gap(const ThreadSample& thread) {
  return std::any_of(thread.gaps.begin(), thread.gaps.end(),
                     [](const auto& gap) { return gap.first.first == "fdinfo"; });
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
      out_of_sight_(find_out_of_sight(snapshot, mounts)),
      hung_flushers_(find_hung_flushers(snapshot.processes)),
      any_virtiofs_(has_any_virtiofs(snapshot)) {
  for (const auto& [id, facts] : mounts) {
    for (const int mount_id : facts.mount_ids) connection_of_mount_.emplace(mount_id, id);
  }
  for (const ConnectionFinding& connection : connections) finding_of_.emplace(connection.id, &connection);
  // What could not be read, in this pass or in the last one, rules nothing out.
  for (const ConnectionSample& sample : snapshot.connections) {
    const auto known = before.connections.find(sample.id);
    const bool waited =
        known == before.connections.end() ||
        (known->second.may_wait() && may_be_same(known->second.directory_inode, sample.directory_inode));
    if (sample.may_wait() && waited) waiting_in_both_.insert(sample.id);
  }
}

const ConnectionFinding* ThreadJudge::find(ConnectionId id) const {
  const auto found = finding_of_.find(id);
  return found == finding_of_.end() ? nullptr : found->second;
}

// The kernel itself says where it is queued; or its stack leads to one connection only, and that one has requests
// waiting. Several on the stack prove nothing: some are of calls that are long over.
bool ThreadJudge::attribute_exactly(const ThreadSample& thread, BlockedThread& out) const {
  std::optional<ConnectionId> id = thread.queued;
  if (!id && is_fuse(out.wait_class) && thread.on_stack && thread.on_stack->size() == 1) id = thread.on_stack->front();
  if (!id || !waits_in_both_samples(*id)) return false;
  out.witness = thread.queued ? Witness::kernel_queue : Witness::kernel_stack;
  out.connection = id;
  out.candidates = {*id};
  out.attribution = Attribution::exact;
  out.attribution_serves_acting = true;
  return true;
}

// Its own mounts, what it has open or had (a descriptor may come from another mount namespace), and what waits out of
// sight.
ThreadJudge::Pool ThreadJudge::pool_of(const ProcessId& process, const ThreadSample& thread,
                                       const BlockedThread& out) const {
  Pool pool;
  const bool overlay = is_through_overlay(thread);
  std::set<ConnectionId> mounted;
  if (thread.mounts) {
    for (const FuseMount& mount : thread.mounts->fuse_mounts) mounted.insert(mount.connection);
  }
  pool.mounted = mounted.size();
  std::set<ConnectionId> elsewhere(out_of_sight_.begin(), out_of_sight_.end());
  for (const ConnectionId id : opened_by(process, thread)) {
    if (mounted.count(id) == 0) elsewhere.insert(id);
  }
  if (overlay || !thread.mounts) {  // a layer may be mounted in any namespace
    for (const ConnectionSample& sample : snapshot_.connections) elsewhere.insert(sample.id);
  }
  for (const ConnectionId id : mounted) {
    if (waits_in_both_samples(id)) pool.own.insert(id);
  }
  pool.candidates = pool.own;
  for (const ConnectionId id : elsewhere) {
    if (!waits_in_both_samples(id)) continue;
    pool.all_in_sight = pool.all_in_sight && mounted.count(id) > 0;
    pool.candidates.insert(id);
  }
  pool.all_in_sight = pool.all_in_sight && thread.mounts && thread.mounts->complete && !overlay;
  pool.all_known = !lacks_connections(snapshot_) && !has_descriptor_gap(thread) && thread.mounts &&
                   thread.mounts->complete && !has_frame(out.stack, "cuse_read_iter") &&
                   !has_frame(out.stack, "cuse_write_iter") &&
                   !(overlay ? any_virtiofs_ : thread.mounts->has_virtiofs) &&
                   std::all_of(mounted.begin(), mounted.end(), [&](ConnectionId id) { return find(id) != nullptr; });
  return pool;
}

// The connections that it has files open on, or had when it was last seen with any.
std::set<ConnectionId> ThreadJudge::opened_by(const ProcessId& process, const ThreadSample& thread) const {
  std::set<ConnectionId> opened;
  for (const int mount_id : thread.open_mount_ids) {
    const auto found = connection_of_mount_.find(mount_id);
    if (found != connection_of_mount_.end()) opened.insert(found->second);
  }
  const auto known = before_.open_files.find(process);
  if (known == before_.open_files.end()) return opened;
  for (const OpenConnection& open : known->second.connections) {
    const ConnectionFinding* connection = find(open.id);
    if (connection != nullptr && connection->directory_inode == open.directory_inode) opened.insert(open.id);
  }
  return opened;
}

// Without a stack any wait may go through an overlay that is mounted.
bool ThreadJudge::is_through_overlay(const ThreadSample& thread) {
  if (thread.stack && !thread.stack->empty()) return has_overlay_frame(*thread.stack);
  return thread.mounts && thread.mounts->has_overlay;
}

// The one of several candidates whose writeback hangs, for a thread that waits for pages.
std::optional<ConnectionId> ThreadJudge::flushed(const BlockedThread& out, const Pool& pool) const {
  const bool for_pages = out.wait_class == WaitClass::fuse_writeback ||
                         (out.wait_class == WaitClass::fuse_flush && !has_frame(out.stack, "request_wait_answer"));
  if (!for_pages) return std::nullopt;
  std::vector<ConnectionId> both;
  std::copy_if(pool.candidates.begin(), pool.candidates.end(), std::back_inserter(both), [&](ConnectionId id) {
    const auto before = before_.connections.find(id);
    return hung_flushers_.count(id) > 0 && before != before_.connections.end() && before->second.flusher_hung;
  });
  return both.size() == 1 ? std::optional(both.front()) : std::nullopt;
}

// The one of several candidates that its process had files open on shortly before it stopped. Of a mapping whose file
// was closed, descriptors say nothing.
std::optional<ConnectionId> ThreadJudge::remembered(const ProcessId& process, const BlockedThread& out,
                                                    const Pool& pool) const {
  const auto known = before_.open_files.find(process);
  if (known == before_.open_files.end() || out.wait_class == WaitClass::fuse_writeback) return std::nullopt;
  if (known->second.seen + kOpenFilesServe < snapshot_.taken.boottime - out.blocked_for) return std::nullopt;
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

// The kernel names a connection that is none of those that wait: one that fusectl does not list (virtiofs, say), or
// that it says is idle. Then nothing else is to be guessed.
bool ThreadJudge::waits_for_unlisted(const ThreadSample& thread) const {
  if (thread.queued) return true;
  if (!thread.on_stack || thread.on_stack->empty()) return false;
  return std::all_of(thread.on_stack->begin(), thread.on_stack->end(),
                     [&](ConnectionId id) { return find(id) == nullptr; });
}

bool ThreadJudge::knows_open_files(const ThreadSample& thread) const {
  return !has_descriptor_gap(thread) && !lacks_connections(snapshot_) && snapshot_.surroundings &&
         snapshot_.surroundings->viewers_complete;
}

// AIO has nothing of FUSE on its stack. What it has in flight, it has open, and of what it has open something waits.
bool ThreadJudge::attribute_aio(const ProcessId& process, const ThreadSample& thread, BlockedThread& out) const {
  std::set<ConnectionId> open;
  for (const ConnectionId id : opened_by(process, thread)) {
    if (waits_in_both_samples(id)) open.insert(id);
  }
  if (open.empty()) return false;
  out.candidates.assign(open.begin(), open.end());
  if (open.size() == 1) out.connection = *open.begin();
  if (open.size() == 1) out.witness = Witness::open_files;
  out.attribution = open.size() == 1 ? Attribution::by_waiting : Attribution::ambiguous;
  return true;
}

bool ThreadJudge::attribute(const ProcessId& process, const ThreadSample& thread, BlockedThread& out) const {
  if (attribute_exactly(thread, out)) return true;
  if (waits_for_unlisted(thread)) return false;
  if (out.wait_class == WaitClass::aio) {
    if (none_waits()) return true;  // no candidate at all
    if (!knows_open_files(thread)) return false;
    if (attribute_aio(process, thread, out)) return true;
  }
  const Pool pool = pool_of(process, thread, out);
  out.candidates.assign(pool.candidates.begin(), pool.candidates.end());
  if (pool.candidates.empty()) return pool.all_known;
  if (!pool.all_known) {
    out.attribution = Attribution::ambiguous;
    return false;
  }
  // One that it can see, where others wait out of sight: told, but not acted on; conclude() takes it back where they
  // differ.
  const std::set<ConnectionId>& named = pool.own.size() == 1 ? pool.own : pool.candidates;
  if (named.size() == 1 && !is_through_overlay(thread)) {
    out.connection = *named.begin();
    out.witness = Witness::mounts;
    out.attribution = pool.mounted == 1 && !pool.own.empty() ? Attribution::only_candidate : Attribution::by_waiting;
    out.attribution_serves_acting = pool.all_in_sight && out.wait_class != WaitClass::aio;
    return true;
  }
  out.attribution = Attribution::ambiguous;
  auto known = flushed(out, pool);
  out.witness = known ? Witness::flusher : Witness::none;
  if (!known) {
    known = remembered(process, out, pool);
    if (known) out.witness = Witness::open_files;
  }
  if (known) {  // told, but not acted on: the one is seen beside the wait, the other before it
    out.connection = known;
    out.candidates = {*known};
    out.attribution = Attribution::exact;
  }
  return true;
}

// From the connection, or from all candidates where they say the same.
void ThreadJudge::conclude(bool all_known, BlockedThread& out) const {
  if (!may_wait_for_fuse(out)) {
    out.verdict = is_undecided(out) ? Verdict::undetermined : Verdict::not_fuse;
    return;
  }
  if (!all_known) return;
  if (out.candidates.empty()) {
    // Of AIO nothing says that it is FUSE's; with no connection at all that waits it is not.
    if (out.wait_class == WaitClass::aio && none_waits()) out.verdict = Verdict::not_fuse;
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
    out.witness = Witness::none;
    out.attribution = Attribution::ambiguous;
  }
}

bool ThreadJudge::none_waits() const {
  return !lacks_connections(snapshot_) &&
         std::none_of(snapshot_.connections.begin(), snapshot_.connections.end(),
                      [](const ConnectionSample& sample) { return sample.may_wait(); });
}

BlockedThread ThreadJudge::judge(const ProcessSample& process, const ThreadSample& thread,
                                 const ThreadMemory& memory) const {
  BlockedThread out;
  out.pid = process.id.pid;
  out.id = thread.id;
  out.comm = thread.comm;
  out.state = thread.state;
  out.has_memory = thread.has_memory;
  out.exiting = thread.exiting;
  out.wchan = thread.wchan;
  out.gaps = thread.gaps;
  out.sigkill_pending = thread.sigkill_pending;
  out.context_switches = thread.context_switches;
  out.samples = memory.samples;
  out.blocked_for = snapshot_.taken.boottime - memory.unchanged_since;
  if (thread.stack) out.stack = *thread.stack;
  out.wait_class = class_of(thread);
  const bool all_known = !may_wait_for_fuse(out) || attribute(process.id, thread, out);
  conclude(all_known, out);
  keep_mounts(thread, out);
  return out;
}

void ThreadJudge::follow_each_other(std::vector<BlockedThread>& threads) {
  const Leaders leaders(threads);
  for (BlockedThread& thread : threads) {
    if (!waits_for_a_sibling(thread)) continue;
    const BlockedThread* leader = leaders.of(thread);
    if (leader == nullptr || leader == &thread) continue;
    if (thread.wait_class == WaitClass::unknown) thread.wait_class = WaitClass::fuse_lock;
    thread.connection = leader->connection;
    thread.candidates = leader->candidates;
    thread.attribution = leader->attribution;
    thread.witness = leader->connection ? Witness::sibling : Witness::none;
    thread.attribution_serves_acting = leader->attribution_serves_acting;
    thread.verdict = leader->verdict;
    thread.evidence = leader->evidence;
  }
}

}  // namespace defused
