// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <map>
#include <set>

#include "bpf/file_reader.h"
#include "bpf/wait_reader.h"

namespace defused {

namespace {

struct Seen {
  std::uint64_t start_ticks = 0;
  std::vector<ConnectionId> devices;  // one entry per descriptor that is mounted
  std::uint32_t device_count = 0;     // mounted or not
  std::set<ConnectionId> files;
};

using SeenByProcess = std::map<pid_t, Seen>;

SeenByProcess group(const std::vector<OpenFuseFile>& files) {
  SeenByProcess seen;
  for (const OpenFuseFile& file : files) {
    Seen& process = seen[file.process.pid];
    process.start_ticks = file.process.start_ticks;
    if (!file.device) {
      process.files.insert(file.connection);
      continue;
    }
    ++process.device_count;
    if (file.connection.kernel_dev != 0) process.devices.push_back(file.connection);
  }
  return seen;
}

// Whatever /proc saw, the kernel must have as well; descriptors come and go between the two readings, so only a process
// that has none at all any more contradicts.
bool covers(const SeenByProcess& seen, const DeviceHolder& holder) {
  const auto found = seen.find(holder.pid);
  return found != seen.end() && found->second.device_count > 0;
}

}  // namespace

bool merge_open_files(const std::vector<OpenFuseFile>& files, const std::vector<ProcessBrief>& processes,
                      const std::function<bool(pid_t)>& is_there, Surroundings& around) {
  const SeenByProcess seen = group(files);
  auto& holders = around.holders;
  holders.erase(
      std::remove_if(holders.begin(), holders.end(),
                     [&](const DeviceHolder& holder) { return !covers(seen, holder) && !is_there(holder.pid); }),
      holders.end());
  if (!std::all_of(around.holders.begin(), around.holders.end(),
                   [&](const DeviceHolder& holder) { return covers(seen, holder); })) {
    return false;
  }
  std::map<pid_t, const ProcessBrief*> briefs;
  for (const ProcessBrief& process : processes) briefs[process.pid] = &process;
  for (const auto& [pid, process] : seen) {
    if (process.devices.empty()) continue;
    auto known = std::find_if(around.holders.begin(), around.holders.end(),
                              [pid = pid](const DeviceHolder& holder) { return holder.pid == pid; });
    if (known == around.holders.end()) {
      const auto brief = briefs.find(pid);
      DeviceHolder added;
      added.pid = pid;
      added.start_ticks = process.start_ticks;
      if (brief != briefs.end()) added.name = brief->second->name;
      known = around.holders.insert(around.holders.end(), std::move(added));
    }
    for (const ConnectionId id : process.devices) {
      auto& held = known->connections;
      if (std::find(held.begin(), held.end(), id) == held.end()) held.push_back(id);
    }
  }
  for (const auto& [pid, process] : seen) {
    if (process.files.empty()) continue;
    around.users.push_back({ProcessId{pid, process.start_ticks}, {}, {process.files.begin(), process.files.end()}});
  }
  around.exact = true;
  around.holders_complete = true;
  around.users_complete = true;
  return true;
}

std::vector<FileUser> users_of(const std::vector<OpenFuseFile>& files) {
  std::vector<FileUser> users;
  for (const auto& [pid, process] : group(files)) {
    if (process.files.empty()) continue;
    users.push_back({ProcessId{pid, process.start_ticks}, {}, {process.files.begin(), process.files.end()}});
  }
  return users;
}

std::map<ConnectionId, std::uint64_t> oldest_requests(const std::vector<OpenFuseFile>& files) {
  std::map<ConnectionId, std::uint64_t> oldest;
  for (const OpenFuseFile& file : files) {
    if (!file.device || file.connection.kernel_dev == 0) continue;
    std::uint64_t& smallest = oldest[file.connection];
    const bool older = file.oldest_request != 0 && (smallest == 0 || file.oldest_request < smallest);
    if (older) smallest = file.oldest_request;
  }
  return oldest;
}

std::set<pid_t> told_to_die(const std::vector<TaskWait>& waits) {
  std::set<pid_t> pids;
  for (const TaskWait& wait : waits) {
    if (wait.group_exit) pids.insert(wait.pid);
  }
  return pids;
}

ThreadsByProcess threads_of(const std::vector<TaskWait>& waits) {
  ThreadsByProcess threads;
  for (const TaskWait& wait : waits) threads[wait.pid][wait.thread] = wait.context_switches;
  return threads;
}

void merge_waits(const std::vector<TaskWait>& waits, std::vector<ProcessSample>& suspects) {
  std::map<ThreadId, const TaskWait*> by_thread;
  for (const TaskWait& wait : waits) by_thread[wait.thread] = &wait;
  for (ProcessSample& suspect : suspects) {
    for (ThreadSample& thread : suspect.threads) {
      const auto found = by_thread.find(thread.id);
      if (found == by_thread.end() || found->second->pid != suspect.id.pid) continue;
      thread.queued = found->second->queued;
      if (found->second->on_stack_complete) thread.on_stack = found->second->on_stack;
    }
  }
}

}  // namespace defused
