// SPDX-License-Identifier: Apache-2.0
// status, stat and the small files of one number.
#include <algorithm>
#include <cmath>
#include <string>

#include "base/text.h"
#include "procfs/parse.h"

namespace defused {

namespace {

constexpr std::uint64_t kSigkillBit = 1U << 8U;  // signal 9 is bit 8 of a mask

Failure malformed(std::string_view what, std::string_view found) {
  return fail(ErrorKind::malformed, std::string(what) + ": '" + sanitize(found, 64) + "'");
}

// One line of status into `out`. Returns false where the value is not what the kernel prints.
bool take_status_line(std::string_view key, std::string_view value, StatusFields& out) {
  const auto number = [&](auto& field) {
    const auto parsed = parse_u64(value);
    if (parsed) field = static_cast<std::remove_reference_t<decltype(field)>>(*parsed);
    return parsed.has_value();
  };
  const auto mask = [&] {
    const auto parsed = parse_hex(value);
    if (parsed && (*parsed & kSigkillBit) != 0) out.sigkill_pending = true;
    return parsed.has_value();
  };
  const auto switches = [&] {
    const auto parsed = parse_u64(value);
    if (parsed) out.context_switches += *parsed;
    return parsed.has_value();
  };
  if (key == "Name") {
    out.name = sanitize(value);
  } else if (key == "State") {
    if (value.empty()) return false;
    out.state = value.front();
  } else if (key == "Tgid") {
    return number(out.tgid);
  } else if (key == "Pid") {
    return number(out.pid);
  } else if (key == "PPid") {
    return number(out.ppid);
  } else if (key == "TracerPid") {
    return number(out.tracer);
  } else if (key == "FDSize") {
    return number(out.descriptor_table_size);
  } else if (key == "NStgid") {
    const auto numbers = split_fields(value, '\t');
    const auto last = numbers.empty() ? std::nullopt : parse_u64(numbers.back());
    if (!last) return false;
    out.level = static_cast<std::uint32_t>(numbers.size() - 1);
    out.inner_pid = static_cast<pid_t>(*last);
  } else if (key == "Kthread") {
    out.kernel_thread = value == "1";
  } else if (key == "VmSize" || key == "VmRSS") {
    out.has_memory = true;
  } else if (key == "CoreDumping") {
    out.core_dumping = value == "1";
  } else if (key == "Threads") {
    return number(out.threads);
  } else if (key == "SigPnd" || key == "ShdPnd") {
    return mask();
  } else if (key == "voluntary_ctxt_switches" || key == "nonvoluntary_ctxt_switches") {
    return switches();
  }
  return true;
}

}  // namespace

// Name:	repro-init
// State:	D (disk sleep)
// NStgid:	3899	2
// ShdPnd:	0000000000000100
Result<StatusFields> parse_status(std::string_view text) {
  StatusFields out;
  while (!text.empty()) {
    const std::string_view line = take_field(text, '\n');
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos) continue;
    const std::string_view key = line.substr(0, colon);
    if (!take_status_line(key, trim(line.substr(colon + 1)), out)) return malformed("status", line);
  }
  if (out.pid == 0 || out.tgid == 0 || out.state == '?' || out.threads == 0) {
    return fail(ErrorKind::malformed, "status: a line of State, Tgid, Pid or Threads is missing");
  }
  return out;
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
  brief.core_dumping = status.core_dumping;
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
  if (fields.size() <= kStartTime - kFirst) return malformed("stat: fewer than 22 fields", text);
  const auto ppid = parse_u64(fields[4 - kFirst]);
  const auto flags = parse_u64(fields[9 - kFirst]);
  const auto start = parse_u64(fields[kStartTime - kFirst]);
  if (!ppid) return malformed("stat: field 4: not a number", fields[4 - kFirst]);
  if (!flags) return malformed("stat: field 9: not a number", fields[9 - kFirst]);
  if (!start) return malformed("stat: field 22: not a number", fields[kStartTime - kFirst]);
  out.state = fields[0].front();
  out.ppid = static_cast<pid_t>(*ppid);
  out.flags = *flags;
  out.start_ticks = *start;
  return out;
}

namespace {

// A number with a decimal point, `1234.567890`, in units of `unit`. At most nine decimals count.
std::optional<Nanoseconds> parse_decimal(std::string_view text, Nanoseconds unit) {
  std::string_view rest = text;
  const auto whole = parse_u64(take_field(rest, '.'));
  if (!whole) return std::nullopt;
  Nanoseconds value = unit * static_cast<std::int64_t>(*whole);
  if (rest.empty()) return value;
  rest = rest.substr(0, 9);
  const auto fraction = parse_u64(rest);
  if (!fraction) return std::nullopt;
  const double scale = std::pow(10.0, static_cast<double>(rest.size()));
  value += Nanoseconds(
      static_cast<std::int64_t>(static_cast<double>(*fraction) * static_cast<double>(unit.count()) / scale));
  return value;
}

}  // namespace

// se.exec_start                                :       3292530.136620
Result<Nanoseconds> parse_exec_start(std::string_view text) {
  constexpr std::string_view kKey = "se.exec_start";
  const std::size_t at = text.find(kKey);
  if (at == std::string_view::npos) return fail(ErrorKind::unsupported, "sched: no se.exec_start");
  std::string_view line = text.substr(at);
  line = take_field(line, '\n');
  const std::size_t colon = line.find(':');
  const auto value = colon == std::string_view::npos
                         ? std::nullopt
                         : parse_decimal(trim(line.substr(colon + 1)), std::chrono::milliseconds(1));
  if (!value) return malformed("sched: se.exec_start", line);
  return *value;
}

// 3295.76 5610.20
Result<Nanoseconds> parse_uptime(std::string_view text) {
  const auto value = parse_decimal(trim(take_field(text, ' ')), std::chrono::seconds(1));
  if (!value) return malformed("uptime", text);
  return *value;
}

}  // namespace defused
