// SPDX-License-Identifier: Apache-2.0
// defused-report-samples: a JSON object with "reports" (the first one says most, others leave out what may be left out,
// the rest has every word where it can stand) and "words" (those of the code, by the names that the published schema
// has for them). report_schema_test.py compares both with the schema.
#include <iostream>
#include <nlohmann/json.hpp>

#include "model/codec.h"
#include "model/words.h"
#include "sample_pass.h"

namespace {

using namespace defused;
using nlohmann::json;

constexpr std::array kErrorKinds = {ErrorKind::gone,      ErrorKind::denied,      ErrorKind::timeout,
                                    ErrorKind::malformed, ErrorKind::unsupported, ErrorKind::io};

template <typename Word>
json words() {
  json out = json::array();
  for (const Word word : AllWords<Word>::values) out.push_back(std::string(to_string(word)));
  return out;
}

json error_kinds() {
  json out = json::array();
  for (const ErrorKind kind : kErrorKinds) out.push_back(std::string(to_string(kind)));
  return out;
}

// All that may be known is known.
Report make_full() {
  Report report = make_sample_pass().report;
  Findings& findings = report.findings;
  findings.namespaces[0].waits_for = {NamespaceId{4026532200}};
  findings.connections[0].stalled_since = std::chrono::seconds(1782907001);
  report.actions[0].outcome = Outcome::released;
  report.actions[0].recovery = std::chrono::seconds(61);
  return report;
}

void forget(BlockedThread& thread) {
  thread.connection.reset();
  thread.awaited.reset();
  thread.exiting.reset();
  thread.mounts.clear();
  thread.stack.clear();
  thread.candidates.clear();
  thread.gaps.clear();
}

// Nothing is known that need not be.
Report make_sparse() {
  Report report = make_full();
  Findings& findings = report.findings;
  NamespaceFinding& found = findings.namespaces[0];
  found.container.reset();
  found.connections.clear();
  found.members.clear();
  for (BlockedThread& thread : found.blocked_threads) forget(thread);
  forget(findings.stuck_exits[0].thread);
  findings.stuck_exits[0].container.reset();
  ConnectionFinding& connection = findings.connections[0];
  connection.outside_users.reset();
  connection.outside_viewers.reset();
  connection.waiting_since.reset();
  connection.stalled_since.reset();
  connection.servers.clear();
  report.decisions[0].connection.reset();
  report.decisions[0].reasons.clear();
  report.kernel = KernelFacts{};
  report.remedy = RemedyState{};
  report.actions[0] = OutcomeRecord{};
  report.gap_processes.clear();
  return report;
}

template <typename Word, typename Put>
void add_each(std::vector<Report>& reports, Put put) {
  for (const Word word : AllWords<Word>::values) {
    reports.push_back(make_full());
    put(reports.back(), word);
  }
}

BlockedThread& thread_of(Report& report) { return report.findings.namespaces[0].blocked_threads[0]; }

// Each word at each place where it can stand.
std::vector<Report> make_samples() {
  std::vector<Report> all = {make_full(), make_sparse(), Report{}};
  all.push_back(make_full());
  all.back().decisions.clear();  // nothing has been decided yet
  add_each<DyingState>(all, [](Report& it, DyingState word) { it.findings.namespaces[0].state = word; });
  add_each<WaitClass>(
      all, [](Report& it, WaitClass word) { it.findings.namespaces[0].wait_class = thread_of(it).wait_class = word; });
  add_each<Verdict>(all,
                    [](Report& it, Verdict word) { it.findings.namespaces[0].verdict = thread_of(it).verdict = word; });
  add_each<Evidence>(all, [](Report& it, Evidence word) {
    it.findings.namespaces[0].evidence = thread_of(it).evidence = it.findings.connections[0].server_evidence = word;
  });
  add_each<ServerState>(all, [](Report& it, ServerState word) {
    it.findings.connections[0].server_state = it.findings.connections[0].servers[0].state = word;
  });
  add_each<Attribution>(all, [](Report& it, Attribution word) { thread_of(it).attribution = word; });
  add_each<Witness>(all, [](Report& it, Witness word) { thread_of(it).witness = word; });
  add_each<Mode>(all, [](Report& it, Mode word) { it.mode = word; });
  add_each<Action>(all, [](Report& it, Action word) { it.decisions[0].action = word; });
  add_each<Gate>(all, [](Report& it, Gate word) { it.decisions[0].reasons = {word}; });
  add_each<Outcome>(all, [](Report& it, Outcome word) { it.outcomes[0].outcome = it.actions[0].outcome = word; });
  add_each<BreakerCause>(all, [](Report& it, BreakerCause word) {
    it.remedy.breaker_cause = word;
    it.remedy.breaker_open = word != BreakerCause::none;
  });
  add_each<FlushWaits>(all, [](Report& it, FlushWaits word) { it.kernel.fuse_flush_waits = word; });
  for (const ErrorKind kind : kErrorKinds) {
    all.push_back(make_full());
    all.back().gaps = thread_of(all.back()).gaps = {{{"status", kind}, 1}};
  }
  return all;
}

}  // namespace

int main() {
  json out;
  for (const Report& report : make_samples())
    out["reports"].push_back(json::parse(render_report_json(report, ExposeSource::redacted)));
  out["words"] = {{"action", words<Action>()},
                  {"attribution", words<Attribution>()},
                  {"breaker_cause", words<BreakerCause>()},
                  {"dying_state", words<DyingState>()},
                  {"error_kind", error_kinds()},
                  {"evidence", words<Evidence>()},
                  {"flush_waits", words<FlushWaits>()},
                  {"gate", words<Gate>()},
                  {"mode", words<Mode>()},
                  {"outcome", words<Outcome>()},
                  {"server_state", words<ServerState>()},
                  {"verdict", words<Verdict>()},
                  {"wait_class", words<WaitClass>()},
                  {"witness", words<Witness>()}};
  std::cout << out.dump() << "\n";
  return 0;
}
