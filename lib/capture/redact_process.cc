// SPDX-License-Identifier: Apache-2.0
// status, stat, sched and comm: what names a thread.
#include <algorithm>
#include <array>
#include <string>

#include "base/text.h"
#include "capture/redact_files.h"

namespace defused {

namespace {

constexpr auto kNone = std::string_view::npos;
// No number, no state, no id: what stands for a value that is not what the kernel prints.
constexpr std::string_view kNotIt = "*";

enum class Form { numbers, mask, size, state };

struct Line {
  std::string_view key;
  Form form;
};

// fs/proc/array.c (proc_pid_status), fs/proc/task_mmu.c (task_mem). Others say nothing of a deadlock.
constexpr auto kStatusLines = std::to_array<Line>({
    {"Umask", Form::numbers},
    {"State", Form::state},
    {"Tgid", Form::numbers},
    {"Ngid", Form::numbers},
    {"Pid", Form::numbers},
    {"PPid", Form::numbers},
    {"TracerPid", Form::numbers},
    {"Uid", Form::numbers},
    {"Gid", Form::numbers},
    {"FDSize", Form::numbers},
    {"Groups", Form::numbers},
    {"NStgid", Form::numbers},
    {"NSpid", Form::numbers},
    {"NSpgid", Form::numbers},
    {"NSsid", Form::numbers},
    {"Kthread", Form::numbers},
    {"VmPeak", Form::size},
    {"VmSize", Form::size},
    {"VmLck", Form::size},
    {"VmPin", Form::size},
    {"VmHWM", Form::size},
    {"VmRSS", Form::size},
    {"RssAnon", Form::size},
    {"RssFile", Form::size},
    {"RssShmem", Form::size},
    {"VmData", Form::size},
    {"VmStk", Form::size},
    {"VmExe", Form::size},
    {"VmLib", Form::size},
    {"VmPTE", Form::size},
    {"VmSwap", Form::size},
    {"HugetlbPages", Form::size},
    {"CoreDumping", Form::numbers},
    {"THP_enabled", Form::numbers},
    {"Threads", Form::numbers},
    {"SigQ", Form::numbers},
    {"SigPnd", Form::mask},
    {"ShdPnd", Form::mask},
    {"SigBlk", Form::mask},
    {"SigIgn", Form::mask},
    {"SigCgt", Form::mask},
    {"CapInh", Form::mask},
    {"CapPrm", Form::mask},
    {"CapEff", Form::mask},
    {"CapBnd", Form::mask},
    {"CapAmb", Form::mask},
    {"NoNewPrivs", Form::numbers},
    {"Seccomp", Form::numbers},
    {"Seccomp_filters", Form::numbers},
    {"voluntary_ctxt_switches", Form::numbers},
    {"nonvoluntary_ctxt_switches", Form::numbers},
});

constexpr auto kStates =
    std::to_array<std::string_view>({"(running)", "(sleeping)", "(disk sleep)", "(stopped)", "(tracing stop)", "(dead)",
                                     "(zombie)", "(parked)", "(idle)"});

// kernel/sched/debug.c, proc_sched_show_task(): what tells when a thread ran and how often.
constexpr auto kSchedKeys = std::to_array<std::string_view>({"se.exec_start", "se.vruntime", "se.sum_exec_runtime",
                                                             "se.nr_migrations", "nr_switches", "nr_voluntary_switches",
                                                             "nr_involuntary_switches", "policy", "prio"});

std::string_view take_suffix(std::string_view text, std::string_view suffix) {
  if (text.size() < suffix.size() || text.substr(text.size() - suffix.size()) != suffix) return text;
  return text.substr(0, text.size() - suffix.size());
}

// D (disk sleep)
std::string redact_state(std::string_view value) {
  const std::string_view letter = take_field(value, ' ');
  const bool is_letter =
      letter.size() == 1 && ((letter[0] >= 'a' && letter[0] <= 'z') || (letter[0] >= 'A' && letter[0] <= 'Z'));
  if (!is_letter) return std::string(kNotIt);
  const bool is_known = std::find(kStates.begin(), kStates.end(), value) != kStates.end();
  return std::string(letter) + (is_known ? " " + std::string(value) : "");
}

std::string redact_value(std::string_view value, Form form) {
  const auto kept = [&](bool fits) { return fits ? std::string(value) : std::string(kNotIt); };
  switch (form) {
    case Form::numbers: return kept(consists_of(value, "0123456789 \t/-"));
    case Form::mask: return kept(consists_of(value, "0123456789abcdef,"));
    case Form::size: return kept(consists_of(take_suffix(value, " kB"), "0123456789 \t"));
    case Form::state: return redact_state(value);
  }
  return {};
}

// As the kernel escapes it in status: newline and backslash.
std::string unescape_name(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool escape = text[i] == '\\' && i + 1 < text.size();
    if (escape && (text[i + 1] == 'n' || text[i + 1] == '\\')) {
      out += text[++i] == 'n' ? '\n' : '\\';
    } else {
      out += text[i];
    }
  }
  return out;
}

std::string escape_name(std::string_view name) {
  std::string out;
  for (const char c : name) {
    if (c == '\n') {
      out += "\\n";
    } else if (c == '\\') {
      out += "\\\\";
    } else {
      out += c;
    }
  }
  return out;
}

std::string_view status_value(std::string_view line, std::string_view key) {
  const std::size_t colon = line.find(':');
  return colon != kNone && line.substr(0, colon) == key ? trim(line.substr(colon + 1)) : std::string_view{};
}

bool is_digits(std::string_view text) { return !text.empty() && consists_of(text, "0123456789"); }

// "iou-wrk-4711"
bool is_worker_name(std::string_view comm) {
  for (const std::string_view prefix : {"iou-wrk-", "iou-sqp-", "vhost-"}) {
    if (comm.substr(0, prefix.size()) == prefix && is_digits(comm.substr(prefix.size()))) return true;
  }
  return false;
}

// "u8:3", "0:1H".
bool is_worker_place(std::string_view place) {
  const std::size_t colon = place.find(':');
  if (colon == kNone) return false;
  std::string_view pool = place.substr(0, colon);
  if (!pool.empty() && pool.front() == 'u') pool.remove_prefix(1);
  std::string_view worker = place.substr(colon + 1);
  if (!worker.empty() && (worker.back() == 'H' || worker.back() == 'L')) worker.remove_suffix(1);
  return is_digits(pool) && is_digits(worker);
}

// "-flush-0:25" and the beginnings of it to which `comm` cuts it: which device is written back.
bool is_flush(std::string_view suffix) {
  constexpr std::string_view kFlush = "flush-";
  if (suffix.size() <= kFlush.size()) return kFlush.substr(0, suffix.size()) == suffix;
  return suffix.substr(0, kFlush.size()) == kFlush && consists_of(suffix.substr(kFlush.size()), "0123456789:");
}

// Of "kworker/u8:3-flush-0:25" all; what else stands after the worker is a work queue, which a driver may have named
// after a file system or a host. "" where it is no such name.
std::string keep_of_worker(std::string_view comm) {
  constexpr std::string_view kPrefix = "kworker/";
  if (comm.substr(0, kPrefix.size()) != kPrefix) return {};
  // A rescuer; it has the name of its work queue.
  if (comm == "kworker/R" || comm.substr(kPrefix.size(), 2) == "R-") return "kworker/R";
  // "+": the work queue that it works for, "-": the last one.
  const std::size_t end = std::min(comm.find_first_of("+-", kPrefix.size()), comm.size());
  if (!is_worker_place(comm.substr(kPrefix.size(), end - kPrefix.size()))) return {};
  const bool keep = end < comm.size() && is_flush(comm.substr(end + 1));
  return std::string(comm.substr(0, keep ? comm.size() : end));
}

// What is kept of a kernel thread's name: forms that every kernel has. Others have the names of file systems, devices
// and hosts in them. "": none of it.
std::string keep_of_kernel_name(std::string_view comm) {
  static constexpr auto kWhole = std::to_array<std::string_view>({"kthreadd",
                                                                  "pool_workqueue_release",
                                                                  "khungtaskd",
                                                                  "oom_reaper",
                                                                  "ksmd",
                                                                  "khugepaged",
                                                                  "kauditd",
                                                                  "kdevtmpfs",
                                                                  "rcu_gp",
                                                                  "rcu_par_gp",
                                                                  "rcu_preempt",
                                                                  "rcu_sched",
                                                                  "rcu_bh",
                                                                  "rcu_tasks_kthread",
                                                                  "rcu_tasks_rude_kthread",
                                                                  "rcu_tasks_trace_kthread",
                                                                  "rcu_exp_gp_kthread_worker",
                                                                  "rcu_exp_par_gp_kthread_worker",
                                                                  "kthrotld",
                                                                  "watchdogd"});
  // And a number after it.
  static constexpr auto kNumbered =
      std::to_array<std::string_view>({"kswapd", "kcompactd", "ksoftirqd/", "migration/", "watchdog/", "cpuhp/",
                                       "idle_inject/", "rcuc/", "rcub/", "rcuog/", "rcuop/", "rcuos/", "scsi_eh_"});
  // What comes after it is the name of a disk.
  static constexpr auto kCut = std::to_array<std::string_view>({"jbd2/", "xfsaild/", "xfs-"});
  if (std::find(kWhole.begin(), kWhole.end(), comm) != kWhole.end()) return std::string(comm);
  for (const std::string_view prefix : kNumbered) {
    if (comm.substr(0, prefix.size()) == prefix && is_digits(comm.substr(prefix.size()))) return std::string(comm);
  }
  for (const std::string_view prefix : kCut) {
    const std::string_view kept = prefix.substr(0, prefix.find_last_not_of("/-") + 1);
    if (comm == kept || comm.substr(0, prefix.size()) == prefix) return std::string(kept);
  }
  return keep_of_worker(comm);
}

}  // namespace

bool is_status_of_kernel_thread(std::string_view status) {
  bool has_memory = false;
  bool of_kthreadd = false;
  bool has_descriptors = false;
  bool deep = false;
  status = whole_lines(status);
  while (!status.empty()) {
    const std::string_view line = take_field(status, '\n');
    if (const auto says = status_value(line, "Kthread"); !says.empty()) return says == "1";
    if (status_value(line, "Pid") == "2" || status_value(line, "PPid") == "2") of_kthreadd = true;
    if (!status_value(line, "VmSize").empty() || !status_value(line, "VmRSS").empty()) has_memory = true;
    if (const auto size = parse_u64(status_value(line, "FDSize")); size && *size > 0) has_descriptors = true;
    if (status_value(line, "NStgid").find('\t') != kNone) deep = true;
  }
  return of_kthreadd && has_descriptors && !has_memory && !deep;
}

std::string redact_comm(std::string_view comm, bool keep, Pseudonyms& names) {
  constexpr std::size_t kLongest = 64;  // fs/proc/array.c, proc_task_name()
  if (comm.size() > kLongest) return names.name(comm);
  if (is_worker_name(comm)) return std::string(comm);
  const std::string kept = keep ? keep_of_kernel_name(comm) : std::string();
  return kept.empty() ? names.name(comm) : kept;
}

// Name:	repro-init
// State:	D (disk sleep)
std::string redact_status(std::string_view text, bool keep_name, Pseudonyms& names) {
  std::string out;
  text = whole_lines(text);
  while (!text.empty()) {
    std::string_view line = take_field(text, '\n');
    if (line.find(':') == kNone) continue;
    const std::string_view key = take_field(line, ':');
    if (key == "Name") {
      if (line.substr(0, 1) == "\t") line.remove_prefix(1);
      out += "Name:\t" + escape_name(redact_comm(unescape_name(line), keep_name, names)) + "\n";
      continue;
    }
    const auto* known =
        std::find_if(kStatusLines.begin(), kStatusLines.end(), [&](const Line& it) { return it.key == key; });
    if (known == kStatusLines.end()) continue;
    out.append(key).append(":\t").append(redact_value(trim(line), known->form)).append("\n");
  }
  return out;
}

// 3901 (repro-init) D 3898 3895 1514 0 -1 4195404 3 0 ..: the name ends at the last ')'. Addresses in memory become 0.
std::string redact_stat(std::string_view text, bool keep_name, Pseudonyms& names) {
  const std::size_t open = text.find('(');
  const std::size_t close = text.rfind(')');
  if (open == kNone || close == kNone || close < open) return std::string(text.empty() ? "" : kNotIt);
  const auto number = [](std::string_view field) {
    return field.size() <= 20 && consists_of(field, "-0123456789") ? field : kNotIt;
  };
  std::string out(number(trim(text.substr(0, open))));
  out += " (" + redact_comm(text.substr(open + 1, close - open - 1), keep_name, names) + ")";
  constexpr std::size_t kFirst = 3;  // the field behind the name is number 3
  constexpr auto kAddresses = std::to_array<std::size_t>({26, 27, 28, 29, 30, 45, 46, 47, 48, 49, 50, 51});
  const auto fields = split_fields(trim(text.substr(close + 1)), ' ');
  for (std::size_t i = 0; i < fields.size(); ++i) {
    const bool is_address = std::find(kAddresses.begin(), kAddresses.end(), i + kFirst) != kAddresses.end();
    out += ' ';
    if (i == 0) {
      out += redact_state(fields[0]);
    } else {
      out += is_address ? "0" : number(fields[i]);
    }
  }
  return out + (text.back() == '\n' ? "\n" : "");
}

// docker-init (7245, #threads: 1)
// -------------------------------------------------------------------
// se.exec_start                                :       3345803.676523
// The name is not escaped and may hold what looks like the lines below, but not a ruler: 15 bytes are too few.
std::string redact_sched(std::string_view text, bool keep_name, Pseudonyms& names) {
  constexpr std::string_view kRuler = "\n--------------------";
  const std::size_t ruler = text.find(kRuler);
  const std::string_view head = text.substr(0, ruler);
  const std::size_t open = head.rfind(" (");
  if (ruler == kNone || open == kNone) return {};
  std::string out = redact_comm(head.substr(0, open), keep_name, names);
  std::string_view numbers = head.substr(open + 2);  // 7245, #threads: 1)
  const auto pid = parse_u64(take_field(numbers, ','));
  take_field(numbers, ':');
  const auto threads = parse_u64(trim(numbers.substr(0, numbers.find(')'))));
  out += " (" + std::to_string(pid.value_or(0)) + ", #threads: " + std::to_string(threads.value_or(0)) + ")";
  out += "\n-------------------------------------------------------------------\n";
  std::string_view rest = whole_lines(text.substr(ruler + 1));
  take_field(rest, '\n');
  while (!rest.empty()) {
    const std::string_view line = take_field(rest, '\n');
    std::string_view value = line;
    const std::string_view key = trim(take_field(value, ':'));
    if (std::find(kSchedKeys.begin(), kSchedKeys.end(), key) == kSchedKeys.end()) continue;
    if (consists_of(value, "0123456789 .-")) out.append(line).append("\n");
  }
  return out;
}

std::string redact_comm_file(std::string_view text, bool keep_name, Pseudonyms& names) {
  const bool ended = !text.empty() && text.back() == '\n';
  if (ended) text.remove_suffix(1);
  return redact_comm(text, keep_name, names) + (ended ? "\n" : "");
}

}  // namespace defused
