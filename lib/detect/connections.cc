// SPDX-License-Identifier: Apache-2.0
#include "detect/connections.h"

#include <algorithm>
#include <functional>
#include <set>
#include <string_view>

#include "base/text.h"

namespace defused {

namespace {

struct Answer {
  ServerState state = ServerState::unknown;
  Evidence evidence = Evidence::none;
  std::vector<Server> servers;
};

// The connections mounted in the mount namespace of `pid`, other than `except`.
std::vector<ConnectionId> other_mounts_of(pid_t pid, const Surroundings& around, ConnectionId except) {
  std::set<ConnectionId> found;
  for (const Viewer& viewer : around.viewers) {
    if (std::find(viewer.pids.begin(), viewer.pids.end(), pid) == viewer.pids.end()) continue;
    for (const FuseMount& mount : viewer.mounts.fuse_mounts) {
      if (mount.connection != except) found.insert(mount.connection);
    }
  }
  return {found.begin(), found.end()};
}

// Gives each descriptor a connection of its own among those its process sees: bipartite matching by augmenting paths.
class Explanation {
 public:
  explicit Explanation(std::vector<std::vector<ConnectionId>> choices) : choices_(std::move(choices)) {}

  bool complete() {
    for (std::size_t i = 0; i < choices_.size(); ++i) {
      std::set<ConnectionId> tried;
      if (!assign(i, tried)) return false;
    }
    return true;
  }

 private:
  // As deep as a path of reassignments is long: at most one step for each connection.
  bool assign(std::size_t descriptor, std::set<ConnectionId>& tried) {  // NOLINT(misc-no-recursion)
    for (const ConnectionId choice : choices_[descriptor]) {
      if (!tried.insert(choice).second) continue;
      const auto taken = owner_.find(choice);
      if (taken != owner_.end() && !assign(taken->second, tried)) continue;
      owner_[choice] = descriptor;
      return true;
    }
    return false;
  }

  std::vector<std::vector<ConnectionId>> choices_;
  std::map<ConnectionId, std::size_t> owner_;
};

// Before Linux 6.16: is every /dev/fuse descriptor of a live process explained by another connection (DESIGN.md 5.5)?
bool others_explain_all(const Surroundings& around, const ProcessTree& tree, ConnectionId connection) {
  constexpr std::size_t kMaxDescriptors = 4096;
  std::vector<std::vector<ConnectionId>> choices;
  for (const DeviceHolder& holder : around.holders) {
    if (!tree.is_alive(holder.pid)) continue;
    if (choices.size() + holder.unattributed > kMaxDescriptors) return false;
    const auto others = other_mounts_of(holder.pid, around, connection);
    for (std::uint32_t i = 0; i < holder.unattributed; ++i) choices.push_back(others);
  }
  return Explanation(std::move(choices)).complete();
}

// Who holds, uses and sees each connection: asked once, since there may be thousands.
struct Index {
  std::map<ConnectionId, std::vector<const DeviceHolder*>> holders;
  std::map<ConnectionId, std::set<pid_t>> users;  // distinct: one may be told twice, by its mounts and by the kernel
  std::map<ConnectionId, std::vector<const Viewer*>> viewers;
};

template <typename Each>
void add_once(std::vector<const Each*>& to, const Each& what) {
  if (to.empty() || to.back() != &what) to.push_back(&what);
}

Index make_index(const Snapshot& snapshot, const std::map<ConnectionId, MountFacts>& mounts) {
  Index index;
  if (!snapshot.surroundings) return index;
  for (const DeviceHolder& holder : snapshot.surroundings->holders) {
    for (const ConnectionId id : holder.connections) add_once(index.holders[id], holder);
  }
  std::map<int, std::vector<ConnectionId>> by_mount;
  for (const auto& [id, facts] : mounts) {
    for (const int mount_id : facts.mount_ids) by_mount[mount_id].push_back(id);
  }
  for (const FileUser& user : snapshot.surroundings->users) {
    for (const ConnectionId id : user.connections) index.users[id].insert(user.id.pid);
    for (const int mount_id : user.mount_ids) {
      const auto found = by_mount.find(mount_id);
      if (found == by_mount.end()) continue;
      for (const ConnectionId id : found->second) index.users[id].insert(user.id.pid);
    }
  }
  for (const Viewer& viewer : snapshot.surroundings->viewers) {
    for (const FuseMount& mount : viewer.mounts.fuse_mounts) add_once(index.viewers[mount.connection], viewer);
  }
  return index;
}

template <typename Each>
const std::vector<const Each*>& those_of(const std::map<ConnectionId, std::vector<const Each*>>& index,
                                         ConnectionId connection) {
  static const std::vector<const Each*> kNone;
  const auto found = index.find(connection);
  return found == index.end() ? kNone : found->second;
}

bool knows_of(const Snapshot& snapshot, ConnectionId connection) {
  return snapshot.surroundings && snapshot.surroundings->later.count(connection) == 0;
}

Answer who_could_answer(const Snapshot& snapshot, const ProcessTree& tree, const Index& index,
                        ConnectionId connection) {
  Answer answer;
  if (!knows_of(snapshot, connection)) return answer;
  const Surroundings& around = *snapshot.surroundings;
  bool alive = false;
  for (const DeviceHolder* holder : those_of(index.holders, connection)) {
    const bool lives = tree.is_alive(holder->pid);
    alive = alive || lives;
    const ProcessBrief* brief = tree.brief(holder->pid);
    answer.servers.push_back({ProcessId{holder->pid, holder->start_ticks}, holder->name,
                              lives ? ServerState::alive : ServerState::dying, brief == nullptr ? '?' : brief->state});
  }
  if (alive) {
    answer.state = ServerState::alive;
    answer.evidence = Evidence::proven;
    return answer;
  }
  if (!around.holders_complete || !snapshot.processes_complete()) return answer;
  if (snapshot.kernel.fdinfo_names_connection || around.exact) {
    answer.state = answer.servers.empty() ? ServerState::none : ServerState::dying;
    answer.evidence = Evidence::proven;
  } else if (around.viewers_complete && others_explain_all(around, tree, connection)) {
    answer.state = ServerState::none;
    answer.evidence = Evidence::inferred;
  }
  return answer;
}

void add_name(std::vector<NamedProcess>& list, const ProcessTree& tree, pid_t pid) {
  const ProcessBrief* brief = tree.brief(pid);
  if (list.size() < kMaxShownProcesses) list.push_back({pid, brief == nullptr ? std::string() : brief->name});
}

void judge_harm(const Snapshot& snapshot, const ProcessTree& tree, const Index& index, ConnectionFinding& finding) {
  constexpr pid_t kHostInit = 1;
  if (!knows_of(snapshot, finding.id)) return;
  const Surroundings& around = *snapshot.surroundings;
  std::uint32_t viewers = 0;
  for (const Viewer* viewer : those_of(index.viewers, finding.id)) {
    const auto& pids = viewer->pids;
    if (std::find(pids.begin(), pids.end(), kHostInit) != pids.end()) finding.host_mount = true;
    const auto outside = std::find_if(pids.begin(), pids.end(), [&](pid_t pid) { return tree.is_alive_outside(pid); });
    if (outside == pids.end()) continue;
    ++viewers;
    add_name(finding.viewers, tree, *outside);
  }
  std::uint32_t users = 0;
  const auto used = index.users.find(finding.id);
  for (const pid_t pid : used == index.users.end() ? std::set<pid_t>() : used->second) {
    if (!tree.is_alive_outside(pid)) continue;
    ++users;
    add_name(finding.users, tree, pid);
  }
  const bool all_seen = snapshot.processes_complete();
  if (around.viewers_complete && all_seen) finding.outside_viewers = viewers;
  // On a mount that is in no table, a working directory or a mapping is a user too, and nobody lists those.
  const bool told = !finding.mount_ids.empty() && (around.exact || around.viewers_complete);
  if (around.users_complete && all_seen && told) finding.outside_users = users;
}

bool is_orphaned(const Snapshot& snapshot, const ConnectionFinding& finding) {
  return snapshot.surroundings && snapshot.surroundings->viewers_complete && finding.waiting > 0 &&
         finding.mount_ids.empty() && finding.server_state == ServerState::none;
}

}  // namespace

std::vector<ConnectionFinding> judge_connections(const Snapshot& snapshot, const ProcessTree& tree,
                                                 const std::map<ConnectionId, MountFacts>& mounts,
                                                 const History& history) {
  const Index index = make_index(snapshot, mounts);
  std::vector<ConnectionFinding> findings;
  findings.reserve(snapshot.connections.size());
  for (const ConnectionSample& sample : snapshot.connections) {
    ConnectionFinding finding;
    finding.id = sample.id;
    finding.directory_inode = sample.directory_inode;
    finding.waiting = sample.waiting.value_or(0);
    finding.max_background = sample.max_background;
    finding.congestion_threshold = sample.congestion_threshold;
    const auto mounted = mounts.find(sample.id);
    if (mounted != mounts.end()) {
      finding.fstype = mounted->second.fstype;
      finding.source = mounted->second.source;
      finding.mount_points = mounted->second.mount_points;
      finding.mount_ids.assign(mounted->second.mount_ids.begin(), mounted->second.mount_ids.end());
    }
    const auto before = history.connections.find(sample.id);
    if (finding.waiting > 0 && before != history.connections.end() && before->second.may_wait() &&
        before->second.directory_inode == sample.directory_inode) {
      finding.waiting_since = snapshot.taken.wall - (snapshot.taken.boottime - before->second.waiting_since);
    }
    Answer answer = who_could_answer(snapshot, tree, index, sample.id);
    finding.server_state = answer.state;
    finding.server_evidence = answer.evidence;
    finding.servers = std::move(answer.servers);
    judge_harm(snapshot, tree, index, finding);
    finding.readers_disagree = snapshot.surroundings && snapshot.surroundings->readers_disagree;
    finding.orphaned = is_orphaned(snapshot, finding);
    findings.push_back(std::move(finding));
  }
  return findings;
}

std::set<ConnectionId> find_hung_flushers(const std::vector<ProcessBrief>& processes) {
  std::set<ConnectionId> found;
  for (const ProcessBrief& process : processes) {
    if (!process.kernel_thread || process.state != 'D') continue;
    constexpr std::string_view kMark = "+flush-";
    const std::size_t at = process.name.find(kMark);
    if (at == std::string::npos) continue;
    std::string_view rest = std::string_view(process.name).substr(at + kMark.size());
    const auto major = parse_u64(take_field(rest, ':'));
    const auto minor = parse_u64(rest);
    if (!major || !minor || *major > kMaxMajor || *minor > kMaxMinor) continue;
    found.insert(connection_of_device(static_cast<std::uint32_t>(*major), static_cast<std::uint32_t>(*minor)));
  }
  return found;
}

std::vector<ConnectionId> find_out_of_sight(const Snapshot& snapshot,
                                            const std::map<ConnectionId, MountFacts>& mounts) {
  std::vector<ConnectionId> out;
  for (const ConnectionSample& sample : snapshot.connections) {
    if (sample.may_wait() && mounts.count(sample.id) == 0) out.push_back(sample.id);
  }
  return out;
}

}  // namespace defused
