// SPDX-License-Identifier: Apache-2.0
#include "daemon/explain_text.h"

#include <algorithm>
#include <limits>

#include "daemon/describe.h"
#include "daemon/explain_advice.h"
#include "daemon/explain_evidence.h"
#include "daemon/explain_findings.h"
#include "daemon/explain_policy.h"
#include "daemon/text_page.h"

namespace defused {

namespace {

constexpr std::size_t kMaxSections = 10;  // of each kind; the rest is counted

const NamespaceFinding* find(const Report& report, NamespaceId id) {
  for (const NamespaceFinding& finding : report.findings.namespaces) {
    if (finding.id == id) return &finding;
  }
  return nullptr;
}

void add_rest(TextPage& page, std::size_t count, const char* what) {
  if (count > kMaxSections)
    page.say("and " + std::to_string(count - kMaxSections) + " " + what + " more; --json has all of them.");
}

bool add_dying(TextPage& page, const SubjectReading& reading, const ExplainInput& input) {
  const Report& report = input.pass.report;
  std::size_t told = 0;
  for (const NamespaceId id : reading.pid_namespaces) {
    const NamespaceFinding* finding = find(report, id);
    if (finding != nullptr && told++ < kMaxSections) add_namespace(page, *finding, input);
  }
  add_rest(page, told, "PID namespaces");
  std::size_t exits = 0;
  for (const StuckExit& exit : report.findings.stuck_exits) {
    const auto& among = reading.stuck_exits;
    if (std::find(among.begin(), among.end(), exit.thread.id) == among.end()) continue;
    if (exits++ < kMaxSections) add_stuck_exit(page, exit, input);
  }
  add_rest(page, exits, "stuck exits");
  return told + exits > 0;
}

bool hangs(const ProcessFinding& process) {
  return std::any_of(process.threads.begin(), process.threads.end(), waits_for_something);
}

// Nothing that X is, or is in, was told to die.
void add_living(TextPage& page, const SubjectReading& reading, const ExplainInput& input) {
  const Report& report = input.pass.report;
  const bool of_process = reading.subject.kind == SubjectKind::process;
  const bool of_connection = reading.subject.kind == SubjectKind::connection;
  bool told = false;
  bool hanging = false;
  for (const ProcessFinding& process : report.findings.asked) {
    const auto& among = reading.processes;
    if (std::find(among.begin(), among.end(), process.id.pid) == among.end() || of_connection) continue;
    if (!hangs(process) && !of_process) continue;
    add_process(page, process, input);
    hanging = hanging || hangs(process);
    told = true;
  }
  std::size_t shown = 0;
  for (const ConnectionFinding* connection : connections_of(reading.connections, report)) {
    const bool trouble = connection->stalled_since || connection->orphaned;
    const bool wanted = of_connection || (!hanging && (of_process || trouble));  // what hangs has told its connection
    if (!wanted) continue;
    if (shown++ < kMaxSections) add_connection(page, *connection, input);
    told = true;
  }
  add_rest(page, shown, "connections");
  if (told) return;
  page.title(reading.name + ": nothing of it is blocked");
  if (reading.kernel_thread) page.say("It is a kernel thread.");
}

void add_summary(TextPage& page, const Report& report) {
  page.say(count_of(report.pid_namespace_count, "PID namespace", "PID namespaces") + " and " +
           count_of(report.findings.connections.size(), "FUSE connection", "FUSE connections") + " were looked at.");
}

void add_everything(TextPage& page, const SubjectReading& reading, const ExplainInput& input) {
  const Report& report = input.pass.report;
  const bool dying = add_dying(page, reading, input);
  std::vector<ConnectionId> told;
  for (const NamespaceFinding& finding : report.findings.namespaces) {
    for (const BlockedThread& thread : finding.blocked_threads)
      told.insert(told.end(), thread.candidates.begin(), thread.candidates.end());
  }
  for (const StuckExit& exit : report.findings.stuck_exits)
    told.insert(told.end(), exit.thread.candidates.begin(), exit.thread.candidates.end());
  std::size_t shown = 0;
  for (const ConnectionFinding& connection : report.findings.connections) {
    if (!connection.stalled_since && !connection.orphaned) continue;
    if (std::find(told.begin(), told.end(), connection.id) != told.end()) continue;
    if (shown++ < kMaxSections) add_connection(page, connection, input);
  }
  add_rest(page, shown, "connections");
  if (dying || shown > 0) return;
  page.title("Nothing is stuck or stalled on " + report.host + " (Linux " + report.kernel.release + ")");
  add_summary(page, report);
  add_restraints(page, report.remedy);
  add_blindness(page, report);
}

bool is_among(const auto& wanted, const auto& it) {
  return std::find(wanted.begin(), wanted.end(), it) != wanted.end();
}

struct ActionScope {
  std::vector<NamespaceId> namespaces;
  std::vector<ConnectionId> connections;
};

// Which actions concern the subject. What an abort has freed is not there any more: then the number that was asked for
// tells.
ActionScope scope_of(const SubjectFinding& asked) {
  ActionScope scope;
  if (!asked.readings.empty()) {
    for (const SubjectReading& reading : asked.readings) {
      scope.namespaces.insert(scope.namespaces.end(), reading.pid_namespaces.begin(), reading.pid_namespaces.end());
      scope.connections.insert(scope.connections.end(), reading.connections.begin(), reading.connections.end());
    }
    return scope;
  }
  const Subject& subject = asked.subject;
  if (!subject.number) return scope;
  const bool any = subject.kind == SubjectKind::any;
  if (any || subject.kind == SubjectKind::pid_namespace) scope.namespaces.push_back(NamespaceId{*subject.number});
  const bool fits = *subject.number <= std::numeric_limits<std::uint32_t>::max();
  if (fits && (any || subject.kind == SubjectKind::connection)) {
    scope.connections.push_back(ConnectionId{static_cast<std::uint32_t>(*subject.number)});
  }
  return scope;
}

}  // namespace

std::string render_explanation(const ExplainInput& input) {
  TextPage page(input.screen);
  const SubjectFinding& subject = *input.pass.subject;
  const std::string asked = describe_subject(subject.subject);
  if (subject.readings.empty()) {
    page.title("'" + asked + "': there is no such process, thread, container, PID namespace or FUSE connection on " +
               input.pass.report.host);
    page.say(
        "It may have ended. What there is: `defused connections` lists the connections, `defused scan` what is dying.");
    add_blindness(page, input.pass.report);
    const ActionScope scope = scope_of(subject);
    add_past_actions(page, scope.namespaces, scope.connections, input.pass.report);
    return page.text();
  }
  if (subject.reading_count > 1) {
    page.title("'" + asked + "' may mean " + std::to_string(subject.reading_count) +
               " things here. Ask for one of them:");
    for (const SubjectReading& reading : subject.readings) {
      page.command("defused explain " + describe_subject(reading.subject));
      page.say("    " + reading.name);
    }
    if (subject.reading_count > subject.readings.size()) {
      page.say("and " + std::to_string(subject.reading_count - subject.readings.size()) + " more.");
    }
    return page.text();
  }
  const SubjectReading& reading = subject.readings.front();
  if (reading.subject.kind == SubjectKind::everything) {
    add_everything(page, reading, input);
  } else {
    const bool dying = !reading.pid_namespaces.empty() || !reading.stuck_exits.empty();
    if (dying && reading.subject.kind == SubjectKind::connection) {
      page.title(reading.name + ": what was told to die waits in it. Who that is, and what can be done:");
    }
    if (!add_dying(page, reading, input)) add_living(page, reading, input);
  }
  return page.text();
}

Report reduce_to_subject(const PassResult& pass) {
  Report report = pass.report;
  const bool one = pass.subject && pass.subject->readings.size() == 1;
  const SubjectReading reading = one ? pass.subject->readings.front() : SubjectReading{};
  const auto keep = [](auto& list, const auto& wanted, auto id_of) {
    std::erase_if(list,
                  [&](const auto& it) { return std::find(wanted.begin(), wanted.end(), id_of(it)) == wanted.end(); });
  };
  keep(report.findings.namespaces, reading.pid_namespaces, [](const NamespaceFinding& it) { return it.id; });
  keep(report.decisions, reading.pid_namespaces, [](const Decision& it) { return it.pid_namespace; });
  keep(report.findings.stuck_exits, reading.stuck_exits, [](const StuckExit& it) { return it.thread.id; });
  keep(report.findings.connections, reading.connections, [](const ConnectionFinding& it) { return it.id; });
  keep(report.findings.asked, reading.processes, [](const ProcessFinding& it) { return it.id.pid; });
  if (one && reading.subject.kind == SubjectKind::everything) return report;
  const ActionScope scope = pass.subject ? scope_of(*pass.subject) : ActionScope{};
  std::erase_if(report.actions, [&](const OutcomeRecord& it) {
    return !is_among(scope.namespaces, it.pid_namespace) && !is_among(scope.connections, it.connection);
  });
  return report;
}

}  // namespace defused
