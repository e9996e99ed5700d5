// SPDX-License-Identifier: Apache-2.0
#include "daemon/remedy_world.h"

#include <string>

#include "procfs/read_parsed.h"

namespace defused {

namespace {

enum class Presence { there, gone, unreadable };

// `directory` as of read_stat.
Presence presence_of(const ProcRoot& proc, const std::string& directory, std::uint64_t start_ticks) {
  const auto stat = read_stat(proc.files(), directory);
  if (!stat) return stat.error().kind == ErrorKind::gone ? Presence::gone : Presence::unreadable;
  return stat->start_ticks == start_ticks ? Presence::there : Presence::gone;
}

// Dead but not yet reaped by its parent: the namespace is gone all the same.
bool is_finished(const ProcRoot& proc, const std::string& directory) {
  const auto status = read_status(proc.files(), directory);
  return status && make_brief(*status).is_finished();
}

}  // namespace

Result<World::NamespaceRest> look_at_rest(const ProcRoot& proc, const NamespaceFinding& finding,
                                          ConnectionId connection) {
  World::NamespaceRest rest;
  const std::string init = std::to_string(finding.init.pid) + "/";
  rest.gone = presence_of(proc, init, finding.init.start_ticks) == Presence::gone || is_finished(proc, init);
  rest.connection_wedged = false;
  if (rest.gone) return rest;
  for (const BlockedThread& thread : finding.blocked_threads) {
    if (thread.connection != connection) continue;
    const std::string path = std::to_string(thread.pid) + "/task/" + std::to_string(thread.id.tid) + "/";
    if (presence_of(proc, path, thread.id.start_ticks) != Presence::gone) rest.connection_wedged = true;
  }
  return rest;
}

}  // namespace defused
