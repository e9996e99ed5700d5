// SPDX-License-Identifier: Apache-2.0
// Parsers for the files of /proc/PID: text in, values out. Pure: no I/O. Every byte is hostile (a container chooses its
// names, file-system names and paths), so every string that leaves here went through sanitize().
// Errors are `malformed` and name the field.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "model/snapshot.h"

namespace defused {

/// What is kept of /proc/PID/status and /proc/PID/task/TID/status (fs/proc/array.c, proc_pid_status).
struct StatusFields {
  std::string name;
  char state = '?';
  pid_t tgid = 0;
  pid_t pid = 0;
  pid_t ppid = 0;
  pid_t tracer = 0;         ///< `TracerPid:`; 0: none, or a tracer outside of the reader's namespace
  std::uint32_t level = 0;  ///< numbers in NStgid less one; 0 where the kernel has no NStgid
  pid_t inner_pid = 0;      ///< last number of NStgid
  std::uint32_t threads = 0;
  bool has_memory = false;
  std::optional<bool> kernel_thread;  ///< `Kthread:`; the line is absent before 6.4 or so (KERNEL.md 8)
  bool sigkill_pending = false;       ///< in SigPnd or ShdPnd
  bool killed = false;                ///< in ShdPnd: the whole process
  bool core_dumping = false;
  std::uint32_t descriptor_table_size = 0;  ///< `FDSize:`; 0 once the thread went through exit_files
  std::uint64_t context_switches = 0;       ///< voluntary + nonvoluntary
};

/// Required lines: State, Tgid, Pid, PPid, Threads and both of context switches, which stand last: a status that was
/// cut short would look like that of a process that exits (no Vm* lines). gone: the task was released while it was
/// read.
Result<StatusFields> parse_status(std::string_view text);

/// Whether the process is a kernel thread: what `Kthread:` says or, without that line, PID 2 and its children as far as
/// they are no user processes.
bool is_kernel_thread(const StatusFields& status);

/// The brief of a process for the walk.
ProcessBrief make_brief(const StatusFields& status);

/// What is kept of /proc/PID/stat (fs/proc/array.c, do_task_stat).
struct StatFields {
  std::string comm;
  char state = '?';
  pid_t ppid = 0;
  std::uint64_t flags = 0;        ///< field 9, PF_*
  std::uint64_t start_ticks = 0;  ///< field 22
  std::optional<std::uint32_t>
      processor;  ///< field 39, the CPU that it ran on last; nothing where the text ends before
};
inline constexpr std::uint64_t kPfExiting = 0x4;  // include/linux/sched.h

/// `4711 (a) b) S 1 ...`: the name is not escaped and may hold spaces, parentheses and newlines, so it ends at the last
/// ')'.
Result<StatFields> parse_stat(std::string_view text);

/// `[<0>] request_wait_answer+0x151/0x210 [fuse]`: function names, innermost first, without offsets, modules and the
/// suffixes of compilers (.isra.N .part.N .constprop.N .cold .llvm.N .lto_priv.N). A name without offset may be cut
/// short and is left out. At most kMaxStackFrames.
std::vector<std::string> parse_stack(std::string_view text);
inline constexpr std::size_t kMaxStackFrames = 128;

/// One symbol as parse_stack would give it.
std::string strip_symbol(std::string_view symbol);

/// `36 35 0:40 / /mnt rw,nosuid - fuse.s3fs bucket rw,user_id=0` lines, reduced to FUSE: types fuse, fuse.*, fuseblk,
/// never fusectl. Octal escapes are resolved before sanitising. At most `max_lines` lines are looked at, and a last one
/// that was cut short is not (`complete`).
Result<MountTable> parse_mountinfo(std::string_view text, std::size_t max_lines);

/// Mount id and parent id of the first line of a mountinfo: they tell mount namespaces apart, since mount ids are
/// unique on the host (fs/namespace.c, mnt_id_ida) and a copied namespace gets new ones. malformed: no line.
Result<std::pair<int, int>> parse_first_mount(std::string_view text);

/// `0::/docker/<id>` and `5:memory:/docker/<id>`: paths, that of v2 first, then v1 ones without repetition; "/" left
/// out, and a last line that was cut short too.
std::vector<std::string> parse_cgroup(std::string_view text);

/// What is kept of /proc/PID/fdinfo/N.
struct DescriptorInfo {
  std::uint32_t flags = 0;  ///< open flags, printed in octal
  int mount_id = -1;
  std::optional<ConnectionId> fuse_connection;  ///< only /dev/fuse, Linux 6.16 and later, and only once mounted
};
/// `truncated`: the file goes on. malformed also where a `fuse_connection` may be in what is missing: locks on the file
/// are listed before it, and there may be any number.
Result<DescriptorInfo> parse_fdinfo(std::string_view text, bool truncated = false);

/// `pid:[4026532178]` for kind "pid".
Result<NamespaceId> parse_namespace_link(std::string_view text, std::string_view kind);

/// `se.exec_start : 3292530.136620` of a `sched` file, as a duration (milliseconds with a fraction).
Result<Nanoseconds> parse_exec_start(std::string_view text);

/// The first number of /proc/uptime, seconds with two decimals.
Result<Nanoseconds> parse_uptime(std::string_view text);

}  // namespace defused
