// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "exporters/http/pages.h"
#include "model/codec.h"

namespace defused {

namespace {

constexpr const char* kHead = R"(<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="refresh" content="15"><title>defused</title><style>
:root{color-scheme:light dark}
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:0 auto;padding:1rem}
h1{font-size:1.4rem}h2{font-size:1.1rem;margin-top:2rem}
.good,.bad,.warn{padding:.6rem 1rem;border-radius:.4rem;font-weight:600}
.good{background:#1a7f3722;border:1px solid #1a7f37}.bad{background:#cf222e22;border:1px solid #cf222e}
.warn{background:#d2992233;border:1px solid #d29922}
section{border:1px solid #8886;border-radius:.4rem;padding:.2rem 1rem 1rem;margin:1rem 0}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.2rem 1rem;margin:.5rem 0}
dt{opacity:.7}dd{margin:0;overflow-wrap:anywhere}
pre{overflow-x:auto;padding:.6rem;background:#8882;border-radius:.3rem}mark{background:#d2992266;color:inherit}
table{border-collapse:collapse;width:100%;display:block;overflow-x:auto}td,th{text-align:left;padding:.2rem .8rem .2rem 0}
@media(max-width:35rem){dl{grid-template-columns:1fr}dd{margin-bottom:.4rem}}
</style></head><body>
<h1>defused</h1>
)";

// A page is for people, and rendered on every visit. The rest is in the report.
constexpr std::size_t kMostNamespaces = 100;
constexpr std::size_t kMostThreads = 10;  // of one namespace
constexpr std::size_t kMostExits = 50;
constexpr std::size_t kMostConnections = 200;

std::string text_of(auto word) { return std::string(to_string(word)); }

std::string render_seconds(Nanoseconds age) {
  return std::to_string(std::chrono::duration_cast<std::chrono::seconds>(age).count()) + " s";
}

// Says of how many things, `what`, the page shows only `most`.
void add_rest(std::string& page, std::size_t count, std::size_t most, const char* what) {
  if (count > most) page += "<p>and " + std::to_string(count - most) + " more " + what + ": see the report</p>\n";
}

// An item of a description list. `value` is HTML already.
void add_item(std::string& page, const char* term, const std::string& value) {
  page += std::string("<dt>") + term + "</dt><dd>" + value + "</dd>\n";
}

std::string join_ids(const std::vector<ConnectionId>& ids) {
  std::string out;
  for (const ConnectionId id : ids) out += (out.empty() ? "" : ", ") + std::to_string(id.kernel_dev);
  return out;
}

// Frames that tell what a thread waits for.
bool is_telling(const std::string& frame) {
  return frame.find("fuse") != std::string::npos || frame == "request_wait_answer" || frame == "do_exit";
}

void add_stack(std::string& page, const BlockedThread& thread) {
  page += "<pre>";
  for (const std::string& frame : thread.stack) {
    const std::string name = escape_html(frame);
    page += is_telling(frame) ? "<mark>" + name + "</mark>\n" : name + "\n";
  }
  page += "</pre>\n";
}

void add_thread(std::string& page, const BlockedThread& thread) {
  std::string waits = "thread " + std::to_string(thread.id.tid) + " of process " + std::to_string(thread.pid) + " (" +
                      escape_html(thread.comm) + ") waits in " + text_of(thread.wait_class);
  if (thread.connection) waits += " on connection " + std::to_string(thread.connection->kernel_dev);
  waits += ", " + text_of(thread.attribution) + ", for " + render_seconds(thread.blocked_for);
  page += "<p>" + waits + "</p>\n";
  add_stack(page, thread);
}

std::string describe_decision(const Decision& decision) {
  std::string out = text_of(decision.action);
  for (std::size_t i = 0; i < decision.reasons.size(); ++i)
    out += (i == 0 ? ": " : ", ") + text_of(decision.reasons[i]);
  return out;
}

void add_namespace(std::string& page, const NamespaceFinding& finding, const Decision* decision) {
  page += "<section><h2>PID namespace " + std::to_string(finding.id.inode) + "</h2>\n<dl>\n";
  if (finding.container) {
    add_item(page, "container", escape_html(finding.container->runtime + " " + finding.container->id));
    if (!finding.container->pod_uid.empty()) add_item(page, "pod", escape_html(finding.container->pod_uid));
  }
  add_item(page, "init",
           std::to_string(finding.init.pid) + " (" + escape_html(finding.init_comm) + "), " + text_of(finding.state));
  add_item(page, "stuck since", format_wall_time(finding.since) + " (" + render_seconds(finding.stuck_for) + ")");
  add_item(page, "verdict", text_of(finding.verdict) + ", evidence " + text_of(finding.evidence));
  if (!finding.connections.empty()) add_item(page, "connections", join_ids(finding.connections));
  if (decision != nullptr) add_item(page, "decision", describe_decision(*decision));
  page += "</dl>\n";
  const auto& threads = finding.blocked_threads;
  for (std::size_t i = 0; i < threads.size() && i < kMostThreads; ++i) add_thread(page, threads[i]);
  add_rest(page, threads.size(), kMostThreads, "blocked threads");
  page += "</section>\n";
}

// " since 2026-..": nothing where it is not known.
std::string since(Nanoseconds wall) { return wall == Nanoseconds(0) ? "" : " since " + format_wall_time(wall); }

// What holds every action back, whatever is found.
void add_restraints(std::string& page, const RemedyState& state) {
  if (state.inhibited) {
    page += "<p class=\"warn\">PAUSED (inhibited)" + since(state.inhibited_since) + ": " +
            escape_html(state.inhibited_reason) +
            "<br>Nothing is aborted meanwhile. <code>defused resume</code> ends a pause by an operator.</p>\n";
  }
  if (state.breaker_open) {
    page += "<p class=\"bad\">Circuit breaker OPEN (" + text_of(state.breaker_cause) + ")" +
            since(state.breaker_since) + ": " + escape_html(state.breaker_detail) +
            "<br>Nothing is aborted until a person has looked and closed it: "
            "<code>defused resume --reset-breaker</code></p>\n";
  }
  if (!state.record_trouble.empty()) {
    page += "<p class=\"bad\">Ledger or audit log cannot be written (record_unwritable): " +
            escape_html(state.record_trouble) + "<br>Nothing is aborted meanwhile.</p>\n";
  }
}

// Of one before the last boot, connection and namespace are not known any more.
std::string number_or_dash(std::uint64_t id) { return id == 0 ? "-" : std::to_string(id); }

void add_actions(std::string& page, const std::vector<OutcomeRecord>& actions) {
  if (actions.empty()) {
    page += "<p>No action is recorded.</p>\n";
    return;
  }
  page += "<table><tr><th>time</th><th>connection</th><th>PID namespace</th><th>outcome</th><th>detail</th></tr>\n";
  for (std::size_t i = 0; i < actions.size() && i < kMaxShownActions; ++i) {
    const OutcomeRecord& action = actions[i];
    page += "<tr><td>" + format_wall_time(action.at) + "</td><td>" + number_or_dash(action.connection.kernel_dev) +
            "</td><td>" + number_or_dash(action.pid_namespace.inode) + "</td><td>" + text_of(action.outcome) +
            "</td><td>" + (action.by_hand ? "by hand" : "") + (action.by_hand && !action.detail.empty() ? ": " : "") +
            escape_html(action.detail) + "</td></tr>\n";
  }
  page += "</table>\n";
}

void add_remedy(std::string& page, const Report& report) {
  const RemedyState& state = report.remedy;
  page += "<h2>Actions</h2>\n<dl>\n";
  add_item(page, "mode", text_of(report.mode));
  add_item(page, "circuit breaker",
           (state.breaker_open ? "open, " + text_of(state.breaker_cause) : std::string("closed")) +
               "; failures in a row: " + std::to_string(state.failures_in_row));
  add_item(page, "inhibited", state.inhibited ? "yes" : "no");
  add_item(page, "aborts left in the window", std::to_string(state.abort_budget));
  page += "</dl>\n";
  add_actions(page, report.actions);
}

void add_connections(std::string& page, const View& view, const std::vector<ConnectionFinding>& connections) {
  if (connections.empty()) return;
  page += "<h2>FUSE connections (" + std::to_string(connections.size()) +
          ")</h2><table><tr><th>id</th><th>type</th><th>source</th><th>waiting</th><th>server</th></tr>\n";
  for (std::size_t i = 0; i < connections.size() && i < kMostConnections; ++i) {
    const ConnectionFinding& connection = connections[i];
    page += "<tr><td>" + std::to_string(connection.id.kernel_dev) + "</td><td>" + escape_html(connection.fstype) +
            "</td><td>" + escape_html(expose_source(connection.source, view.settings.expose_source)) + "</td><td>" +
            std::to_string(connection.waiting) + "</td><td>" + text_of(connection.server_state) + "</td></tr>\n";
  }
  page += "</table>\n";
  add_rest(page, connections.size(), kMostConnections, "connections");
}

void add_blindness(std::string& page, const View& view, const Report& report) {
  if (!report.blind.empty()) {
    page += "<h2>What cannot be seen</h2><ul>\n";
    for (const std::string& what : report.blind) page += "<li>" + escape_html(what) + "</li>\n";
    page += "</ul>\n";
  }
  if (view.supervisor.lost_probers_left > 0) {
    page += "<p>" + std::to_string(view.supervisor.lost_probers_left) +
            " processes of defused could not be killed and were left behind.</p>\n";
  }
}

void add_report(std::string& page, const View& view, const Report& report) {
  const auto& namespaces = report.findings.namespaces;
  const auto stuck =
      std::count_if(namespaces.begin(), namespaces.end(), [](const auto& finding) { return finding.stuck; });
  if (stuck == 0) {
    page += "<p class=\"good\">No PID namespace is stuck.</p>\n";
  } else {
    page += "<p class=\"bad\">" + std::to_string(stuck) + (stuck == 1 ? " PID namespace is" : " PID namespaces are") +
            " stuck.</p>\n";
  }
  add_restraints(page, report.remedy);
  page += "<p>Host " + escape_html(report.host) + ", Linux " + escape_html(report.kernel.release) + ", mode " +
          text_of(report.mode) + ". Last pass " + format_wall_time(report.scanned_at) + ", " +
          std::to_string(report.pid_namespace_count) + " PID namespaces.</p>\n";
  std::size_t shown = 0;
  for (std::size_t i = 0; i < namespaces.size() && shown < kMostNamespaces; ++i) {
    if (!namespaces[i].stuck) continue;
    add_namespace(page, namespaces[i], i < report.decisions.size() ? &report.decisions[i] : nullptr);
    ++shown;
  }
  add_rest(page, static_cast<std::size_t>(stuck), kMostNamespaces, "stuck PID namespaces");
  const auto& exits = report.findings.stuck_exits;
  for (std::size_t i = 0; i < exits.size() && i < kMostExits; ++i) {
    page += "<section><h2>Stuck exit outside of any dying PID namespace</h2>\n";
    add_thread(page, exits[i].thread);
    page += "</section>\n";
  }
  add_rest(page, exits.size(), kMostExits, "stuck exits");
  add_remedy(page, report);
  add_connections(page, view, report.findings.connections);
  add_blindness(page, view, report);
}

}  // namespace

std::string escape_html(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&quot;"; break;
      case '\'': out += "&#39;"; break;
      default: out += c;
    }
  }
  return out;
}

std::string render_status_page(const View& view) {
  std::string page = kHead;
  if (const std::string reason = why_not_ready(view); !reason.empty()) {
    page += "<p class=\"bad\">What follows is not fresh: " + escape_html(reason) + ".</p>\n";
  }
  if (view.pass) add_report(page, view, view.pass->report);
  page += "<p><a href=\"" + escape_html(view.settings.web.telemetry_path) +
          "\">metrics</a> · <a href=\"/api/v1/report\">report</a> · <a href=\"/-/ready\">ready</a> · "
          "<a href=\"/-/healthy\">healthy</a></p>\n</body></html>\n";
  return page;
}

}  // namespace defused
