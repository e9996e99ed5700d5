// SPDX-License-Identifier: Apache-2.0
#include "daemon/render_table.h"

#include <algorithm>

#include "daemon/describe.h"

namespace defused {

namespace {

void add_line(std::string& out, const char* label, const std::string& text) {
  std::string padded(label);
  padded.resize(12, ' ');
  out += "    " + padded + text + "\n";
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

}  // namespace

std::string render_blindness(const Report& report) {
  std::string out;
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
  if (report.gaps.empty()) return out;
  out += "\nCould not be read: " + describe_gaps(report.gaps, report.gap_processes) + "\n";
  return out;
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
  if (report.remedy.inhibited) out += capitalized(describe_inhibition(report.remedy)) + "\n";
  if (report.remedy.breaker_open) {
    out += capitalized(describe_breaker(report.remedy)) + "; to close it: defused resume --reset-breaker\n";
  }
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
  return out + render_blindness(report);
}

}  // namespace defused
