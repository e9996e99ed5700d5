// SPDX-License-Identifier: Apache-2.0
#include "daemon/render_table.h"

#include <algorithm>
#include <optional>

#include "daemon/describe.h"
#include "daemon/text_page.h"

namespace defused {

namespace {

class ScanPage {
 public:
  explicit ScanPage(const Screen& screen) : screen_(screen), width_(text_width(screen, std::string::npos)) {}

  void say(std::string_view text, Tone tone, std::size_t indent = 0) {
    std::string lines = wrap_text(text, width_, indent, indent);
    lines.pop_back();
    out_ += paint(lines, tone, screen_) + "\n";
  }
  void say(std::string_view text) { out_ += wrap_text(text, width_, 0, 0); }
  void space() { out_ += "\n"; }
  // To type, so never wrapped.
  void command(std::string_view text) { out_ += "    " + paint(text, Tone::good, screen_) + "\n"; }

  void line(const char* label, const std::string& text, std::optional<Tone> tone = {}) {
    constexpr std::size_t kIndent = 4;
    constexpr std::size_t kLabel = 12;
    std::string lines = wrap_text(text, width_, kIndent + kLabel, kIndent + kLabel);
    lines.pop_back();
    lines.erase(0, kIndent + kLabel);
    std::string padded(label);
    padded.resize(kLabel, ' ');
    out_ += std::string(kIndent, ' ') + paint(padded, Tone::dim, screen_) +
            (tone ? paint(lines, *tone, screen_) : lines) + "\n";
  }

  [[nodiscard]] const std::string& text() const { return out_; }

 private:
  Screen screen_;
  std::size_t width_;
  std::string out_;
};

void add_connections(ScanPage& page, const std::vector<BlockedThread>& threads, const Findings& findings,
                     ExposeSource expose) {
  std::vector<ConnectionId> told;
  for (const BlockedThread& thread : threads) {
    for (const ConnectionId id : thread.candidates) {
      if (std::find(told.begin(), told.end(), id) != told.end()) continue;
      told.push_back(id);
      for (const ConnectionFinding& connection : findings.connections) {
        if (connection.id == id) page.line("connection", describe_connection(connection, expose));
      }
    }
  }
}

Tone tone_of(Verdict verdict) { return verdict == Verdict::deadlocked ? Tone::bad : Tone::warning; }

void add_namespace(ScanPage& page, const NamespaceFinding& finding, const Decision* decision, const Findings& findings,
                   ExposeSource expose) {
  std::string head = "PID namespace " + std::to_string(finding.id.inode) + ": " + std::string(to_string(finding.state));
  if (!finding.blocked_threads.empty()) {
    head += std::string(finding.stuck ? ", stuck" : ", no progress") + " for " + render_age(finding.stuck_for);
  }
  page.space();
  page.say(head, Tone::heading, 2);
  if (finding.container) page.line("container", describe_container(*finding.container));
  page.line("init", std::to_string(finding.init.pid) + " (" + finding.init_comm + ")");
  for (const BlockedThread& thread : finding.blocked_threads) page.line("blocked", describe_thread(thread));
  add_connections(page, finding.blocked_threads, findings, expose);
  page.line("verdict", describe_verdict(finding.verdict, finding.evidence), tone_of(finding.verdict));
  if (decision == nullptr) return;
  std::vector<std::string> reasons;
  for (const Gate gate : decision->reasons) reasons.emplace_back(to_string(gate));
  page.line("decision", std::string(to_string(decision->action)) + (reasons.empty() ? "" : ": " + join(reasons, ", ")));
}

void add_blindness(ScanPage& page, const Report& report) {
  for (const std::string& what : report.blind) {
    page.space();
    if (what == "fusectl") {
      page.say("The FUSE control file system is not mounted, so no connection can be read. To mount it:",
               Tone::warning);
      page.command("mount -t fusectl fusectl /sys/fs/fuse/connections");
    } else if (what == "stack") {
      page.say("Kernel stacks cannot be read (CAP_SYS_ADMIN is needed), so wait classes are told from wchan alone.",
               Tone::warning);
    } else {
      page.say("Blind: " + what, Tone::warning);
    }
  }
  if (report.gaps.empty()) return;
  page.space();
  page.say("Could not be read: " + describe_gaps(report.gaps, report.gap_processes));
}

}  // namespace

std::string render_blindness(const Report& report, const Screen& screen) {
  ScanPage page(screen);
  add_blindness(page, report);
  return page.text();
}

std::string render_table(const Report& report, ExposeSource expose, const Screen& screen) {
  const Findings& findings = report.findings;
  const auto stuck =
      static_cast<std::size_t>(std::count_if(findings.namespaces.begin(), findings.namespaces.end(),
                                             [](const NamespaceFinding& finding) { return finding.stuck; }));
  ScanPage page(screen);
  page.say("host " + report.host + ", Linux " + report.kernel.release + ": " +
               count_of(report.pid_namespace_count, "PID namespace", "PID namespaces") + ", " +
               count_of(findings.namespaces.size(), "dying", "dying") + ", " + std::to_string(stuck) + " stuck; " +
               count_of(findings.connections.size(), "FUSE connection", "FUSE connections"),
           stuck + findings.stuck_exits.size() == 0 ? Tone::heading : Tone::bad);
  if (report.provisional) page.say("Provisional: something here has not stood for long enough to be called stuck.");
  if (report.remedy.inhibited) page.say(capitalized(describe_inhibition(report.remedy)), Tone::warning);
  if (report.remedy.breaker_open) {
    page.say(capitalized(describe_breaker(report.remedy)) + "; to close it: defused resume --reset-breaker",
             Tone::warning);
  }
  for (std::size_t i = 0; i < findings.namespaces.size(); ++i) {
    const Decision* decision = i < report.decisions.size() ? &report.decisions[i] : nullptr;
    add_namespace(page, findings.namespaces[i], decision, findings, expose);
  }
  for (const StuckExit& exit : findings.stuck_exits) {
    page.space();
    page.say("Stuck exit outside of any dying PID namespace", Tone::heading, 2);
    page.line("blocked", describe_thread(exit.thread));
    add_connections(page, {exit.thread}, findings, expose);
    page.line("verdict", describe_verdict(exit.thread.verdict, exit.thread.evidence), tone_of(exit.thread.verdict));
  }
  add_blindness(page, report);
  return page.text();
}

}  // namespace defused
