// SPDX-License-Identifier: Apache-2.0
#include "daemon/render_table.h"

#include <algorithm>
#include <cstdio>

#include "model/codec.h"

namespace defused {

namespace {

std::string number(ConnectionId id) { return std::to_string(id.kernel_dev); }

std::string count_of(std::size_t count, const char* one, const char* many) {
  return std::to_string(count) + " " + (count == 1 ? one : many);
}

std::string two_digits(std::int64_t value) { return (value < 10 ? "0" : "") + std::to_string(value); }

void add_line(std::string& out, const char* label, const std::string& text) {
  std::string padded(label);
  padded.resize(12, ' ');
  out += "    " + padded + text + "\n";
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

std::string describe_optional(const std::optional<std::uint32_t>& value) {
  return value ? std::to_string(*value) : "unknown";
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

void add_connections(std::string& out, const std::vector<BlockedThread>& threads, const Findings& findings,
                     ExposeSource expose) {
  std::vector<ConnectionId> told;
  for (const BlockedThread& thread : threads) {
    for (const ConnectionId id : thread.candidates) {
      if (std::find(told.begin(), told.end(), id) != told.end()) continue;
      told.push_back(id);
      for (const ConnectionFinding& connection : findings.connections) {
        if (connection.id == id) add_line(out, "connection", describe_connection(connection, expose));
      }
    }
  }
}

void add_namespace(std::string& out, const NamespaceFinding& finding, const Decision* decision,
                   const Findings& findings, ExposeSource expose) {
  out += "\n  PID namespace " + std::to_string(finding.id.inode) + ": " + std::string(to_string(finding.state));
  if (!finding.blocked_threads.empty()) {
    out += std::string(finding.stuck ? ", stuck" : ", no progress") + " for " + render_age(finding.stuck_for);
  }
  out += "\n";
  if (finding.container) add_line(out, "container", describe_container(*finding.container));
  add_line(out, "init", std::to_string(finding.init.pid) + " (" + finding.init_comm + ")");
  for (const BlockedThread& thread : finding.blocked_threads) add_line(out, "blocked", describe_thread(thread));
  add_connections(out, finding.blocked_threads, findings, expose);
  add_line(out, "verdict", describe_verdict(finding.verdict, finding.evidence));
  if (decision == nullptr) return;
  std::vector<std::string> reasons;
  for (const Gate gate : decision->reasons) reasons.emplace_back(to_string(gate));
  add_line(out, "decision",
           std::string(to_string(decision->action)) + (reasons.empty() ? "" : ": " + join(reasons, ", ")));
}

void add_blindness(std::string& out, const Report& report) {
  for (const std::string& what : report.blind) {
    if (what == "fusectl") {
      out +=
          "\nThe FUSE control file system is not mounted, so no connection can be read. To mount it:\n"
          "    mount -t fusectl fusectl /sys/fs/fuse/connections\n";
    } else if (what == "stack") {
      out += "\nKernel stacks cannot be read (CAP_SYS_ADMIN is needed), so wait classes are told from wchan alone.\n";
    } else {
      out += "\nBlind: " + what + "\n";
    }
  }
  if (report.gaps.empty()) return;
  out += "\nCould not be read:";
  const char* separator = " ";
  for (const auto& [key, count] : report.gaps) {
    out += separator + key.first + " (" + std::string(to_string(key.second)) + ", " + std::to_string(count) + "x)";
    separator = ", ";
  }
  out += "\n";
}

}  // namespace

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

std::string render_table(const Report& report, ExposeSource expose) {
  const Findings& findings = report.findings;
  const auto stuck =
      static_cast<std::size_t>(std::count_if(findings.namespaces.begin(), findings.namespaces.end(),
                                             [](const NamespaceFinding& finding) { return finding.stuck; }));
  std::string out = "host " + report.host + ", Linux " + report.kernel.release + ": " +
                    count_of(report.pid_namespace_count, "PID namespace", "PID namespaces") + ", " +
                    count_of(findings.namespaces.size(), "dying", "dying") + ", " + std::to_string(stuck) + " stuck; " +
                    count_of(findings.connections.size(), "FUSE connection", "FUSE connections") + "\n";
  if (report.provisional) out += "Provisional: something here has not stood for long enough to be called stuck.\n";
  for (std::size_t i = 0; i < findings.namespaces.size(); ++i) {
    const Decision* decision = i < report.decisions.size() ? &report.decisions[i] : nullptr;
    add_namespace(out, findings.namespaces[i], decision, findings, expose);
  }
  for (const StuckExit& exit : findings.stuck_exits) {
    out += "\n  Stuck exit outside of any dying PID namespace\n";
    add_line(out, "blocked", describe_thread(exit.thread));
    add_connections(out, {exit.thread}, findings, expose);
    add_line(out, "verdict", describe_verdict(exit.thread.verdict, exit.thread.evidence));
  }
  add_blindness(out, report);
  return out;
}

}  // namespace defused
