// SPDX-License-Identifier: Apache-2.0
// Each gate, outcome, mode and breaker state stands under the same word in the metrics, the report, the audit log, the
// text of `explain` and on the status page. The words that each of the five shows are taken out of its output and
// compared with the code's own list: one that is missing, misspelt or too many fails.
#include <algorithm>
#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>
#include <regex>
#include <set>

#include "daemon/accounting.h"
#include "daemon/explain_text.h"
#include "exporters/http/pages.h"
#include "exporters/prometheus/metrics.h"
#include "model/codec.h"
#include "policy/gates.h"
#include "remedy/audit_record.h"
#include "stuck_pass.h"

using namespace defused;

namespace {

using Json = nlohmann::json;
using Words = std::set<std::string>;

Words one(auto value) { return {std::string(to_string(value))}; }

template <typename Word>
Words all() {
  Words out;
  for (const Word value : AllWords<Word>::values) out.emplace(to_string(value));
  return out;
}

// ---- the five outputs

PassResult stuck_pass() {
  BlockedThread thread;
  thread.pid = 4711;
  thread.id = {4713, 100};
  thread.candidates = {kConnection};
  thread.connection = kConnection;
  NamespaceFinding finding;
  finding.blocked_threads = {thread};
  finding.connections = {kConnection};
  PassResult pass = make_stuck_pass(finding, {}, {});
  init_counters(pass.memory.counters);
  return pass;
}

PassResult held_by(const std::vector<Gate>& gates) {
  PassResult pass = stuck_pass();
  pass.report.decisions[0].reasons = gates;
  return pass;
}

std::string page_of(const PassResult& pass) {
  View view;
  view.pass = std::make_shared<const PassResult>(pass);
  view.settings.policy.mode = pass.report.mode;
  return render_status_page(view);
}

std::string metrics_of(const PassResult& pass) {
  View view;
  view.pass = std::make_shared<const PassResult>(pass);
  return MetricsRenderer().render(view);
}

Json report_of(const PassResult& pass) { return Json::parse(render_report_json(pass.report, ExposeSource::redacted)); }

Json decision_record_of(const PassResult& pass) {
  const Report& report = pass.report;
  const std::string line = render_decision(report.findings.namespaces[0], {report.findings.connections.data()},
                                           report.decisions[0], report.mode, Instant{});
  return Json::parse(line);
}

// The gates in words, from the table that `defused explain` takes them from; lines as if the terminal were endless.
std::string explanation_of(const PassResult& pass, Mode configured) {
  const auto& reasons = pass.report.decisions[0].reasons;
  std::vector<GateInWords> gates;
  for (const GateRule& rule : gate_rules()) {
    if (std::find(reasons.begin(), reasons.end(), rule.gate) == reasons.end()) continue;
    gates.push_back({kNamespace, rule.gate, std::string(rule.looks_at), std::string(rule.why)});
  }
  const std::string text = render_explanation({pass, configured, std::move(gates), ExposeSource::redacted});
  return std::regex_replace(text, std::regex("\\s+"), " ");
}

// ---- the words in them

// What `pattern` has between parentheses, wherever it matches.
Words matches(const std::string& text, const std::string& pattern) {
  Words out;
  const std::regex expression(pattern);
  for (std::sregex_iterator it(text.begin(), text.end(), expression), end; it != end; ++it) out.insert((*it)[1].str());
  return out;
}

// The values of the only label of `family`; `value` as the sample shows it, or any.
Words labels(const std::string& metrics, const std::string& family, const std::string& value = "[0-9]+") {
  return matches(metrics, family + "\\{[a-z]+=\"([^\"]*)\"\\} " + value + "\n");
}

// Every text that stands under `key`, by itself or in a list, however deep.
// NOLINTNEXTLINE(misc-no-recursion): as deep as our own records are
Words under(const Json& json, const std::string& key) {
  Words out;
  if (!json.is_structured()) return out;
  for (const auto& [name, value] : json.items()) {
    out.merge(under(value, key));
    if (!json.is_object() || name != key) continue;
    if (value.is_string()) out.insert(value.get<std::string>());
    if (!value.is_array()) continue;
    for (const Json& element : value) {
      if (element.is_string()) out.insert(element.get<std::string>());
    }
  }
  return out;
}

// An item of the list of what holds, or the mode's sentence.
Words gates_in(const std::string& explanation) { return matches(explanation, "(?:- |\\(gate )`([a-z0-9_]+)`[:)]"); }

Words outcomes_in(const std::string& explanation) {
  return matches(explanation, "connection 40 for PID namespace 4026532178: `([a-z0-9_]+)`");
}

// `mode` is told by the configured mode.
Mode configured_for(const std::vector<Gate>& gates) {
  return std::find(gates.begin(), gates.end(), Gate::mode) == gates.end() ? Mode::enforce : Mode::observe;
}

// Those of the list of what holds; not those that the advice beside it repeats.
Words gates_on(const std::string& page) { return matches(page, "<dt><code>([a-z_]+)</code></dt>"); }

void check_gates(const std::vector<Gate>& gates, const Words& words) {
  const PassResult pass = held_by(gates);
  CHECK(gates_on(page_of(pass)) == words);
  CHECK(labels(metrics_of(pass), "defused_holds") == words);
  CHECK(under(report_of(pass)["pid_namespaces"], "reasons") == words);
  CHECK(under(decision_record_of(pass), "reasons") == words);
  CHECK(gates_in(explanation_of(pass, configured_for(gates))) == words);
}

}  // namespace

TEST_CASE("each gate is under its word in metrics, report, audit log, explain and page") {
  for (const Gate gate : AllWords<Gate>::values) {
    CAPTURE(to_string(gate));
    check_gates({gate}, one(gate));
  }
}

TEST_CASE("all gates together are the code's own list, in all five") {
  check_gates({AllWords<Gate>::values.begin(), AllWords<Gate>::values.end()}, all<Gate>());
  check_gates({}, {});
}

TEST_CASE("each outcome is under its word in metrics, report, audit log, explain and page") {
  const std::string family = "defused_aborts_total";
  CHECK(labels(metrics_of(stuck_pass()), family) == all<Outcome>());
  for (const Outcome outcome : AllWords<Outcome>::values) {
    CAPTURE(to_string(outcome));
    PassResult pass = stuck_pass();
    ++pass.memory.counters.aborts[outcome];
    const OutcomeRecord record{kNamespace, kConnection, outcome, "one sentence", 0s, 1000s};
    pass.report.outcomes = pass.report.actions = {record};
    CHECK(labels(metrics_of(pass), family) == all<Outcome>());
    CHECK(labels(metrics_of(pass), family, "1") == one(outcome));
    CHECK(under(report_of(pass)["outcomes"], "outcome") == one(outcome));
    CHECK(under(report_of(pass)["actions"], "outcome") == one(outcome));
    LedgerEntry entry;
    entry.connection = kConnection;
    entry.outcome = outcome;
    const std::string line = outcome == Outcome::interrupted ? render_interrupted(entry, record, Instant{})
                                                             : render_outcome(entry, record, Instant{});
    CHECK(under(Json::parse(line), "outcome") == one(outcome));
    CHECK(outcomes_in(explanation_of(pass, Mode::enforce)) == one(outcome));
    CHECK(matches(page_of(pass), "data-label=\"outcome\"><code>([a-z_]+)</code>") == one(outcome));
  }
}

TEST_CASE("each state of the circuit breaker is under its word in all five") {
  Words causes = all<BreakerCause>();
  causes.erase("none");
  for (const BreakerCause cause : AllWords<BreakerCause>::values) {
    CAPTURE(to_string(cause));
    const bool open = cause != BreakerCause::none;
    const Words state = {open ? "open" : "closed"};
    const Words cause_if_open = open ? one(cause) : Words{};
    PassResult pass = stuck_pass();
    pass.report.remedy.breaker_open = open;
    pass.report.remedy.breaker_cause = cause;
    CHECK(labels(metrics_of(pass), "defused_breaker_open") == causes);
    CHECK(labels(metrics_of(pass), "defused_breaker_open", "1") == cause_if_open);
    const Json breaker = report_of(pass)["remedy"]["breaker"];
    CHECK(under(breaker, "state") == state);
    CHECK(under(breaker, "cause") == one(cause));
    const Json record = Json::parse(render_breaker(Breaker{cause}, std::nullopt, Instant{}));
    CHECK(under(record, "record") == Words{"breaker"});
    CHECK(under(record, "state") == state);
    CHECK(under(record, "cause") == one(cause));
    const std::string text = explanation_of(pass, Mode::enforce);
    CHECK(matches(text, "[Cc]ircuit breaker (?:is )?(open|closed)") == state);
    CHECK(matches(text, "Circuit breaker open \\(([a-z_]+)\\)") == cause_if_open);
    CHECK(matches(page_of(pass), "Circuit breaker OPEN \\(([a-z_]+)\\)") == cause_if_open);
    CHECK(matches(page_of(pass), "<dt>circuit breaker</dt>\\s*<dd>(open|closed)") == state);
  }
}

TEST_CASE("a pause is to be seen in all four, with its reason") {
  PassResult pass = stuck_pass();
  CHECK(metrics_of(pass).find("\ndefused_inhibited 0\n") != std::string::npos);
  CHECK(report_of(pass)["remedy"]["inhibited"].is_null());
  CHECK(explanation_of(pass, Mode::enforce).find("(inhibited)") == std::string::npos);
  CHECK(page_of(pass).find("PAUSED") == std::string::npos);
  pass.report.remedy.inhibited = true;
  pass.report.remedy.inhibited_reason = "kernel upgrade";
  CHECK(metrics_of(pass).find("\ndefused_inhibited 1\n") != std::string::npos);
  CHECK(under(report_of(pass)["remedy"]["inhibited"], "reason") == Words{"kernel upgrade"});
  const Json record = Json::parse(render_inhibit(true, "kernel upgrade", 0, Instant{}));
  CHECK(under(record, "record") == Words{"inhibit"});
  CHECK(under(record, "reason") == Words{"kernel upgrade"});
  CHECK(explanation_of(pass, Mode::enforce).find("Paused (inhibited): kernel upgrade ") != std::string::npos);
  CHECK(page_of(pass).find("PAUSED (inhibited)</strong>: <bdi>kernel upgrade</bdi>") != std::string::npos);
}

TEST_CASE("the budget is the same number in all five") {
  PassResult pass = stuck_pass();
  for (const std::uint32_t left : {0U, 2U}) {
    pass.report.remedy.abort_budget = left;
    const Words number = {std::to_string(left)};
    CHECK(matches(metrics_of(pass), "\ndefused_abort_budget_remaining ([0-9]+)\n") == number);
    CHECK(report_of(pass)["remedy"]["abort_budget_remaining"] == left);
    pass.report.decisions[0].abort_budget = left;
    CHECK(decision_record_of(pass)["evidence"]["decision"]["abort_budget_remaining"] == left);
    CHECK(matches(explanation_of(pass, Mode::enforce), "\\(`abort_budget_remaining`\\): ([0-9]+)\\.") == number);
    CHECK(matches(page_of(pass), "<dt>aborts left in the window</dt>\\s*<dd>([0-9]+)") == number);
  }
}

TEST_CASE("each mode is under its word in all five") {
  for (const Mode mode : AllWords<Mode>::values) {
    CAPTURE(to_string(mode));
    PassResult pass = stuck_pass();
    pass.report.mode = mode;
    CHECK(labels(metrics_of(pass), "defused_remediation_mode") == all<Mode>());
    CHECK(labels(metrics_of(pass), "defused_remediation_mode", "1") == one(mode));
    CHECK(under(report_of(pass), "mode") == one(mode));
    CHECK(under(decision_record_of(pass), "mode") == one(mode));
    CHECK(matches(explanation_of(pass, mode), "configured mode is `([a-z_]+)`") == one(mode));
    CHECK(matches(page_of(pass), "<dt>mode</dt>\\s*<dd>([a-z_]+)") == one(mode));
  }
}
