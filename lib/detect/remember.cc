// SPDX-License-Identifier: Apache-2.0
#include "detect/remember.h"

#include <algorithm>
#include <set>
#include <string_view>
#include <utility>

#include "detect/connections.h"
#include "detect/container.h"

namespace defused {

namespace {

using OpenFiles = std::map<ProcessId, OpenFilesMemory>;

void add_open(OpenFiles& out, const ProcessId& process, const std::set<OpenConnection>& open, Nanoseconds now) {
  if (process.start_ticks == 0 || open.empty()) return;
  out[process] = OpenFilesMemory{{open.begin(), open.end()}, now};
}

// Who is gone is forgotten; and what a living process had open and has no more, once all were read. Of one that exits
// it is what is to be kept.
void forget(const Snapshot& snapshot, OpenFiles& files) {
  if (files.empty() || !snapshot.processes_complete()) return;
  std::map<pid_t, bool> lives;
  for (const ProcessBrief& process : snapshot.processes) {
    lives[process.pid] = process.has_memory && !process.sigkill_pending && !process.is_doomed();
  }
  const auto& around = snapshot.surroundings;
  const bool all_read = snapshot.open_files || (around && !around->kept && around->users_complete);
  std::set<pid_t> unidentified;  // has files open, but its start time did not come
  if (around) {
    for (const FileUser& user : around->users) {
      if (user.id.start_ticks == 0) unidentified.insert(user.id.pid);
    }
  }
  for (auto at = files.begin(); at != files.end();) {
    const auto found = lives.find(at->first.pid);
    const bool closed = all_read && unidentified.count(at->first.pid) == 0 && found != lives.end() && found->second &&
                        at->second.seen != snapshot.taken.boottime;
    at = found == lives.end() || closed ? files.erase(at) : std::next(at);
  }
}

// kernel/cgroup/cgroup.c proc_cgroup_show(): what is written behind the path of a control group that was removed.
std::string without_deleted(const std::string& path) {
  constexpr std::string_view kMark = " (deleted)";
  const bool marked = path.size() > kMark.size() && path.compare(path.size() - kMark.size(), kMark.size(), kMark) == 0;
  return marked ? path.substr(0, path.size() - kMark.size()) : path;
}

// The least lately seen ones go.
void bound(OpenFiles& files) {
  if (files.size() <= kMaxRememberedProcesses) return;
  std::vector<Nanoseconds> seen;
  seen.reserve(files.size());
  for (const auto& [process, memory] : files) seen.push_back(memory.seen);
  const auto nth = seen.begin() + static_cast<std::ptrdiff_t>(files.size() - kMaxRememberedProcesses);
  std::nth_element(seen.begin(), nth, seen.end());
  for (auto at = files.begin(); at != files.end() && files.size() > kMaxRememberedProcesses;) {
    at = at->second.seen <= *nth ? files.erase(at) : std::next(at);
  }
}

}  // namespace

std::map<ConnectionId, ConnectionMemory> remember_connections(const Snapshot& snapshot, const History& before) {
  const std::set<ConnectionId> hung_flushers = find_hung_flushers(snapshot.processes);
  std::map<ConnectionId, ConnectionMemory> after;
  for (const ConnectionSample& sample : snapshot.connections) {
    ConnectionMemory memory;
    memory.directory_inode = sample.directory_inode;
    memory.waiting = sample.waiting;
    memory.waiting_since = snapshot.taken.boottime;
    const auto known = before.connections.find(sample.id);
    const bool same =
        known != before.connections.end() && may_be_same(known->second.directory_inode, sample.directory_inode);
    if (same && memory.directory_inode == 0) memory.directory_inode = known->second.directory_inode;
    if (same && known->second.may_wait()) {
      memory.waiting_since = known->second.waiting_since;
      memory.oldest_request = known->second.oldest_request;
      memory.oldest_since = known->second.oldest_since;
      memory.oldest_read = known->second.oldest_read;
    }
    if (snapshot.oldest_requests) {
      const auto oldest = snapshot.oldest_requests->find(sample.id);
      const std::uint64_t number = oldest == snapshot.oldest_requests->end() ? 0 : oldest->second;
      if (number != memory.oldest_request) memory.oldest_since = snapshot.taken.boottime;
      memory.oldest_request = number;
      memory.oldest_read = snapshot.taken.boottime;
    }
    memory.flusher_hung = hung_flushers.count(sample.id) > 0;
    after[sample.id] = memory;
  }
  return after;
}

std::map<pid_t, ContainerMemory> remember_containers(const Snapshot& snapshot, const History& before) {
  std::set<pid_t> there;
  for (const ProcessBrief& process : snapshot.processes) there.insert(process.pid);
  std::map<pid_t, ContainerMemory> after;
  if (!snapshot.processes_complete()) after = before.containers;  // who was not read is not gone
  for (const ProcessBrief& process : snapshot.processes) {
    if (!process.is_init()) continue;
    const auto read = snapshot.init_cgroups.find(process.pid);
    if (read != snapshot.init_cgroups.end()) {
      const auto& paths = read->second;
      auto path = std::find_if(paths.begin(), paths.end(), [](const auto& one) { return parse_container(one); });
      if (path == paths.end()) path = paths.begin();
      if (path != paths.end()) after[process.pid] = ContainerMemory{process.ppid, *path};
      continue;
    }
    // Dying: what it was while it lived. As long as its parent is there, another parent means another process.
    const auto known = before.containers.find(process.pid);
    if (known == before.containers.end()) continue;
    const bool orphaned = known->second.ppid != process.ppid && there.count(known->second.ppid) == 0;
    if (known->second.ppid == process.ppid || orphaned) after.insert(*known);
  }
  return after;
}

OpenFiles remember_open_files(const Snapshot& snapshot, const std::map<ConnectionId, MountFacts>& mounts,
                              const History& before) {
  std::map<ConnectionId, std::uint64_t> inodes;
  for (const ConnectionSample& sample : snapshot.connections) inodes[sample.id] = sample.directory_inode;
  std::map<int, ConnectionId> by_mount;
  for (const auto& [id, facts] : mounts) {
    for (const int mount_id : facts.mount_ids) by_mount.emplace(mount_id, id);
  }
  const Nanoseconds now = snapshot.taken.boottime;
  OpenFiles after = before.open_files;
  const auto note = [&](const ProcessId& process, const std::vector<int>& mount_ids,
                        const std::vector<ConnectionId>& connections) {
    std::set<OpenConnection> open;
    for (const int mount_id : mount_ids) {
      const auto found = by_mount.find(mount_id);
      if (found != by_mount.end()) open.insert({found->second, inodes[found->second]});
    }
    for (const ConnectionId id : connections) open.insert({id, inodes[id]});
    add_open(after, process, open, now);
  };
  for (const ProcessSample& suspect : snapshot.suspects) {
    for (const ThreadSample& thread : suspect.threads) note(suspect.id, thread.open_mount_ids, {});
  }
  if (snapshot.surroundings && !snapshot.surroundings->kept) {
    for (const FileUser& user : snapshot.surroundings->users) note(user.id, user.mount_ids, user.connections);
  }
  if (snapshot.open_files) {
    for (const FileUser& user : *snapshot.open_files) note(user.id, user.mount_ids, user.connections);
  }
  forget(snapshot, after);
  bound(after);
  return after;
}

std::optional<Container> container_of(const DyingNamespace& dying, const History& memory) {
  std::optional<Container> pod;  // a pod whose container is not named yet
  const auto names = [&](const std::vector<std::string>& paths) {
    auto found = find_container(paths);
    if (found && !found->id.empty()) return found;
    if (found && !pod) pod = std::move(found);
    return std::optional<Container>();
  };
  if (auto found = names(dying.init->cgroup_paths)) return found;
  const auto known = memory.containers.find(dying.init->id.pid);
  if (known != memory.containers.end()) {
    if (auto found = names({known->second.path})) return found;
  }
  for (const ProcessSample* member : dying.members) {
    if (auto found = names(member->cgroup_paths)) return found;
  }
  for (const ProcessSample* member : dying.members) {
    for (const ThreadSample& thread : member->threads) {
      if (!thread.mounts) continue;
      if (auto found = names(thread.mounts->container_hints)) return found;
    }
  }
  return pod;
}

std::string cgroup_of(const DyingNamespace& dying, const History& memory) {
  const auto& paths = dying.init->cgroup_paths;
  if (!paths.empty()) return without_deleted(paths.front());
  const auto known = memory.containers.find(dying.init->id.pid);
  if (known != memory.containers.end()) return known->second.path;
  // One that was put into the namespace from outside is in a control group of its own: then they do not agree.
  std::string found;
  for (const ProcessSample* member : dying.members) {
    if (member->cgroup_paths.empty()) continue;
    std::string path = without_deleted(member->cgroup_paths.front());
    if (!found.empty() && path != found) return {};
    found = std::move(path);
  }
  return found;
}

std::optional<Container> container_above(pid_t pid, const ProcessTree& tree, const History& memory) {
  // Bounded, since a tree read while it changes may hold a circle.
  constexpr int kMostParents = 1024;
  for (int steps = 0; steps < kMostParents && pid > 0; ++steps) {
    const auto known = memory.containers.find(pid);
    if (known != memory.containers.end()) {
      if (auto found = find_container({known->second.path})) return found;
    }
    const ProcessBrief* brief = tree.brief(pid);
    pid = brief == nullptr ? 0 : brief->ppid;
  }
  return std::nullopt;
}

std::optional<Container> container_of(const ProcessSample& suspect, const ProcessTree& tree, const History& memory) {
  if (auto found = find_container(suspect.cgroup_paths)) return found;
  return container_above(suspect.id.pid, tree, memory);
}

std::vector<Container> containers_around(const ConnectionFinding& connection, const Snapshot& snapshot,
                                         const ProcessTree& tree, const History& memory) {
  std::vector<Container> out;
  const auto add = [&](const std::optional<Container>& found) {
    const bool known = !found || std::any_of(out.begin(), out.end(), [&](const Container& other) {
      return other.id == found->id && other.pod_uid == found->pod_uid;
    });
    if (!known && out.size() < kMaxShownContainers) out.push_back(*found);
  };
  for (const Server& server : connection.servers) add(container_above(server.id.pid, tree, memory));
  for (const NamedProcess& viewer : connection.viewers) add(container_above(viewer.pid, tree, memory));
  for (const ProcessSample& suspect : snapshot.suspects) {
    const bool sees = std::any_of(suspect.threads.begin(), suspect.threads.end(), [&](const ThreadSample& thread) {
      return thread.mounts && std::any_of(thread.mounts->fuse_mounts.begin(), thread.mounts->fuse_mounts.end(),
                                          [&](const FuseMount& mount) { return mount.connection == connection.id; });
    });
    if (sees) add(container_of(suspect, tree, memory));
  }
  return out;
}

}  // namespace defused
