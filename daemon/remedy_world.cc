// SPDX-License-Identifier: Apache-2.0
#include "daemon/remedy_world.h"

#include <string>

#include "procfs/parse.h"

namespace defused {

namespace {

enum class Presence { there, gone, unreadable };

Presence presence_of(const ProcRoot& proc, const std::string& path, std::uint64_t start_ticks) {
  const auto file = proc.files().read_file(path, 65'536);
  if (!file) return file.error().kind == ErrorKind::gone ? Presence::gone : Presence::unreadable;
  const auto stat = parse_stat(file->text);
  if (!stat) return Presence::unreadable;
  return stat->start_ticks == start_ticks ? Presence::there : Presence::gone;
}

// Dead but not yet reaped by its parent: the namespace is gone all the same.
bool is_finished(const ProcRoot& proc, const std::string& pid) {
  const auto file = proc.files().read_file(pid + "/status", 65'536);
  const auto status = file ? parse_status(file->text) : Result<StatusFields>(Failure(file.error()));
  return status && make_brief(*status).is_finished();
}

}  // namespace

Result<World::NamespaceRest> look_at_rest(const ProcRoot& proc, const NamespaceFinding& finding,
                                          ConnectionId connection) {
  World::NamespaceRest rest;
  const std::string init = std::to_string(finding.init.pid);
  rest.gone = presence_of(proc, init + "/stat", finding.init.start_ticks) == Presence::gone || is_finished(proc, init);
  rest.connection_wedged = false;
  if (rest.gone) return rest;
  for (const BlockedThread& thread : finding.blocked_threads) {
    if (thread.connection != connection) continue;
    const std::string path = std::to_string(thread.pid) + "/task/" + std::to_string(thread.id.tid) + "/stat";
    if (presence_of(proc, path, thread.id.start_ticks) != Presence::gone) rest.connection_wedged = true;
  }
  return rest;
}

}  // namespace defused
