// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <string>
#include <vector>

#include "remedy/remedy.h"

namespace defused {

namespace {

template <typename T, typename Matches>
const T* find(const std::vector<T>& values, Matches matches) {
  const auto found = std::find_if(values.begin(), values.end(), matches);
  return found == values.end() ? nullptr : &*found;
}

std::string name_of(const BlockedThread& thread) {
  return "thread " + std::to_string(thread.id.tid) + " (" + thread.comm + ")";
}

std::string describe_namespace(const NamespaceFinding& before, const NamespaceFinding* now) {
  if (now == nullptr) return "PID namespace " + std::to_string(before.id.inode) + " is not dying, or gone";
  if (now->init == before.init) return {};
  return "the init of PID namespace " + std::to_string(before.id.inode) + " was process " +
         std::to_string(before.init.pid) + " started at tick " + std::to_string(before.init.start_ticks) +
         ", now it is " + std::to_string(now->init.pid) + " started at " + std::to_string(now->init.start_ticks);
}

std::string describe_thread(const BlockedThread& before, const NamespaceFinding& now) {
  const BlockedThread* same =
      find(now.blocked_threads, [&](const BlockedThread& t) { return t.id.tid == before.id.tid; });
  if (same == nullptr) return name_of(before) + " is not blocked any more";
  if (same->id.start_ticks != before.id.start_ticks || same->pid != before.pid) {
    return name_of(before) + " is another thread now, with the same number";
  }
  if (same->context_switches != before.context_switches) {
    return name_of(before) + " has run: " + std::to_string(before.context_switches) + " context switches became " +
           std::to_string(same->context_switches);
  }
  if (same->connection == before.connection) return {};
  return name_of(before) + " does not wait for connection " + std::to_string(before.connection->kernel_dev) +
         " any more, as far as can be told";
}

std::vector<int> sorted(std::vector<int> ids) {
  std::sort(ids.begin(), ids.end());
  return ids;
}

std::string describe_connection(const ConnectionFinding& before, const ConnectionFinding* now) {
  const std::string name = "connection " + std::to_string(before.id.kernel_dev);
  if (now == nullptr) return name + " is gone";
  if (now->directory_inode != before.directory_inode) {
    return name + " is another one now, with the same number: directory inode " +
           std::to_string(before.directory_inode) + " became " + std::to_string(now->directory_inode);
  }
  if (now->fstype != before.fstype) return name + " was of type '" + before.fstype + "', now '" + now->fstype + "'";
  if (sorted(now->mount_ids) != sorted(before.mount_ids)) return name + " is mounted elsewhere than before";
  return {};
}

}  // namespace

std::string describe_difference(const RemedyOrder& before, const World::SecondLook& now) {
  const NamespaceFinding* finding = find(
      now.findings.namespaces, [&](const NamespaceFinding& candidate) { return candidate.id == before.finding.id; });
  if (auto difference = describe_namespace(before.finding, finding); !difference.empty()) return difference;
  bool rests_on_a_thread = false;
  for (const BlockedThread& thread : before.finding.blocked_threads) {
    if (thread.connection != before.connection.id) continue;
    rests_on_a_thread = true;
    if (auto difference = describe_thread(thread, *finding); !difference.empty()) return difference;
  }
  if (!rests_on_a_thread) {
    return "no blocked thread of the order waits for connection " + std::to_string(before.connection.id.kernel_dev);
  }
  return describe_connection(before.connection, find(now.findings.connections, [&](const ConnectionFinding& candidate) {
                               return candidate.id == before.connection.id;
                             }));
}

}  // namespace defused
