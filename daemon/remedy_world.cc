// SPDX-License-Identifier: Apache-2.0
#include "daemon/remedy_world.h"

#include <algorithm>
#include <optional>
#include <string>

#include "base/text.h"
#include "detect/wait_class.h"
#include "procfs/read_parsed.h"

namespace defused {

namespace {

bool is_dead(char state) { return state == 'Z' || state == 'X'; }

// Dead but not yet reaped by its parent: the namespace is gone all the same.
bool is_init_gone(const ProcRoot& proc, const ProcessId& init) {
  const auto directory = proc.files().open_directory(std::to_string(init.pid));
  if (!directory) return directory.error().kind == ErrorKind::gone;
  const auto status = read_status(*directory, "");
  if (!status) return status.error().kind == ErrorKind::gone;
  const ProcessBrief brief = make_brief(*status);
  if (brief.is_finished() || !brief.is_init()) return true;
  if (brief.has_memory) return false;  // its stat may block
  const auto stat = read_stat(*directory, "");
  if (!stat) return stat.error().kind == ErrorKind::gone;
  return init.start_ticks != 0 && stat->start_ticks != init.start_ticks;
}

void take_place(const Beneath& directory, BlockedThread& thread) {
  const auto stack = directory.read_file("stack", kMaxSmallFile);
  if (stack) thread.stack = parse_stack(stack->text);
  const auto wchan = directory.read_file("wchan", kMaxSmallFile);
  const std::string_view symbol = wchan ? trim(wchan->text) : std::string_view();
  if (!symbol.empty() && symbol != "0") thread.wchan = strip_symbol(symbol);
  thread.wait_class = thread.stack.empty() ? classify_wchan(thread.wchan) : classify_wait(thread.stack);
}

// Nothing is known of what it waits in now.
void forget_place(BlockedThread& thread) {
  thread.stack.clear();
  thread.wchan.clear();
  thread.wait_class = WaitClass::unknown;
}

// `before` as it is now; nothing where it is not there any more.
std::optional<BlockedThread> read_again(const ProcRoot& proc, const BlockedThread& before, bool closely) {
  const auto gone = [](const Error& error) { return error.kind == ErrorKind::gone; };
  BlockedThread thread = before;
  forget_place(thread);
  const std::string path = std::to_string(before.pid) + "/task/" + std::to_string(before.id.tid);
  const auto directory = proc.files().open_directory(path);
  if (!directory) return gone(directory.error()) ? std::nullopt : std::optional(thread);
  const auto status = read_status(*directory, "");
  if (!status) return gone(status.error()) ? std::nullopt : std::optional(thread);
  if (is_dead(status->state) && !is_dead(before.state)) return std::nullopt;
  thread.comm = status->name;
  thread.state = status->state;
  thread.has_memory = status->has_memory;
  thread.sigkill_pending = status->sigkill_pending;
  if (thread.context_switches != status->context_switches) thread.connection.reset();
  thread.context_switches = status->context_switches;
  if (thread.has_memory) return thread;
  const auto stat = read_stat(*directory, "");
  if (!stat) return gone(stat.error()) ? std::nullopt : std::optional(thread);
  if (before.id.start_ticks != 0 && stat->start_ticks != before.id.start_ticks) return std::nullopt;
  thread.exiting = (stat->flags & kPfExiting) != 0;
  if (closely) take_place(*directory, thread);
  return thread;
}

// Nothing where fusectl cannot tell.
std::optional<bool> is_waited_for(const Result<FuseRoot>& fuse, const ConnectionFinding& connection) {
  if (!fuse || connection.directory_inode == 0) return std::nullopt;
  const auto waiting = fuse->read_waiting(connection.id, connection.directory_inode);
  if (waiting) return *waiting > 0;
  if (waiting.error().kind == ErrorKind::gone) return false;
  return std::nullopt;
}

}  // namespace

Result<World::NamespaceRest> look_at_rest(const ProcRoot& proc, const Result<FuseRoot>& fuse,
                                          const NamespaceFinding& finding, const ConnectionFinding& connection) {
  World::NamespaceRest rest;
  rest.gone = is_init_gone(proc, finding.init);
  rest.connection_wedged = false;
  if (rest.gone) return rest;
  bool a_waiter_is_there = false;
  for (const BlockedThread& before : finding.blocked_threads) {
    auto thread = read_again(proc, before, rest.still_blocked.size() < kMaxRereadThreads);
    if (!thread) continue;
    a_waiter_is_there = a_waiter_is_there || before.connection == connection.id;
    rest.still_blocked.push_back(*std::move(thread));
  }
  rest.connection_wedged = is_waited_for(fuse, connection).value_or(a_waiter_is_there);
  return rest;
}

}  // namespace defused
