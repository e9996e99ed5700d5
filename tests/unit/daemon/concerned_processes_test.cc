// SPDX-License-Identifier: Apache-2.0
#include "daemon/concerned_processes.h"

#include <catch2/catch.hpp>
#include <set>

using namespace defused;

namespace {

// 1 is the host's init; 10 to 19 are its children, 2 is a kernel thread.
struct Host {
  Host() {
    add(1, 0);
    add(2, 0).kernel_thread = true;
    for (pid_t pid = 10; pid < 20; ++pid) add(pid, 1);
  }
  ProcessBrief& add(pid_t pid, pid_t ppid) {
    ProcessBrief brief;
    brief.pid = pid;
    brief.ppid = ppid;
    brief.has_memory = true;
    brief.name = "p" + std::to_string(pid);
    snapshot.processes.push_back(brief);
    return snapshot.processes.back();
  }
  ProcessBrief& at(pid_t pid) { return const_cast<ProcessBrief&>(*find_process(snapshot.processes, pid)); }
  Surroundings& around() { return snapshot.surroundings ? *snapshot.surroundings : snapshot.surroundings.emplace(); }
  [[nodiscard]] std::set<pid_t> concerned() const { return concerned_processes(snapshot, history, own, record); }

  Snapshot snapshot;
  History history;
  OwnProcesses own;
  ReadRecorder record{10'000};
};

using Pids = std::set<pid_t>;

FuseMount fuse_mount() {
  FuseMount mount;
  mount.connection = ConnectionId{40};
  return mount;
}

}  // namespace

TEST_CASE("where nothing is wrong it is the first process alone") { CHECK(Host().concerned() == Pids{1}); }

TEST_CASE("suspects with their tracers, inits, flushers and ours are concerned") {
  Host host;
  host.add(30, 10);
  ProcessSample suspect;
  suspect.id.pid = 30;
  suspect.brief = host.at(30);
  suspect.threads.resize(1);
  suspect.threads[0].tracer = 12;
  host.snapshot.suspects = {suspect};
  host.at(13).level = 1;
  host.at(13).inner_pid = 1;
  host.at(2).name = "kworker/u8:1+flush-0:40";
  host.own = {15, 16};
  host.add(40, 15);
  host.add(41, 16);
  CHECK(host.concerned() == Pids{1, 2, 10, 12, 13, 15, 16, 30, 40, 41});  // 10: its parent
}

TEST_CASE("who holds, uses and sees a connection is concerned, of a mount namespace two") {
  Host host;
  DeviceHolder holder;
  holder.pid = 11;
  host.around().holders = {holder};
  host.around().users = {{ProcessId{12, 0}, {66}, {}}};
  host.snapshot.open_files = {{ProcessId{13, 5}, {}, {ConnectionId{40}}}};
  Viewer sees{{14, 15, 16, 17}, {}};
  sees.mounts.fuse_mounts = {fuse_mount()};
  host.at(14).has_memory = false;  // so the next one is who lives
  const Viewer other{{18, 19}, {}};
  host.around().viewers = {sees, other};
  CHECK(host.concerned() == Pids{1, 11, 12, 13, 14, 15});
}

TEST_CASE("whoever is concerned is there with the one whose mounts were read for it") {
  Host host;
  host.around().viewers = {Viewer{{18, 19}, {}}};
  DeviceHolder holder;
  holder.pid = 19;
  host.around().holders = {holder};
  CHECK(host.concerned() == Pids{1, 18, 19});
}

TEST_CASE("who could not be read, or not be understood, is concerned") {
  Host host;
  host.record.note_error("17/mountinfo", {ErrorKind::denied, 13});
  host.record.note_error("kallsyms", {ErrorKind::denied, 1});
  host.record.note("18/status", ReadRecorder::Kind::file, "Name:\tx\n");
  host.record.note("99/status", ReadRecorder::Kind::file, "nonsense");  // the walk does not have it
  host.around().with_gaps = {16};
  CHECK(host.concerned() == Pids{1, 16, 17, 99});
}

TEST_CASE("what is remembered of a process holds only with it") {
  Host host;
  host.history.containers[12] = {14, "/docker/x"};
  host.history.open_files[ProcessId{15, 7}] = {};
  CHECK(host.concerned() == Pids{1, 12, 14, 15});
}
