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

Answer who_could_answer(const Snapshot& snapshot, const ProcessTree& tree, ConnectionId connection) {
  Answer answer;
  if (!snapshot.surroundings) return answer;
  const Surroundings& around = *snapshot.surroundings;
  bool alive = false;
  for (const DeviceHolder& holder : around.holders) {
    const auto& held = holder.connections;
    if (std::find(held.begin(), held.end(), connection) == held.end()) continue;
    const bool lives = tree.is_alive(holder.pid);
    alive = alive || lives;
    answer.servers.push_back(
        {ProcessId{holder.pid, holder.start_ticks}, holder.name, lives ? ServerState::alive : ServerState::dying});
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

// Distinct processes: one may be told twice, by its mounts and by the kernel.
std::uint32_t count_outside_users(const Surroundings& around, const ProcessTree& tree,
                                  const ConnectionFinding& connection) {
  const std::set<int> mount_ids(connection.mount_ids.begin(), connection.mount_ids.end());
  std::set<pid_t> users;
  for (const FileUser& user : around.users) {
    const auto& told = user.connections;
    const bool uses =
        std::find(told.begin(), told.end(), connection.id) != told.end() ||
        std::any_of(user.mount_ids.begin(), user.mount_ids.end(), [&](int id) { return mount_ids.count(id) > 0; });
    if (uses && tree.is_alive_outside(user.id.pid)) users.insert(user.id.pid);
  }
  return static_cast<std::uint32_t>(users.size());
}

bool sees(const Viewer& viewer, ConnectionId connection) {
  return std::any_of(viewer.mounts.fuse_mounts.begin(), viewer.mounts.fuse_mounts.end(),
                     [&](const FuseMount& mount) { return mount.connection == connection; });
}

void judge_harm(const Snapshot& snapshot, const ProcessTree& tree, ConnectionFinding& finding) {
  constexpr pid_t kHostInit = 1;
  if (!snapshot.surroundings) return;
  const Surroundings& around = *snapshot.surroundings;
  std::uint32_t viewers = 0;
  for (const Viewer& viewer : around.viewers) {
    if (!sees(viewer, finding.id)) continue;
    const auto& pids = viewer.pids;
    if (std::find(pids.begin(), pids.end(), kHostInit) != pids.end()) finding.host_mount = true;
    if (std::any_of(pids.begin(), pids.end(), [&](pid_t pid) { return tree.is_alive_outside(pid); })) ++viewers;
  }
  const bool all_seen = snapshot.processes_complete();
  if (around.viewers_complete && all_seen) finding.outside_viewers = viewers;
  // On a mount that is in no table, a working directory or a mapping is a user too, and nobody lists those.
  const bool told = !finding.mount_ids.empty() && (around.exact || around.viewers_complete);
  if (around.users_complete && all_seen && told) {
    finding.outside_users = count_outside_users(around, tree, finding);
  }
}

bool is_orphaned(const Snapshot& snapshot, const ConnectionFinding& finding) {
  return snapshot.surroundings && snapshot.surroundings->viewers_complete && finding.waiting > 0 &&
         finding.mount_ids.empty() && finding.server_state == ServerState::none;
}

}  // namespace

std::vector<ConnectionFinding> judge_connections(const Snapshot& snapshot, const ProcessTree& tree,
                                                 const std::map<ConnectionId, MountFacts>& mounts,
                                                 const History& history) {
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
    Answer answer = who_could_answer(snapshot, tree, sample.id);
    finding.server_state = answer.state;
    finding.server_evidence = answer.evidence;
    finding.servers = std::move(answer.servers);
    judge_harm(snapshot, tree, finding);
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
