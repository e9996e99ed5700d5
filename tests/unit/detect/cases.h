// SPDX-License-Identifier: Apache-2.0
// Snapshots for the tests of lib/detect: the plain deadlock, its parts, and two samples of a changed one.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "detect/detect.h"

namespace defused {

inline constexpr ConnectionId kWedged{40};
inline constexpr ConnectionId kOther{41};
inline constexpr NamespaceId kNamespace{4026532178};
inline const std::vector<std::string> kFlush = {"request_wait_answer", "__fuse_simple_request", "fuse_flush",
                                                "filp_flush", "do_exit"};
inline const std::vector<std::string> kZap = {"do_wait", "kernel_wait4", "zap_pid_ns_processes", "do_exit"};

ProcessBrief brief(pid_t pid, pid_t ppid, std::uint32_t level, pid_t inner, char state, bool has_memory);
FuseMount mount(int id, ConnectionId connection);
/// Exiting, with SIGKILL pending.
ThreadSample thread(pid_t tid, char state, std::vector<std::string> stack);
DeviceHolder holder(pid_t pid, std::vector<ConnectionId> connections, std::uint32_t unattributed = 0);
/// Changes the mount table of a thread, which it may share with others.
void edit_mounts(ThreadSample& thread, const std::function<void(MountTable&)>& edit);
/// A process with one thread, of kNamespace; goes into suspects and processes.
ProcessSample& add_process(Snapshot& snapshot, const ProcessBrief& brief, ThreadSample thread);

/// Host PID 1, init 100 reaping, server 101 blocked in its own flush of connection 40.
Snapshot deadlock();

/// Two samples five seconds apart, the second one judged with stuck_after 2 s; `change` alters both.
Findings judge(const std::function<void(Snapshot&)>& change = {},
               const std::function<void(Snapshot&)>& change_second = {});

}  // namespace defused
