// SPDX-License-Identifier: Apache-2.0
// status, stat and the small files of one number.
#include <algorithm>
#include <limits>
#include <string>

#include "base/text.h"
#include "procfs/malformed.h"
#include "procfs/parse.h"

namespace defused {

namespace {

constexpr std::uint64_t kSigkillBit = 1U << 8U;  // signal 9 is bit 8 of a mask

// One letter of the kernel's (fs/proc/array.c, task_state_array): R S D T t X Z P I, and K W x of older ones.
bool is_state(std::string_view text) {
  return text.size() == 1 && ((text[0] >= 'A' && text[0] <= 'Z') || (text[0] >= 'a' && text[0] <= 'z'));
}

std::optional<pid_t> parse_pid(std::string_view text) {
  const auto number = parse_u64(text);
  if (!number || *number > static_cast<std::uint64_t>(std::numeric_limits<pid_t>::max())) return std::nullopt;
  return static_cast<pid_t>(*number);
}

// The lines without which a status is no evidence. The last one stands behind all that is kept, so that a text that was
// cut short lacks it: without Vm* lines a process looks as if it exits, without its counters as if it stood still.
constexpr unsigned kState = 1U << 0U;
constexpr unsigned kTgid = 1U << 1U;
constexpr unsigned kPid = 1U << 2U;
constexpr unsigned kParent = 1U << 3U;
constexpr unsigned kThreads = 1U << 4U;
constexpr unsigned kVoluntary = 1U << 5U;
constexpr unsigned kInvoluntary = 1U << 6U;
constexpr unsigned kAllLines = (1U << 7U) - 1;

class StatusParser {
 public:
  // Returns false where the value is not what the kernel prints.
  bool take_line(std::string_view key, std::string_view value) {
    if (key == "Name") out.name = sanitize(value);
    if (key == "State") return take_state(value);
    if (key == "Tgid") return take_number(value, out.tgid, kTgid);
    if (key == "Pid") return take_number(value, out.pid, kPid);
    if (key == "PPid") return take_number(value, out.ppid, kParent);
    if (key == "TracerPid") return take_number(value, out.tracer);
    if (key == "FDSize") return take_number(value, out.descriptor_table_size);
    if (key == "NStgid") return take_inner_numbers(value);
    if (key == "Kthread") return take_flag(value, out.kernel_thread.emplace());
    if (key == "VmSize" || key == "VmRSS") out.has_memory = true;
    if (key == "CoreDumping") return take_flag(value, out.core_dumping);
    if (key == "Threads") return take_number(value, out.threads, kThreads);
    if (key == "SigPnd") return take_mask(value, out.sigkill_pending);
    if (key == "ShdPnd") return take_mask(value, out.sigkill_pending) && take_mask(value, out.killed);
    if (key == "voluntary_ctxt_switches") return take_switches(value, kVoluntary);
    if (key == "nonvoluntary_ctxt_switches") return take_switches(value, kInvoluntary);
    return true;
  }

  [[nodiscard]] bool is_complete() const { return seen_ == kAllLines; }
  StatusFields out;

 private:
  template <typename Number>
  bool take_number(std::string_view value, Number& field, unsigned line = 0) {
    const auto parsed = parse_u64(value);
    if (!parsed || *parsed > static_cast<std::uint64_t>(std::numeric_limits<Number>::max())) return false;
    field = static_cast<Number>(*parsed);
    seen_ |= line;
    return true;
  }

  // D (disk sleep)
  bool take_state(std::string_view value) {
    if (!is_state(value.substr(0, value.find(' ')))) return false;
    out.state = value.front();
    seen_ |= kState;
    return true;
  }

  bool take_inner_numbers(std::string_view value) {
    const auto numbers = split_fields(value, '\t');
    for (const std::string_view number : numbers) {
      if (!take_number(number, out.inner_pid)) return false;
    }
    if (numbers.empty()) return false;
    out.level = static_cast<std::uint32_t>(numbers.size() - 1);
    return true;
  }

  static bool take_flag(std::string_view value, bool& flag) {
    flag = value == "1";
    return flag || value == "0";
  }

  static bool take_mask(std::string_view value, bool& has_sigkill) {
    const auto parsed = parse_hex(value);
    if (parsed && (*parsed & kSigkillBit) != 0) has_sigkill = true;
    return parsed.has_value();
  }

  bool take_switches(std::string_view value, unsigned line) {
    std::uint64_t number = 0;
    if (!take_number(value, number, line)) return false;
    out.context_switches += number;
    return true;
  }

  unsigned seen_ = 0;
};

}  // namespace

// Name:	repro-init
// State:	D (disk sleep)
// NStgid:	3899	2
// ShdPnd:	0000000000000100
Result<StatusFields> parse_status(std::string_view text) {
  StatusParser parser;
  text = whole_lines(text);
  while (!text.empty()) {
    const std::string_view line = take_field(text, '\n');
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos) continue;
    if (!parser.take_line(line.substr(0, colon), trim(line.substr(colon + 1)))) return malformed("status", line);
  }
  if (!parser.is_complete()) return fail(ErrorKind::malformed, "status: cut short, or a line is missing");
  // Released while it was read: no number in any namespace, no signal handlers (fs/proc/array.c, task_sig).
  if (parser.out.tgid == 0 || parser.out.threads == 0) return fail(ErrorKind::gone, "status: of a released task");
  if (parser.out.pid == 0) return fail(ErrorKind::malformed, "status: Pid is 0");
  return std::move(parser.out);
}

bool is_kernel_thread(const StatusFields& status) {
  constexpr pid_t kKthreadd = 2;
  if (status.kernel_thread) return *status.kernel_thread;
  // A helper that the kernel starts (the pipe of core_pattern, say) is kthreadd's child and a process as any other: it
  // has memory, and on its way out no descriptors, whereas kernel threads share a table of 64.
  const bool is_of_kthreadd = status.pid == kKthreadd || status.ppid == kKthreadd;
  return status.level == 0 && is_of_kthreadd && !status.has_memory && status.descriptor_table_size > 0;
}

ProcessBrief make_brief(const StatusFields& status) {
  ProcessBrief brief;
  brief.pid = status.pid;
  brief.ppid = status.ppid;
  brief.level = status.level;
  brief.inner_pid = status.inner_pid;
  brief.threads = status.threads;
  brief.state = status.state;
  brief.has_memory = status.has_memory;
  brief.kernel_thread = is_kernel_thread(status);
  brief.sigkill_pending = status.sigkill_pending;
  brief.killed = status.killed;
  brief.core_dumping = status.core_dumping;
  brief.context_switches = status.context_switches;
  brief.tracer = status.tracer;
  brief.name = status.name;
  return brief;
}

// 3901 (repro-init) D 3898 3895 1514 0 -1 4195404 3 0 0 0 0 0 0 0 20 0 2 0 328974 0 0 ...
Result<StatFields> parse_stat(std::string_view text) {
  const std::size_t open = text.find('(');
  const std::size_t close = text.rfind(')');
  if (open == std::string_view::npos || close == std::string_view::npos || close < open) {
    return malformed("stat: no name in parentheses", text);
  }
  StatFields out;
  out.comm = sanitize(text.substr(open + 1, close - open - 1));
  const auto fields = split_fields(trim(text.substr(close + 1)), ' ');
  constexpr std::size_t kFirst = 3;  // the field behind the name is number 3
  constexpr std::size_t kStartTime = 22;
  constexpr std::size_t kProcessor = 39;
  // One more than is kept: the last field of a text that was cut short may be half a number.
  if (fields.size() <= kStartTime + 1 - kFirst) return malformed("stat: fewer than 23 fields", text);
  const auto ppid = parse_pid(fields[4 - kFirst]);
  const auto flags = parse_u64(fields[9 - kFirst]);
  const auto start = parse_u64(fields[kStartTime - kFirst]);
  if (!is_state(fields[0])) return malformed("stat: field 3: not a state", fields[0]);
  if (!ppid) return malformed("stat: field 4: not a number", fields[4 - kFirst]);
  if (!flags) return malformed("stat: field 9: not a number", fields[9 - kFirst]);
  if (!start) return malformed("stat: field 22: not a number", fields[kStartTime - kFirst]);
  out.state = fields[0].front();
  out.ppid = *ppid;
  out.flags = *flags;
  out.start_ticks = *start;
  if (fields.size() > kProcessor + 1 - kFirst) {
    const auto processor = parse_u64(fields[kProcessor - kFirst]);
    if (!processor || *processor > UINT32_MAX) {
      return malformed("stat: field 39: not a number", fields[kProcessor - kFirst]);
    }
    out.processor = static_cast<std::uint32_t>(*processor);
  }
  return out;
}

namespace {

// A number with decimals, `1234.567890`, in units of `unit`. Nine of its decimals count. Nothing where it is none, or
// more than a duration holds.
std::optional<Nanoseconds> parse_decimal(std::string_view text, Nanoseconds unit) {
  const std::size_t point = text.find('.');
  if (point == std::string_view::npos) return std::nullopt;
  const auto whole = parse_u64(text.substr(0, point));
  const std::string_view decimals = text.substr(point + 1);
  constexpr std::string_view kDigits = "0123456789";
  if (!whole || decimals.empty() || decimals.find_first_not_of(kDigits) != std::string_view::npos) return std::nullopt;
  constexpr std::uint64_t kLongest = 1'000'000'000ULL * 3600 * 24 * 365 * 100;  // a century, in nanoseconds
  const auto scale = static_cast<std::uint64_t>(unit.count());
  if (*whole > kLongest / scale) return std::nullopt;
  std::uint64_t value = *whole * scale;
  std::uint64_t place = scale;
  for (const char digit : decimals) {
    place /= 10;
    value += place * static_cast<std::uint64_t>(digit - '0');
  }
  return Nanoseconds(static_cast<std::int64_t>(value));
}

}  // namespace

// se.exec_start                                :       3292530.136620
// The first line holds the name of the task, which may look like this one: the last one counts.
Result<Nanoseconds> parse_exec_start(std::string_view text) {
  constexpr std::string_view kKey = "se.exec_start";
  const std::size_t at = text.rfind(kKey);
  if (at == std::string_view::npos) return fail(ErrorKind::unsupported, "sched: no se.exec_start");
  std::string_view rest = whole_lines(text.substr(at));
  const std::string_view line = take_field(rest, '\n');
  const std::size_t colon = line.find(':');
  const auto value = colon == std::string_view::npos
                         ? std::nullopt
                         : parse_decimal(trim(line.substr(colon + 1)), std::chrono::milliseconds(1));
  if (!value) return malformed("sched: se.exec_start", text.substr(at));
  return *value;
}

// 3295.76 5610.20
Result<Nanoseconds> parse_uptime(std::string_view text) {
  const std::size_t end = text.find(' ');
  const auto value =
      end == std::string_view::npos ? std::nullopt : parse_decimal(text.substr(0, end), std::chrono::seconds(1));
  if (!value) return malformed("uptime", text);
  return *value;
}

}  // namespace defused
