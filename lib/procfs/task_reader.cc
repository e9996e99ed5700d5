// SPDX-License-Identifier: Apache-2.0
#include "procfs/task_reader.h"

#include <algorithm>

#include "base/text.h"
#include "procfs/parse.h"
#include "procfs/read_parsed.h"

namespace defused {

namespace {

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
  thread.last_cpu = stat->processor;
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

// Its PID namespace, and the control groups that tell whose container it is.
void read_belonging(const Beneath& directory, ProcessSample& sample) {
  if (!sample.brief.has_memory) {
    if (const auto link = directory.read_link("ns/pid")) {
      if (const auto id = parse_namespace_link(*link, "pid")) sample.pid_namespace = *id;
    } else {
      note(sample.gaps, "ns/pid", link.error());
    }
  }
  const auto file = directory.read_file("cgroup", kMaxSmallFile);
  if (file) sample.cgroup_paths = parse_cgroup(file->text);
}

// Many kernels have no such file: no gap.
void take_sched(const Result<std::string>& text, ThreadSample& thread) {
  const auto last_ran = text ? parse_exec_start(*text) : Result<Nanoseconds>(Failure(text.error()));
  if (last_ran) thread.last_ran = *last_ran;
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

// Told to die, or on its way: worth more than its status. One that waits for its io_uring on the way out of exit_group
// shows nothing of it but D, one that is stopped at PTRACE_EVENT_EXIT nothing but t: their stack has to tell.
bool is_worth_a_look(const ThreadSample& thread, const ProcessSample& process) {
  return process.is_told_to_die(thread) || thread.asked || thread.state == 't' ||
         (process.below_dying && thread.state == 'D');
}

// Stopped for a tracer, and no more: what its stack tells is enough, and a debugger may hold thousands of threads so.
bool is_only_traced(const ThreadSample& thread, const ProcessSample& process) {
  return thread.state == 't' && !process.is_told_to_die(thread);
}

// What `status` says, of a thread as of a process.
void take_brief(const ProcessBrief& brief, ThreadSample& thread) {
  thread.comm = brief.name;
  thread.state = brief.state;
  thread.has_memory = brief.has_memory;
  thread.sigkill_pending = brief.sigkill_pending;
  thread.core_dumping = brief.core_dumping;
  thread.context_switches = brief.context_switches;
  thread.tracer = brief.tracer;
}

bool was_not_asked(const Result<std::string>& result) {
  return !result && result.error().kind == ErrorKind::timeout && result.error().code == kNotAsked;
}

void keep(ThreadSample& thread) {
  thread.kept = true;
  // Of this very moment, so it is asked again (merge_waits).
  thread.queued.reset();
  thread.on_stack.reset();
}

// It has not run since `known` was read: then whatever else was read of it still holds.
bool has_not_run(const ThreadSample& thread, const ThreadSample& known) {
  return known.all_read && known.state == thread.state && known.context_switches == thread.context_switches &&
         known.has_memory == thread.has_memory && known.sigkill_pending == thread.sigkill_pending &&
         known.core_dumping == thread.core_dumping && known.tracer == thread.tracer;
}

}  // namespace

// A table may be of 10,000 lines, so threads that see the same one share it. Which one that is, the link to the
// namespace says, or the first line (parse_first_mount).
void SuspectReader::read_mounts(const Beneath& directory, const std::string& task, Shared& shared,
                                ThreadSample& thread) const {
  // EINVAL: its namespaces are gone (a zombie, or the teardown of its mount namespace). That is a state, not a gap.
  const auto failed = [&](const Error& error) {
    if (error.kind != ErrorKind::unsupported) note(thread.gaps, "mountinfo", error);
  };
  if (thread.mount_namespace) {
    const auto known = shared.by_namespace.find(*thread.mount_namespace);
    if (known != shared.by_namespace.end()) thread.mounts = known->second;
  } else if (!shared.by_first_mount.empty()) {
    constexpr std::size_t kFirstLine = 64;  // "22 27 0:21 /": the two ids are within
    const auto head = directory.read_file(task + "mountinfo", kFirstLine);
    if (!head) return failed(head.error());
    const auto first = parse_first_mount(head->text);
    const auto known = first ? shared.by_first_mount.find(*first) : shared.by_first_mount.end();
    if (known != shared.by_first_mount.end()) thread.mounts = known->second;
  }
  if (!thread.mounts) {
    const auto file = directory.read_file(task + "mountinfo", limits_.max_mount_bytes);
    if (!file) return failed(file.error());
    auto table = parse_mountinfo(file->text, limits_.max_mount_lines);
    if (!table) return note(thread.gaps, "mountinfo", table.error());
    table->complete = table->complete && !file->truncated;
    thread.mounts = std::make_shared<const MountTable>(*std::move(table));
    if (thread.mount_namespace) shared.by_namespace[*thread.mount_namespace] = thread.mounts;
    if (const auto first = parse_first_mount(file->text)) shared.by_first_mount[*first] = thread.mounts;
  }
  if (!thread.mounts->complete) add_gap(thread.gaps, "mountinfo", ErrorKind::unsupported);
}

// The descriptors of a thread that has not come to exit_files: which mounts it has files open on. Threads nearly always
// share one table, and nothing in the safe class says whether they do; where they are many, or the table is large, what
// one showed serves for all whose table has the same size.
void SuspectReader::read_open_mounts(const Beneath& directory, const std::string& task, std::uint32_t table_size,
                                     Shared& shared, ThreadSample& thread) const {
  constexpr std::size_t kOwnListings = 64;
  constexpr std::uint32_t kLargeTable = 4096;
  const auto known = shared.open_mounts.find(table_size);
  if (known != shared.open_mounts.end() && (shared.listings >= kOwnListings || table_size >= kLargeTable)) {
    thread.open_mount_ids = known->second;
    return;
  }
  bool truncated = false;
  const auto names = directory.list(task + "fdinfo", limits_.max_descriptors, truncated);
  if (!names) return note(thread.gaps, "fdinfo", names.error());
  ++shared.listings;
  if (truncated) add_gap(thread.gaps, "fdinfo", ErrorKind::unsupported);
  auto& ids = thread.open_mount_ids;
  for (const std::string& name : *names) {
    if (directory.is_put_off(task + "fdinfo/" + name, out_of_time())) {
      add_gap(thread.gaps, "fdinfo", ErrorKind::timeout);
      thread.all_read = false;
      break;
    }
    const auto text = read_text(directory, task + "fdinfo/" + name);
    const auto info = text ? parse_fdinfo(*text) : Result<DescriptorInfo>(Failure(text.error()));
    if (info) {
      ids.push_back(info->mount_id);
    } else {
      note(thread.gaps, "fdinfo", info.error());
    }
  }
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  if (thread.gaps.count({"fdinfo", ErrorKind::timeout}) == 0) shared.open_mounts[table_size] = ids;
}

void SuspectReader::read_closely(const Beneath& directory, const std::string& task, std::uint32_t table_size,
                                 Shared& shared, const ProcessSample& process, ThreadSample& thread) {
  if (!thread.has_memory) {
    take_stack(read_text(directory, task + "stack"), thread);
    take_wchan(read_text(directory, task + "wchan"), thread);
    take_mount_namespace(directory.read_link(task + "ns/mnt"), thread);
  }
  if (!is_only_traced(thread, process)) {
    read_mounts(directory, task, shared, thread);
    read_open_mounts(directory, task, table_size, shared, thread);
  }
  take_sched(read_text(directory, task + "sched"), thread);
}

bool SuspectReader::is_unchanged(const ProcessBrief& brief, const KeptSuspect& kept) const {
  const auto& threads = kept.sample.threads;
  if (threads.size() != brief.threads || !kept.sample.threads_complete) return false;
  return std::all_of(threads.begin(), threads.end(), [&](const ThreadSample& known) {
    ThreadSample now;
    if (known.id.tid == brief.pid) {
      take_brief(brief, now);
    } else {
      const std::string task = std::to_string(brief.pid) + "/task/" + std::to_string(known.id.tid) + "/";
      const auto status = read_status(proc_.files(), task);
      if (!status || out_of_time()) return false;
      take_brief(make_brief(*status), now);
    }
    return has_not_run(now, known);
  });
}

bool SuspectReader::read_thread(const Beneath& directory, pid_t tid, Shared& shared, ProcessSample& out) {
  const std::string task = "task/" + std::to_string(tid) + "/";
  const auto status = read_status(directory, task);
  if (!status) {
    note(out.gaps, "status", status.error());
    return status.error().kind == ErrorKind::gone;
  }
  ThreadSample thread;
  thread.id.tid = tid;
  take_brief(make_brief(*status), thread);
  // Of a process with thousands of threads the first ones and those in D tell where it sleeps.
  thread.asked = out.asked && thread.state != 'R' && (thread.state == 'D' || out.threads.size() < kMaxAskedThreads);
  const auto known = shared.before.find(tid);
  if (known != shared.before.end() && has_not_run(thread, *known->second)) {
    out.threads.push_back(*known->second);
    keep(out.threads.back());
    return true;
  }
  if (!thread.has_memory) take_stat(read_text(directory, task + "stat"), thread);
  if (!thread.is_finished() && is_worth_a_look(thread, out)) {
    read_closely(directory, task, status->descriptor_table_size, shared, out, thread);
  }
  out.threads.push_back(std::move(thread));
  return true;
}

std::optional<ProcessSample> SuspectReader::read(const ProcessBrief& brief, SuspectKind kind, const KeptSuspect* kept) {
  if (kept != nullptr && is_unchanged(brief, *kept)) return keep_suspect(brief, *kept);
  ProcessSample sample;
  sample.brief = brief;
  sample.below_dying = kind == SuspectKind::below_dying;
  sample.asked = kind == SuspectKind::asked;
  sample.id.pid = brief.pid;
  // Held through all reads: a recycled PID answers ESRCH below it, never with another process.
  const auto directory = proc_.files().open_directory(std::to_string(brief.pid));
  if (!directory) {
    if (directory.error().kind == ErrorKind::gone) return std::nullopt;
    note(sample.gaps, "process", directory.error());
    sample.threads_complete = false;
    return sample;
  }
  if (kept != nullptr && (kept->sample.pid_namespace || brief.has_memory)) {
    sample.pid_namespace = kept->sample.pid_namespace;
    sample.cgroup_paths = kept->sample.cgroup_paths;
    const bool all_asked = kept->sample.threads.empty() || kept->sample.threads.front().all_read;
    for (const auto& [what, count] : kept->sample.gaps) {
      if (what.first == "ns/pid" && all_asked) sample.gaps[what] = count;
    }
  } else {
    read_belonging(*directory, sample);
  }
  bool truncated = false;
  const auto tids = directory->list_numbers("task", limits_.max_threads, truncated);
  if (!tids) {
    if (tids.error().kind == ErrorKind::gone) return std::nullopt;
    note(sample.gaps, "task", tids.error());
    sample.threads_complete = false;
    return sample;
  }
  if (truncated) add_gap(sample.gaps, "task", ErrorKind::unsupported);
  sample.threads_complete = !truncated;
  Shared shared;
  if (kept != nullptr) {
    for (const ThreadSample& thread : kept->sample.threads) shared.before[thread.id.tid] = &thread;
  }
  for (const NumberedEntry& entry : *tids) {
    if (directory->is_put_off("task/" + std::to_string(entry.number), out_of_time())) {
      add_gap(sample.gaps, "task", ErrorKind::timeout);
      sample.threads_complete = false;
      break;
    }
    if (!read_thread(*directory, static_cast<pid_t>(entry.number), shared, sample)) sample.threads_complete = false;
  }
  for (const ThreadSample& thread : sample.threads) {
    if (thread.id.tid == brief.pid) sample.id.start_ticks = thread.id.start_ticks;
  }
  return sample;
}

ProcessSample keep_suspect(const ProcessBrief& brief, const KeptSuspect& kept) {
  ProcessSample sample = kept.sample;
  sample.brief = brief;
  for (ThreadSample& thread : sample.threads) keep(thread);
  return sample;
}

std::vector<Hazard> hazards_of(const ProcessSample& sample) {
  std::vector<Hazard> hazards;
  const bool asked = sample.pid_namespace || sample.gaps.count({"ns/pid", ErrorKind::timeout}) > 0;
  if (sample.brief.has_memory && sample.brief.level > 0 && !asked) hazards.push_back({Hazard::File::pid_namespace, 0});
  for (std::size_t i = 0; i < sample.threads.size(); ++i) {
    const ThreadSample& thread = sample.threads[i];
    if (!thread.has_memory || thread.kept || thread.is_finished() || !is_worth_a_look(thread, sample)) continue;
    for (const auto file : {Hazard::File::stat, Hazard::File::stack, Hazard::File::wchan}) hazards.push_back({file, i});
  }
  return hazards;
}

BoundedRequest request_of(const Hazard& hazard, const ProcessSample& sample) {
  const std::string process = std::to_string(sample.id.pid) + "/";
  if (hazard.file == Hazard::File::pid_namespace) return {process + "ns/pid", true};
  const char* name = hazard.file == Hazard::File::stat    ? "stat"
                     : hazard.file == Hazard::File::stack ? "stack"
                                                          : "wchan";
  return {process + "task/" + std::to_string(sample.threads[hazard.thread].id.tid) + "/" + name, false};
}

void take_hazard(const Hazard& hazard, const Result<std::string>& result, ProcessSample& sample) {
  if (hazard.file == Hazard::File::pid_namespace) {
    if (was_not_asked(result) && !sample.threads.empty()) sample.threads.front().all_read = false;
    if (!result) return note(sample.gaps, "ns/pid", result.error());
    if (const auto id = parse_namespace_link(*result, "pid")) sample.pid_namespace = *id;
    return;
  }
  ThreadSample& thread = sample.threads[hazard.thread];
  if (was_not_asked(result)) thread.all_read = false;
  if (hazard.file == Hazard::File::stat) take_stat(result, thread);
  if (hazard.file == Hazard::File::stack) take_stack(result, thread);
  if (hazard.file == Hazard::File::wchan) take_wchan(result, thread);
  if (thread.id.tid == sample.id.pid) sample.id.start_ticks = thread.id.start_ticks;
}

}  // namespace defused
