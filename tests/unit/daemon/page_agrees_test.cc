// SPDX-License-Identifier: Apache-2.0
// The status page and `explain` give the same advice about the same thing: one looks at a report, the other at a pass
// of its own, and both are read by the same person in the same night.
#include <algorithm>
#include <catch2/catch.hpp>
#include <cstring>
#include <regex>
#include <set>

#include "daemon/explain_text.h"
#include "exporters/http/pages.h"
#include "policy/decide.h"
#include "stuck_pass.h"

using namespace defused;

namespace {

struct Situation {
  ServerState server = ServerState::none;
  Verdict verdict = Verdict::deadlocked;
  WaitClass wait_class = WaitClass::fuse_flush;
  char process_state = 'S';
  std::uint32_t outside_users = 0;
  std::vector<Gate> reasons = {Gate::mode};
};

PassResult pass_of(const Situation& it) {
  BlockedThread thread;
  thread.pid = 4711;
  thread.id = {4713, 100};
  thread.state = 'D';
  thread.wait_class = it.wait_class;
  thread.verdict = it.verdict;
  if (is_fuse(it.wait_class)) {
    thread.candidates = {kConnection};
    thread.connection = kConnection;
  }
  NamespaceFinding finding;
  finding.verdict = it.verdict;
  finding.blocked_threads = {thread};
  ConnectionFinding connection;
  connection.server_state = it.server;
  connection.outside_users = it.outside_users;
  connection.outside_viewers = 0;
  if (it.server == ServerState::alive) connection.servers = {{{900, 1}, "s3fs", it.server, it.process_state}};
  return make_stuck_pass(finding, connection, it.reasons);
}

// Commands that a page has on a line of their own.
std::set<std::string> commands_on_page(const PassResult& pass) {
  View view;
  view.pass = std::make_shared<const PassResult>(pass);
  const std::string page = render_status_page(view);
  const std::regex line("<p class=\"type\"><code>([^<]*)</code>");
  std::set<std::string> out;
  for (std::sregex_iterator it(page.begin(), page.end(), line), end; it != end; ++it) out.insert((*it)[1].str());
  return out;
}

std::string page_text(const PassResult& pass) {
  View view;
  view.pass = std::make_shared<const PassResult>(pass);
  std::string page = render_status_page(view);
  for (const char* tag : {"<code>", "</code>"}) {
    for (std::size_t at = page.find(tag); at != std::string::npos; at = page.find(tag)) page.erase(at, strlen(tag));
  }
  return page;
}

// `many`: explain tells of all connections of the subject, the page of the one that the story is about.
void check_agree(const PassResult& pass, bool many) {
  const std::string text = render_explanation({pass, Mode::observe, {}, ExposeSource::redacted});
  const auto commands = commands_on_page(pass);
  REQUIRE_FALSE(commands.empty());
  const auto told = [&](const std::string& command) { return text.find(command + "\n") != std::string::npos; };
  for (const std::string& command : commands) {
    CAPTURE(command);
    // The page sends people to `explain`; that one does not send them to itself, except to look for longer.
    CHECK((told(command) || command == "defused explain namespace:4026532178"));
  }
  for (const char* command :
       {"defused abort 40", "kill -CONT 900", "kill -CONT 901", "grep TracerPid /proc/900/status"}) {
    CAPTURE(command);
    if (!many) CHECK(told(command) == (commands.count(command) > 0));
  }
  if (commands.count("defused abort 40") > 0 && !many) CHECK(text.find("Do not abort") == std::string::npos);
}

void check_agree(const Situation& it) { check_agree(pass_of(it), false); }

}  // namespace

TEST_CASE("the page names no command that explain does not, and the same abort") {
  for (const ServerState server : AllWords<ServerState>::values) {
    for (const Verdict verdict : AllWords<Verdict>::values) {
      for (const std::uint32_t users : {0U, 2U}) {
        for (const char state : {'S', 'T', 't'}) {
          Situation it{server, verdict, WaitClass::fuse_flush, state, users};
          if (verdict == Verdict::not_fuse) it.wait_class = WaitClass::block_io;
          CAPTURE(to_string(server), to_string(verdict), users, state);
          check_agree(it);
        }
      }
    }
  }
}

TEST_CASE("each gate holds the command back on both, or on neither") {
  for (const Gate gate : AllWords<Gate>::values) {
    CAPTURE(to_string(gate));
    check_agree({ServerState::dying, Verdict::deadlocked, WaitClass::fuse_flush, 'S', 0, {Gate::mode, gate}});
  }
}

namespace {

constexpr ConnectionId kElsewhere{41};

ConnectionFinding wedged(ConnectionId id) {
  ConnectionFinding connection;
  connection.id = id;
  connection.directory_inode = 17;
  connection.fstype = "fuse.s3fs";
  connection.waiting = 1;
  connection.server_state = ServerState::none;
  connection.server_evidence = Evidence::proven;
  connection.outside_users = 0;
  connection.outside_viewers = 0;
  return connection;
}

BlockedThread waiting_on(ConnectionId id) {
  BlockedThread thread;
  thread.pid = 4711;
  thread.id = {static_cast<pid_t>(4700 + id.kernel_dev), 100};
  thread.state = 'D';
  thread.wait_class = WaitClass::fuse_flush;
  thread.verdict = Verdict::deadlocked;
  thread.evidence = Evidence::proven;
  thread.connection = id;
  thread.candidates = {id};
  thread.attribution = Attribution::exact;
  thread.attribution_serves_acting = true;
  thread.samples = 9;
  thread.blocked_for = 600s;
  return thread;
}

// A namespace that 40 and 41 hold, the oldest thread on 41; the decisions are those of the policy.
PassResult two_connections() {
  PassResult pass = pass_of({});
  NamespaceFinding& finding = pass.report.findings.namespaces[0];
  finding.init = {4690, 99};
  finding.evidence = Evidence::proven;
  finding.stuck_for = 600s;
  finding.samples = 9;
  finding.blocked_threads = {waiting_on(kElsewhere), waiting_on(kConnection)};
  finding.connections = {kConnection, kElsewhere};
  pass.report.findings.connections = {wedged(kConnection), wedged(kElsewhere)};
  pass.subject->readings[0].connections = finding.connections;
  return pass;
}

bool goes_through_by_hand(const Findings& findings, const PolicySettings& policy, ConnectionId id) {
  Restraints restraints;
  restraints.by_hand = id;
  restraints.override_age = true;
  const auto decisions = decide(findings, policy, Ledger{}, restraints, Instant{10'000s, 10'000s});
  return std::any_of(decisions.begin(), decisions.end(),
                     [](const Decision& decision) { return decision.action == Action::abort; });
}

// What the page and `explain` say of `defused abort` is what that would do.
void check_true(PassResult& pass, Mode mode) {
  Report& report = pass.report;
  PolicySettings policy;
  policy.mode = report.mode = mode;
  report.decisions = decide(report.findings, policy, Ledger{}, Restraints{}, Instant{10'000s, 10'000s});
  const std::string page = page_text(pass);
  const std::string text = render_explanation({pass, mode, {}, ExposeSource::redacted});
  const auto commands = commands_on_page(pass);
  for (const ConnectionFinding& connection : report.findings.connections) {
    const std::string command = "defused abort " + std::to_string(connection.id.kernel_dev);
    const std::string file = "/sys/fs/fuse/connections/" + std::to_string(connection.id.kernel_dev) + "/abort";
    CAPTURE(command, to_string(mode));
    const bool goes = goes_through_by_hand(report.findings, policy, connection.id);
    if (page.find(command + " would refuse") != std::string::npos) CHECK_FALSE(goes);
    if (commands.count(command) > 0) CHECK(goes);
    // Past the gates only where they are known to hold.
    if (text.find(file) != std::string::npos) CHECK_FALSE(goes);
    if (goes && connection.outside_users == 0U) CHECK(text.find("# " + command + "\n") != std::string::npos);
  }
  // The one that the daemon would act on is the one whose story is told.
  if (report.decisions[0].action == Action::abort)
    CHECK(page.find("defused aborts connection " + std::to_string(report.decisions[0].connection->kernel_dev) +
                    " itself") != std::string::npos);
  check_agree(pass, true);
}

}  // namespace

TEST_CASE("two connections, the older thread on the one that was not decided about: nothing false is said") {
  using Change = void (*)(Findings&, std::size_t);
  const std::vector<Change> changes = {
      [](Findings&, std::size_t) {},
      [](Findings& it, std::size_t i) { it.connections[i].outside_viewers = 2; },
      [](Findings& it, std::size_t i) { it.connections[i].outside_users = 2; },
      [](Findings& it, std::size_t i) { it.connections[i].host_mount = true; },
      [](Findings& it, std::size_t i) { it.connections[i].server_evidence = Evidence::inferred; },
      [](Findings& it, std::size_t i) { it.namespaces[0].blocked_threads[1 - i].blocked_for = 5s; },
      [](Findings& it, std::size_t i) { it.namespaces[0].blocked_threads[1 - i].attribution_serves_acting = false; },
  };
  for (const Mode mode : {Mode::observe, Mode::enforce}) {
    for (std::size_t first = 0; first < changes.size(); ++first) {
      for (std::size_t second = 0; second < changes.size(); ++second) {
        CAPTURE(first, second);
        PassResult pass = two_connections();
        changes[first](pass.report.findings, 0);
        changes[second](pass.report.findings, 1);
        check_true(pass, mode);
      }
    }
  }
}

TEST_CASE("two namespaces on two connections: the one whose turn is later is not refused by hand") {
  PassResult pass = two_connections();
  Findings& findings = pass.report.findings;
  NamespaceFinding& finding = findings.namespaces[0];
  finding.connections = {kConnection};
  finding.blocked_threads = {waiting_on(kConnection)};
  findings.namespaces.push_back(finding);
  findings.namespaces[1].id = {4026532999};
  findings.namespaces[1].init.pid = 4691;
  findings.namespaces[1].connections = {kElsewhere};
  findings.namespaces[1].blocked_threads = {waiting_on(kElsewhere)};
  pass.subject->readings[0].pid_namespaces = {kNamespace, NamespaceId{4026532999}};
  PolicySettings policy;
  policy.mode = pass.report.mode = Mode::enforce;
  pass.report.decisions = decide(findings, policy, Ledger{}, Restraints{}, Instant{10'000s, 10'000s});
  REQUIRE(pass.report.decisions[1].reasons == std::vector<Gate>{Gate::rate_limited});
  REQUIRE(goes_through_by_hand(findings, policy, kElsewhere));
  CHECK(commands_on_page(pass).count("defused abort 41") == 1);
  const std::string text = render_explanation({pass, Mode::enforce, {}, ExposeSource::redacted});
  CHECK(text.find("# defused abort 41\n") != std::string::npos);
}

TEST_CASE("two candidates in the same state: the page hides nothing that explain tells, and says what it says") {
  for (const ServerState server : {ServerState::none, ServerState::dying, ServerState::alive}) {
    for (const char state : {'S', 'T', 't'}) {
      CAPTURE(to_string(server), state);
      PassResult pass = two_connections();
      NamespaceFinding& finding = pass.report.findings.namespaces[0];
      BlockedThread thread = waiting_on(kConnection);
      thread.connection.reset();
      thread.candidates = {kConnection, kElsewhere};
      thread.attribution = Attribution::ambiguous;
      finding.verdict = thread.verdict =
          server == ServerState::alive ? Verdict::waiting_on_live_server : Verdict::deadlocked;
      finding.blocked_threads = {thread};
      finding.connections.clear();
      pid_t pid = 900;
      for (ConnectionFinding& connection : pass.report.findings.connections) {
        connection.server_state = server;
        if (server == ServerState::alive) connection.servers = {{{pid++, 1}, "s3fs", server, state}};
      }
      check_true(pass, Mode::observe);
      check_agree(pass, false);
      CHECK(page_text(pass).find("about to answer") == std::string::npos);
    }
  }
}
