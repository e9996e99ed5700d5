// SPDX-License-Identifier: Apache-2.0
#include "procfs/task_reader.h"

#include <algorithm>

#include "base/text.h"
#include "procfs/parse.h"

namespace defused {

namespace {

constexpr std::size_t kMaxSmallFile = 65'536;

// A vanished thread is no gap: it simply is not there any more.
void note(Gaps& gaps, const char* file, const Error& error) {
  if (error.kind != ErrorKind::gone) add_gap(gaps, file, error.kind);
}

void take_stat(const Result<std::string>& text, ThreadSample& thread) {
  if (!text) return note(thread.gaps, "stat", text.error());
  const auto stat = parse_stat(*text);
  if (!stat) return note(thread.gaps, "stat", stat.error());
  thread.exiting = (stat->flags & kPfExiting) != 0;
  thread.id.start_ticks = stat->start_ticks;
}

void take_stack(const Result<std::string>& text, ThreadSample& thread) {
  if (!text) return note(thread.gaps, "stack", text.error());
  thread.stack = parse_stack(*text);
}

// Read after the stack: a thread that still has a wchan but had no stack is on a kernel that shows none.
void take_wchan(const Result<std::string>& text, ThreadSample& thread) {
  if (!text) return note(thread.gaps, "wchan", text.error());
  const bool has_stack_gap =
      std::any_of(thread.gaps.begin(), thread.gaps.end(), [](const auto& gap) { return gap.first.first == "stack"; });
  if (!thread.stack && !has_stack_gap) add_gap(thread.gaps, "stack", ErrorKind::unsupported);
  const std::string_view symbol = trim(*text);
  if (symbol != "0") thread.wchan = strip_symbol(symbol);
}

void take_mount_namespace(const Result<std::string>& text, ThreadSample& thread) {
  if (!text) return;  // ENOENT once its namespaces are gone
  if (const auto id = parse_namespace_link(*text, "mnt")) thread.mount_namespace = *id;
}

Result<std::string> read_text(const Beneath& directory, const std::string& path) {
  auto file = directory.read_file(path, kMaxSmallFile);
  if (!file) return Failure(file.error());
  return std::move(file->text);
}

void read_mounts(const Beneath& directory, const std::string& task, const ReadLimits& limits, ThreadSample& thread) {
  const auto file = directory.read_file(task + "mountinfo", limits.max_mount_bytes);
  if (!file) {
    // EINVAL: its namespaces are gone (a zombie, or the teardown of its mount namespace). That is a state, not a gap.
    if (file.error().kind != ErrorKind::unsupported) note(thread.gaps, "mountinfo", file.error());
    return;
  }
  auto table = parse_mountinfo(file->text, limits.max_mount_lines);
  if (!table) return note(thread.gaps, "mountinfo", table.error());
  table->complete = table->complete && !file->truncated;
  if (!table->complete) add_gap(thread.gaps, "mountinfo", ErrorKind::unsupported);
  thread.mounts = *std::move(table);
}

// The descriptors of a thread that has not come to exit_files: which mounts it has files open on.
void read_open_mounts(const Beneath& directory, const std::string& task, const ReadLimits& limits,
                      ThreadSample& thread) {
  bool truncated = false;
  const auto names = directory.list(task + "fdinfo", limits.max_descriptors, truncated);
  if (!names) return note(thread.gaps, "fdinfo", names.error());
  if (truncated) add_gap(thread.gaps, "fdinfo", ErrorKind::unsupported);
  for (const std::string& name : *names) {
    const auto text = read_text(directory, task + "fdinfo/" + name);
    if (!text) {
      note(thread.gaps, "fdinfo", text.error());
      continue;
    }
    if (const auto info = parse_fdinfo(*text)) {
      thread.open_mount_ids.push_back(info->mount_id);
    } else {
      note(thread.gaps, "fdinfo", info.error());
    }
  }
  auto& ids = thread.open_mount_ids;
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
}

// Since when it has not run. Both clocks have their error (steal time, suspend), so the shorter time counts.
void read_slept(const Beneath& directory, const std::string& task, const SchedNow& now, ThreadSample& thread) {
  const auto text = read_text(directory, task + "sched");
  const auto exec_start = text ? parse_exec_start(*text) : Result<Nanoseconds>(Failure(text.error()));
  if (!exec_start) return;
  std::optional<Nanoseconds> slept;
  for (const auto& reference : {now.own_exec_start, now.uptime}) {
    if (!reference) continue;
    const Nanoseconds age = std::max(*reference - *exec_start, Nanoseconds(0));
    slept = slept ? std::min(*slept, age) : age;
  }
  thread.slept = slept;
}

// Told to die, or on its way: worth more than its status. One that waits for its io_uring on the way out of exit_group
// shows nothing of it but D, one that is stopped at PTRACE_EVENT_EXIT nothing but t: their stack has to tell.
bool is_told_to_die(const ThreadSample& thread, const ProcessSample& process) {
  return !thread.has_memory || thread.sigkill_pending || thread.core_dumping || process.brief.told_to_die ||
         thread.state == 't' || (process.below_dying && thread.state == 'D');
}

// Stopped for a tracer, and no more: what its stack tells is enough, and a debugger may hold thousands of threads so.
bool is_only_traced(const ThreadSample& thread, const ProcessSample& process) {
  return thread.state == 't' && thread.has_memory && !thread.sigkill_pending && !thread.core_dumping &&
         !process.brief.told_to_die;
}

bool is_asleep_for_good(const ThreadSample& thread) { return thread.state != 'Z' && thread.state != 'X'; }

bool read_thread(const Beneath& directory, pid_t tid, const ReadLimits& limits, const SchedNow& now,
                 ProcessSample& process) {
  const std::string task = "task/" + std::to_string(tid) + "/";
  const auto text = read_text(directory, task + "status");
  const auto status = text ? parse_status(*text) : Result<StatusFields>(Failure(text.error()));
  if (!status) {
    note(process.gaps, "status", status.error());
    return status.error().kind == ErrorKind::gone;
  }
  ThreadSample thread;
  thread.id.tid = tid;
  thread.comm = status->name;
  thread.state = status->state;
  thread.has_memory = status->has_memory;
  thread.sigkill_pending = status->sigkill_pending;
  thread.core_dumping = status->core_dumping;
  thread.context_switches = status->context_switches;
  thread.tracer = status->tracer;
  if (!thread.has_memory) take_stat(read_text(directory, task + "stat"), thread);
  if (is_asleep_for_good(thread) && is_told_to_die(thread, process)) {
    if (!thread.has_memory) {
      take_stack(read_text(directory, task + "stack"), thread);
      take_wchan(read_text(directory, task + "wchan"), thread);
      take_mount_namespace(directory.read_link(task + "ns/mnt"), thread);
    }
    if (!is_only_traced(thread, process)) {
      read_mounts(directory, task, limits, thread);
      read_open_mounts(directory, task, limits, thread);
    }
    read_slept(directory, task, now, thread);
  }
  process.threads.push_back(std::move(thread));
  return true;
}

}  // namespace

SchedNow read_sched_now(const ProcRoot& proc) {
  SchedNow now;
  if (const auto text = read_text(proc.files(), "self/sched")) {
    if (const auto own = parse_exec_start(*text)) now.own_exec_start = *own;
  }
  if (const auto text = read_text(proc.files(), "uptime")) {
    if (const auto uptime = parse_uptime(*text)) now.uptime = *uptime;
  }
  return now;
}

std::optional<ProcessSample> read_suspect(const ProcRoot& proc, const ReadLimits& limits, const ProcessBrief& brief,
                                          bool below_dying, const SchedNow& now) {
  ProcessSample sample;
  sample.brief = brief;
  sample.below_dying = below_dying;
  sample.id.pid = brief.pid;
  // Held through all reads: a recycled PID answers ESRCH below it, never with another process.
  const auto directory = proc.files().open_directory(std::to_string(brief.pid));
  if (!directory) {
    if (directory.error().kind == ErrorKind::gone) return std::nullopt;
    note(sample.gaps, "process", directory.error());
    sample.threads_complete = false;
    return sample;
  }
  if (!brief.has_memory) {
    if (const auto link = directory->read_link("ns/pid")) {
      if (const auto id = parse_namespace_link(*link, "pid")) sample.pid_namespace = *id;
    } else {
      note(sample.gaps, "ns/pid", link.error());
    }
  }
  if (const auto text = read_text(*directory, "cgroup")) sample.cgroup_paths = parse_cgroup(*text);
  bool truncated = false;
  const auto tids = directory->list("task", limits.max_threads, truncated);
  if (!tids) {
    if (tids.error().kind == ErrorKind::gone) return std::nullopt;
    note(sample.gaps, "task", tids.error());
    sample.threads_complete = false;
    return sample;
  }
  if (truncated) add_gap(sample.gaps, "task", ErrorKind::unsupported);
  sample.threads_complete = !truncated;
  for (const std::string& name : *tids) {
    const auto tid = parse_u64(name);
    if (tid && !read_thread(*directory, static_cast<pid_t>(*tid), limits, now, sample)) sample.threads_complete = false;
  }
  for (const ThreadSample& thread : sample.threads) {
    if (thread.id.tid == brief.pid) sample.id.start_ticks = thread.id.start_ticks;
  }
  return sample;
}

std::vector<BoundedRequest> hazards_of(const ProcessSample& sample) {
  std::vector<BoundedRequest> requests;
  const std::string process = std::to_string(sample.id.pid) + "/";
  if (sample.brief.has_memory && sample.brief.level > 0) requests.push_back({process + "ns/pid", true});
  for (const ThreadSample& thread : sample.threads) {
    if (!thread.has_memory || !is_told_to_die(thread, sample) || !is_asleep_for_good(thread)) continue;
    const std::string task = process + "task/" + std::to_string(thread.id.tid) + "/";
    for (const char* file : {"stat", "stack", "wchan"}) requests.push_back({task + file, false});
  }
  return requests;
}

void take_hazard(const BoundedRequest& request, const Result<std::string>& result, ProcessSample& sample) {
  std::string_view rest = request.path;
  take_field(rest, '/');
  const std::string_view second = take_field(rest, '/');
  if (second == "ns") {
    if (!result) return note(sample.gaps, "ns/pid", result.error());
    if (const auto id = parse_namespace_link(*result, "pid")) sample.pid_namespace = *id;
    return;
  }
  const auto tid = parse_u64(take_field(rest, '/'));
  for (ThreadSample& thread : sample.threads) {
    if (!tid || thread.id.tid != static_cast<pid_t>(*tid)) continue;
    if (rest == "stat") take_stat(result, thread);
    if (rest == "stack") take_stack(result, thread);
    if (rest == "wchan") take_wchan(result, thread);
    if (thread.id.tid == sample.id.pid) sample.id.start_ticks = thread.id.start_ticks;
  }
}

}  // namespace defused
