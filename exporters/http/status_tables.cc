// SPDX-License-Identifier: Apache-2.0
// The tables. On a phone each row becomes a card, whose cells carry the name of their column; the roles are written
// out, since browsers take those of a table away with its layout.
#include <algorithm>
#include <utility>

#include "exporters/http/status_parts.h"
#include "exporters/http/status_words.h"
#include "model/codec.h"
#include "model/sentences.h"

namespace defused::page {

namespace {

constexpr std::size_t kMostConnections = 200;
constexpr std::size_t kMostPoints = 2;
constexpr std::size_t kMostContainers = 2;
constexpr std::size_t kMostDying = 50;
constexpr std::size_t kMostGaps = 50;
constexpr std::size_t kColumns = 120;  // of one name in a table

// A table with its head, open for its rows.
class Table {
 public:
  Table(Html& html, std::string_view caption, std::initializer_list<std::string_view> columns)
      : html_(html), columns_(columns), table_(html.open("table", {{"role", "table"}})) {
    html.leaf("caption", caption);
    const Html::Element head = html.open("thead", {{"role", "rowgroup"}});
    const Html::Element row = html.open("tr", {{"role", "row"}});
    for (const std::string_view column : columns_)
      html.leaf("th", column, {{"scope", "col"}, {"role", "columnheader"}});
  }

  Html::Element row(bool marked = false) {
    cell_ = 0;
    return html_.open("tr", {{"role", "row"}, {"class", marked ? "marked" : "plain"}});
  }
  Html::Element head() { return html_.open("th", {{"scope", "row"}, {"role", "rowheader"}, {"data-label", next()}}); }
  Html::Element cell() { return html_.open("td", {{"role", "cell"}, {"data-label", next()}}); }

 private:
  std::string_view next() { return columns_[cell_++]; }

  Html& html_;
  std::vector<std::string_view> columns_;
  std::size_t cell_ = 0;
  Html::Element table_;
};

// ---- connections

bool is_in_trouble(const ConnectionFinding& connection) { return connection.orphaned || connection.stalled_since; }

std::vector<const ConnectionFinding*> worst_first(const std::vector<ConnectionFinding>& all) {
  std::vector<const ConnectionFinding*> out;
  out.reserve(all.size());
  for (const ConnectionFinding& connection : all) out.push_back(&connection);
  const auto rank = [](const ConnectionFinding& connection) {
    if (connection.orphaned) return 0;
    if (connection.stalled_since) return 1;
    return connection.waiting > 0 ? 2 : 3;
  };
  std::stable_sort(out.begin(), out.end(), [&](const auto* a, const auto* b) { return rank(*a) < rank(*b); });
  return out;
}

void add_names(Html& html, const std::vector<std::string>& names, std::size_t most, std::string_view none) {
  if (names.empty()) return html.text(none);
  for (std::size_t i = 0; i < std::min(most, names.size()); ++i) {
    if (i > 0) html.text(", ");
    html.name(cut(names[i], kColumns));
  }
  if (names.size() > most) html.text(" and " + std::to_string(names.size() - most) + " more");
}

void add_requests(Html& html, const ConnectionFinding& connection, Nanoseconds now) {
  html.text(std::to_string(connection.waiting));
  const auto since = connection.stalled_since ? connection.stalled_since : connection.waiting_since;
  if (connection.orphaned) html.text(", orphaned");
  if (connection.stalled_since) html.text(", stalled");
  if (!since) return;
  html.text(" since ");
  add_since(html, *since, std::max(now - *since, Nanoseconds(0)));
}

void add_connection(Html& html, Table& table, const ConnectionFinding& connection, const View& view) {
  const Html::Element row = table.row(is_in_trouble(connection));
  {
    const Html::Element id = table.head();
    html.text(number(connection.id));
  }
  {
    const Html::Element type = table.cell();
    html.name(connection.fstype.empty() ? "-" : cut(connection.fstype, kColumns));
  }
  {
    const Html::Element cell = table.cell();
    const std::string source = expose_source(connection.source, view.settings.expose_source);
    html.name(source.empty() ? "-" : cut(source, kColumns));
  }
  {
    const Html::Element waiting = table.cell();
    add_requests(html, connection, view.pass->report.scanned_at);
  }
  {
    const Html::Element server = table.cell();
    html.text(text_of(connection.server_state));
    if (connection.server_evidence != Evidence::none) html.text(" (" + text_of(connection.server_evidence) + ")");
  }
  {
    const Html::Element points = table.cell();
    add_names(html, connection.mount_points, kMostPoints, "-");
  }
  const Html::Element cell = table.cell();
  std::vector<std::string> containers;
  containers.reserve(connection.containers.size());
  for (const Container& container : connection.containers) containers.push_back(short_name(container));
  add_names(html, containers, kMostContainers, "-");
}

// ---- actions

// Of one before the last boot, connection and namespace are not known any more.
std::string number_or_dash(std::uint64_t id) { return id == 0 ? "-" : std::to_string(id); }

void add_action(Html& html, Table& table, const OutcomeRecord& action) {
  const Html::Element row = table.row(is_failed(action.outcome));
  {
    const Html::Element time = table.head();
    add_time(html, action.at);
  }
  for (const std::uint64_t id : {std::uint64_t{action.connection.kernel_dev}, action.pid_namespace.inode}) {
    const Html::Element cell = table.cell();
    html.text(number_or_dash(id));
  }
  {
    const Html::Element outcome = table.cell();
    add_word(html, to_string(action.outcome));
    if (action.outcome == Outcome::released) html.text(" after " + age_in_words(action.recovery));
  }
  {
    const Html::Element by = table.cell();
    html.text(action.by_hand ? "a person, by hand" : "the daemon");
  }
  const Html::Element detail = table.cell();
  html.name(action.detail.empty() ? "-" : action.detail);
}

// ---- what is not seen

void add_gaps(Html& html, const Report& report) {
  Table table(html, "Files that could not be read in the last pass", {"file", "kind", "count", "processes"});
  const Html::Element body = html.open("tbody", {{"role", "rowgroup"}});
  std::size_t shown = 0;
  for (const auto& [what, count] : report.gaps) {
    if (shown++ == kMostGaps) return;
    const Html::Element row = table.row();
    {
      const Html::Element file = table.head();
      html.name(what.first);
    }
    {
      const Html::Element kind = table.cell();
      html.text(to_string(what.second));
    }
    {
      const Html::Element number = table.cell();
      html.text(std::to_string(count));
    }
    const Html::Element cell = table.cell();
    const auto processes = report.gap_processes.find(what);
    if (processes == report.gap_processes.end() || processes->second.empty()) {
      html.text("-");
    } else {
      add_processes(html, processes->second, processes->second.size());
      if (processes->second.size() == kMaxGapProcesses) html.text(" ..");
    }
  }
}

void add_lost_probers(Html& html, const SupervisorStatus& supervisor) {
  if (supervisor.probers_lost == 0 && supervisor.lost_probers_left == 0) return;
  const Html::Element line = html.open("p");
  html.text(count_of(supervisor.probers_lost, "prober was", "probers were") +
            " lost since the service started: it was caught by what it looks at, and was replaced. ");
  html.text(count_of(supervisor.lost_probers_left, "process of defused", "processes of defused") +
            " could not be killed and " + (supervisor.lost_probers_left == 1 ? "is" : "are") + " still there.");
}

}  // namespace

void add_dying(Html& html, const Report& report, const std::vector<HeldNamespace>& held) {
  std::vector<const NamespaceFinding*> dying;
  for (const NamespaceFinding& finding : report.findings.namespaces) {
    const bool is_held = std::any_of(held.begin(), held.end(), [&](const auto& it) { return it.finding == &finding; });
    if (!finding.stuck && !is_held) dying.push_back(&finding);
  }
  if (dying.empty()) return;
  const Html::Element section = html.open("section", {{"aria-labelledby", "dying"}});
  html.leaf("h2", "Dying, not stuck (" + std::to_string(dying.size()) + ")", {{"id", "dying"}});
  {
    const Html::Element list = html.open("ul", {{"class", "lines"}});
    for (std::size_t i = 0; i < std::min(kMostDying, dying.size()); ++i) {
      const NamespaceFinding& finding = *dying[i];
      const std::size_t blocked = std::max<std::size_t>(finding.blocked_thread_count, finding.blocked_threads.size());
      const Html::Element item = html.open("li");
      html.name(title_of(finding));
      html.text(": " + text_of(finding.state) + ", ");
      if (!finding.waits_for.empty()) {
        html.text("waits for PID namespace " + std::to_string(finding.waits_for.front().inode) + " in it");
      } else if (blocked == 0) {
        html.text("nothing in it is blocked");
      } else {
        html.text(count_of(blocked, "blocked thread", "blocked threads") + ", no progress for " +
                  age_in_words(finding.stuck_for));
      }
    }
  }
  add_rest(html, dying.size(), kMostDying, "dying PID namespaces");
}

void add_connections(Html& html, const View& view, const Report& report) {
  const auto connections = worst_first(report.findings.connections);
  const Html::Element section = html.open("section", {{"aria-labelledby", "connections"}});
  html.leaf("h2", "FUSE connections (" + std::to_string(connections.size()) + ")", {{"id", "connections"}});
  if (connections.empty()) return html.leaf("p", "There is none.");
  const auto troubled = std::count_if(connections.begin(), connections.end(),
                                      [](const auto* connection) { return is_in_trouble(*connection); });
  if (troubled > 0) {
    const Html::Element line = html.open("p");
    html.prose(count_of(static_cast<std::size_t>(troubled), "is", "are") +
               " stalled or orphaned: requests wait and do not move. `defused explain connection:ID` says why.");
  }
  {
    Table table(html, "Orphaned and stalled ones first",
                {"id", "type", "source", "waiting", "server", "mounted at", "container"});
    const Html::Element body = html.open("tbody", {{"role", "rowgroup"}});
    for (std::size_t i = 0; i < std::min(kMostConnections, connections.size()); ++i)
      add_connection(html, table, *connections[i], view);
  }
  add_rest(html, connections.size(), kMostConnections, "connections");
  const Html::Element line = html.open("p", {{"class", "more"}});
  html.prose(
      "Who serves and mounts them is read while something is stuck or stalled; `defused connections` looks at all.");
}

void add_actions(Html& html, const Report& report) {
  const RemedyState& state = report.remedy;
  const Html::Element section = html.open("section", {{"aria-labelledby", "actions"}});
  html.leaf("h2", "Actions", {{"id", "actions"}});
  {
    const Html::Element list = html.open("dl", {{"class", "strip"}});
    add_pair(html, "mode", to_string(report.mode));
    add_pair(html, "circuit breaker", state.breaker_open ? "open (" + text_of(state.breaker_cause) + ")" : "closed");
    add_pair(html, "failures in a row", std::to_string(state.failures_in_row));
    add_pair(html, "inhibited", state.inhibited ? "yes" : "no");
    add_pair(html, "aborts left in the window", std::to_string(state.abort_budget));
  }
  if (report.actions.empty()) return html.leaf("p", "No action is recorded.");
  Table table(html, "The last ones, newest first", {"time", "connection", "PID namespace", "outcome", "by", "detail"});
  const Html::Element body = html.open("tbody", {{"role", "rowgroup"}});
  for (std::size_t i = 0; i < std::min(kMaxShownActions, report.actions.size()); ++i)
    add_action(html, table, report.actions[i]);
}

void add_unseen(Html& html, const View& view, const Report& report) {
  const SupervisorStatus& supervisor = view.supervisor;
  const Html::Element section = html.open("section", {{"aria-labelledby", "unseen"}});
  html.leaf("h2", "What cannot be seen", {{"id", "unseen"}});
  if (report.blind.empty() && report.gaps.empty() && supervisor.probers_lost == 0 &&
      supervisor.lost_probers_left == 0 && supervisor.prober_blind == 0) {
    return html.leaf("p", "Nothing: all that was looked for could be read.");
  }
  if (supervisor.prober_blind != 0)
    html.leaf("p", "Whatever has happened since the last pass: no prober is looking just now.");
  if (!report.blind.empty()) {
    const Html::Element list = html.open("ul");
    for (const std::string& what : report.blind) {
      const Html::Element item = html.open("li");
      add_word(html, what);
      const std::string_view sentence = blind_in_words(what);
      if (sentence.empty()) continue;
      html.text(": ");
      html.prose(sentence);
    }
  }
  add_lost_probers(html, supervisor);
  if (report.gaps.empty()) return;
  add_gaps(html, report);
  add_rest(html, report.gaps.size(), kMostGaps, "kinds of gaps");
}

}  // namespace defused::page
