// SPDX-License-Identifier: Apache-2.0
#include "cases.h"

namespace defused {

using namespace std::chrono_literals;

ProcessBrief brief(pid_t pid, pid_t ppid, std::uint32_t level, pid_t inner, char state, bool has_memory) {
  ProcessBrief out;
  out.pid = pid;
  out.ppid = ppid;
  out.level = level;
  out.inner_pid = inner;
  out.threads = 1;
  out.state = state;
  out.has_memory = has_memory;
  out.name = "p" + std::to_string(pid);
  return out;
}

FuseMount mount(int id, ConnectionId connection) { return FuseMount{id, connection, "fuse.ndrive", "ndrive", "/mnt"}; }

ThreadSample thread(pid_t tid, char state, std::vector<std::string> stack) {
  ThreadSample out;
  out.id = {tid, 1000};
  out.comm = "t" + std::to_string(tid);
  out.state = state;
  out.sigkill_pending = true;
  out.exiting = true;
  out.context_switches = 4;
  out.stack = std::move(stack);
  return out;
}

Snapshot deadlock() {
  Snapshot out;
  out.taken = {1000s, 2'000'000s};
  out.kernel.fdinfo_names_connection = true;
  out.fusectl_present = true;
  out.processes = {brief(1, 0, 0, 1, 'S', true), brief(100, 1, 1, 1, 'S', false), brief(101, 100, 1, 2, 'D', false)};
  ProcessSample init;
  init.id = {100, 900};
  init.brief = out.processes[1];
  init.pid_namespace = kNamespace;
  init.threads = {thread(100, 'S', kZap)};
  ProcessSample server;
  server.id = {101, 1000};
  server.brief = out.processes[2];
  server.pid_namespace = kNamespace;
  server.threads = {thread(101, 'D', kFlush)};
  server.threads[0].mounts = std::make_shared<const MountTable>(MountTable{{mount(66, kWedged)}, true, false, {}});
  out.suspects = {init, server};
  out.connections = {ConnectionSample{kWedged, 1, 12, 9, 5}};
  out.surroundings = Surroundings{};
  out.surroundings->viewers = {Viewer{{1}, {}}};
  return out;
}

Findings judge(const std::function<void(Snapshot&)>& change, const std::function<void(Snapshot&)>& change_second) {
  Snapshot first = deadlock();
  if (change) change(first);
  Snapshot second = deadlock();
  if (change) change(second);
  second.taken.boottime += 5s;
  second.taken.wall += 5s;
  if (change_second) change_second(second);
  const DetectSettings settings{2s, false};
  return detect(second, detect(first, History{}, settings).history, settings).findings;
}

DeviceHolder holder(pid_t pid, std::vector<ConnectionId> connections, std::uint32_t unattributed) {
  return DeviceHolder{pid, "server", 0, std::move(connections), unattributed};
}

void edit_mounts(ThreadSample& thread, const std::function<void(MountTable&)>& edit) {
  MountTable table = *thread.mounts;
  edit(table);
  thread.mounts = std::make_shared<const MountTable>(std::move(table));
}

ProcessSample& add_process(Snapshot& snapshot, const ProcessBrief& brief, ThreadSample thread) {
  snapshot.processes.push_back(brief);
  ProcessSample sample;
  sample.id = {brief.pid, thread.id.start_ticks};
  sample.brief = brief;
  sample.pid_namespace = kNamespace;
  sample.threads = {std::move(thread)};
  return snapshot.suspects.emplace_back(std::move(sample));
}

}  // namespace defused
