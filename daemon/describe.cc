// SPDX-License-Identifier: Apache-2.0
#include "daemon/describe.h"

#include <array>
#include <cstdio>

#include "model/codec.h"

namespace defused {

namespace {

std::string two_digits(std::int64_t value) { return (value < 10 ? "0" : "") + std::to_string(value); }

std::string describe_optional(const std::optional<std::uint32_t>& value) {
  return value ? std::to_string(*value) : "unknown";
}

std::string since(Nanoseconds wall) { return wall == Nanoseconds(0) ? "" : " since " + format_wall_time(wall); }

std::string after_colon(const std::string& text) { return text.empty() ? "" : ": " + text; }

}  // namespace

std::string capitalized(std::string text) {
  if (!text.empty() && text[0] >= 'a' && text[0] <= 'z') text[0] = static_cast<char>(text[0] - 'a' + 'A');
  return text;
}

std::string join(const std::vector<std::string>& parts, const char* separator) {
  std::string out;
  for (const std::string& part : parts) out += (out.empty() ? "" : separator) + part;
  return out;
}

std::string describe_thread(const BlockedThread& thread) {
  std::string text = std::to_string(thread.id.tid) + " (" + thread.comm + ")";
  if (thread.id.tid != thread.pid) text += " of process " + std::to_string(thread.pid);
  text += ": " + std::string(to_string(thread.wait_class));
  if (thread.connection) {
    text += " on connection " + number(*thread.connection);
  } else if (!thread.candidates.empty()) {
    std::vector<std::string> names;
    for (const ConnectionId id : thread.candidates) names.push_back(number(id));
    text += " on one of the connections " + join(names, ", ");
  }
  if (is_fuse(thread.wait_class)) text += " (" + std::string(to_string(thread.attribution)) + ")";
  return text + ", for " + render_age(thread.blocked_for);
}

std::string describe_connection(const ConnectionFinding& connection, ExposeSource expose) {
  std::string text = number(connection.id);
  if (!connection.fstype.empty()) text += " " + connection.fstype;
  const std::string source = expose_source(connection.source, expose);
  if (!source.empty()) text += " '" + source + "'";
  text += connection.mount_points.empty() ? ", mounted nowhere that was read"
                                          : " at " + join(connection.mount_points, ", ");
  text += "; " + count_of(connection.waiting, "request", "requests") + " waiting; server " +
          std::string(to_string(connection.server_state));
  if (connection.server_evidence != Evidence::none) {
    text += " (" + std::string(to_string(connection.server_evidence)) + ")";
  }
  for (const Server& server : connection.servers) {
    text += ", " + std::to_string(server.id.pid) + " (" + server.comm + ") " + std::string(to_string(server.state));
  }
  return text + "; outside users " + describe_optional(connection.outside_users) + ", outside viewers " +
         describe_optional(connection.outside_viewers);
}

std::string describe_verdict(Verdict verdict, Evidence evidence) {
  std::string text(to_string(verdict));
  if (evidence != Evidence::none) text += " (" + std::string(to_string(evidence)) + ")";
  return text;
}

std::string describe_container(const Container& container) {
  std::vector<std::string> parts;
  if (!container.runtime.empty()) parts.push_back(container.runtime);
  if (!container.id.empty()) parts.push_back(container.id);
  if (!container.pod_uid.empty()) parts.push_back("pod " + container.pod_uid);
  return join(parts, " ");
}

std::string describe_process(const NamedProcess& process) {
  return std::to_string(process.pid) + " (" + (process.comm.empty() ? "?" : process.comm) + ")";
}

std::string describe_processes(const std::vector<NamedProcess>& processes, std::size_t count) {
  std::vector<std::string> names;
  names.reserve(processes.size());
  for (const NamedProcess& process : processes) names.push_back(describe_process(process));
  std::string text = join(names, ", ");
  if (count > processes.size()) text += " and " + std::to_string(count - processes.size()) + " more";
  return text;
}

std::string render_age(Nanoseconds age) {
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(age).count();
  if (seconds < 10) {
    std::array<char, 16> text{};
    std::snprintf(text.data(), text.size(), "%.1fs", to_seconds(age));
    return text.data();
  }
  if (seconds < 60) return std::to_string(seconds) + "s";
  if (seconds < 3600) return std::to_string(seconds / 60) + "m" + two_digits(seconds % 60) + "s";
  return std::to_string(seconds / 3600) + "h" + two_digits(seconds / 60 % 60) + "m";
}

std::string describe_gaps(const Gaps& gaps, const GapProcesses& processes) {
  std::vector<std::string> parts;
  for (const auto& [key, count] : gaps) {
    std::string part = key.first + " (" + std::string(to_string(key.second)) + ", " + std::to_string(count) + "x";
    const auto found = processes.find(key);
    if (found != processes.end() && !found->second.empty()) {
      std::vector<std::string> names;
      for (const NamedProcess& process : found->second) {
        names.push_back(std::to_string(process.pid) + " '" + process.comm + "'");
      }
      part += ": " + join(names, ", ");
      if (found->second.size() == kMaxGapProcesses) part += " ..";
    }
    parts.push_back(part + ")");
  }
  return join(parts, ", ");
}

std::string describe_breaker(const RemedyState& state) {
  return "circuit breaker open (" + std::string(to_string(state.breaker_cause)) + ")" + since(state.breaker_since) +
         after_colon(state.breaker_detail);
}

std::string describe_inhibition(const RemedyState& state) {
  return "paused (inhibited)" + since(state.inhibited_since) + after_colon(state.inhibited_reason);
}

// Of one before the last boot, connection and namespace are not known any more.
std::string describe_action(const OutcomeRecord& action) {
  std::string text = format_wall_time(action.at);
  if (action.connection.kernel_dev != 0) text += ", connection " + number(action.connection);
  if (action.pid_namespace.inode != 0) text += " for PID namespace " + std::to_string(action.pid_namespace.inode);
  if (action.by_hand) text += ", by hand";
  text += ": `" + std::string(to_string(action.outcome)) + "`";
  if (action.outcome == Outcome::released) text += " after " + render_age(action.recovery);
  return text + after_colon(action.detail);
}

}  // namespace defused
