// SPDX-License-Identifier: Apache-2.0
#include "daemon/abort_text.h"

#include <algorithm>

#include "daemon/accounting.h"
#include "daemon/describe.h"
#include "daemon/text_page.h"

namespace defused {

namespace {

// A paragraph whose first line is indented by `indent`, the others by two more; with a newline at its end.
std::string paragraph(const std::string& text, std::size_t indent, const Screen& screen) {
  return wrap_text(text, text_width(screen, std::string::npos), indent, indent + 2);
}

std::string painted(std::string lines, Tone tone, const Screen& screen) {
  lines.pop_back();
  return paint(lines, tone, screen) + "\n";
}

std::string describe_namespace(const NamespaceFinding& finding) {
  std::string text = "PID namespace " + std::to_string(finding.id.inode) + " (init " +
                     std::to_string(finding.init.pid) + " '" + finding.init_comm + "'";
  if (finding.container) text += ", " + describe_container(*finding.container);
  text += "): " + describe_verdict(finding.verdict, finding.evidence);
  if (finding.stuck) text += ", stuck for " + render_age(finding.stuck_for);
  return text;
}

}  // namespace

std::string say_wrapped(const std::string& text, const Screen& screen) { return paragraph(text, 0, screen); }

std::string render_abort_subject(const Report& report, const ConnectionFinding& connection,
                                 const std::vector<Decision>& decisions, ExposeSource expose, const Screen& screen) {
  std::string out = painted(paragraph(describe_connection(connection, expose), 0, screen), Tone::heading, screen);
  for (const NamespaceFinding& finding : report.findings.namespaces) {
    const bool concerned = std::any_of(decisions.begin(), decisions.end(),
                                       [&](const Decision& made) { return made.pid_namespace == finding.id; });
    if (!concerned) continue;
    out += paragraph("holds " + describe_namespace(finding), 0, screen);
    for (const BlockedThread& thread : finding.blocked_threads) {
      if (thread.connection == connection.id) out += paragraph("thread " + describe_thread(thread), 2, screen);
    }
  }
  return out;
}

std::string render_gates(const std::vector<GateInWords>& gates, const Screen& screen) {
  std::string out;
  for (const GateInWords& gate : gates) {
    const std::string text = "held by " + std::string(to_string(gate.gate)) + ": " + gate.looks_at + " (" + gate.why;
    out += painted(paragraph(text + ")", 0, screen), Tone::warning, screen);
  }
  return out;
}

std::string render_abort_question(ConnectionId id, const Screen& screen) {
  const std::string what =
      "An abort is final: every request of this connection fails, for every process, and data that is not written yet "
      "is lost.";
  return painted(wrap_text(what, text_width(screen, std::string::npos), 0, 0), Tone::bad, screen) +
         "Type its number, " + number(id) + ", to go on: ";
}

std::string render_abort_outcome(const OutcomeRecord& record, const Screen& screen) {
  const Tone tone = record.outcome == Outcome::released ? Tone::good : Tone::bad;
  return painted(paragraph(describe_outcome(record), 0, screen), tone, screen);
}

}  // namespace defused
