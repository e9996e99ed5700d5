// SPDX-License-Identifier: Apache-2.0
#include "exporters/http/pages.h"

#include <catch2/catch.hpp>

using namespace defused;

namespace {

View fresh_view() {
  View view;
  view.now.wall = 2000s;
  PassResult pass;
  pass.report.scanned_at = 1998s;
  pass.report.host = "host<script>";
  NamespaceFinding finding;
  finding.id = {4026532178};
  finding.init_comm = "\"><img>";
  finding.stuck = true;
  finding.since = 1000s;
  BlockedThread thread;
  thread.comm = "<b>&'";
  thread.stack = {"request_wait_answer", "fuse_flush", "<i>"};
  finding.blocked_threads = {thread};
  pass.report.findings.namespaces = {finding};
  Decision decision;
  decision.reasons = {Gate::mode};
  pass.report.decisions = {decision};
  view.pass = std::make_shared<const PassResult>(std::move(pass));
  return view;
}

HttpResponse get(const std::string& path, const View& view) {
  return respond(HttpRequest{path}, view, [] { return std::string("metrics here\n"); });
}

// The page of a report that is `change`d.
template <typename Change>
std::string page_of(Change change) {
  View view = fresh_view();
  PassResult pass = *view.pass;
  change(pass.report);
  view.pass = std::make_shared<const PassResult>(std::move(pass));
  return render_status_page(view);
}

bool has(const std::string& page, const std::string& part) { return page.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("the pages") {
  const View view = fresh_view();
  CHECK(get("/metrics", view).body == "metrics here\n");
  CHECK(get("/metrics", view).content_type == "text/plain; version=0.0.4; charset=utf-8");
  CHECK(get("/-/healthy", view).status == 200);
  CHECK(get("/-/ready", view).status == 200);
  CHECK(get("/api/v1/report", view).content_type == "application/json");
  CHECK(get("/api/v1/report", view).body.find("defused.report/v1") != std::string::npos);
  CHECK(get("/", view).content_type == "text/html; charset=utf-8");
  CHECK(get("/nothing", view).status == 404);
}

TEST_CASE("the telemetry path is the configured one") {
  View view = fresh_view();
  view.settings.web.telemetry_path = "/m";
  CHECK(get("/m", view).body == "metrics here\n");
  CHECK(get("/metrics", view).status == 404);
}

TEST_CASE("nothing hostile reaches the page unescaped") {
  const std::string page = render_status_page(fresh_view());
  for (const char* raw : {"<script>", "<img>", "<b>", "<i>"}) CHECK(page.find(raw) == std::string::npos);
  CHECK(page.find("host&lt;script&gt;") != std::string::npos);
  CHECK(page.find("&lt;b&gt;&amp;&#39;") != std::string::npos);
  CHECK(page.find("<mark>fuse_flush</mark>") != std::string::npos);
  CHECK(page.find("1 PID namespace is stuck") != std::string::npos);
}

TEST_CASE("nothing holds actions back: it says so, without alarm") {
  const std::string page = page_of([](Report& report) {
    report.mode = Mode::enforce;
    report.remedy.abort_budget = 3;
    report.remedy.failures_in_row = 1;
  });
  CHECK(has(page, "<dt>mode</dt><dd>enforce</dd>"));
  CHECK(has(page, "<dt>circuit breaker</dt><dd>closed; failures in a row: 1</dd>"));
  CHECK(has(page, "<dt>inhibited</dt><dd>no</dd>"));
  CHECK(has(page, "<dt>aborts left in the window</dt><dd>3</dd>"));
  CHECK(has(page, "No action is recorded."));
  for (const char* alarm : {"PAUSED", "OPEN", "record_unwritable", "reset-breaker"}) CHECK_FALSE(has(page, alarm));
}

TEST_CASE("paused: by which reason, since when, and how it ends") {
  const std::string page = page_of([](Report& report) {
    report.remedy.inhibited = true;
    report.remedy.inhibited_reason = "<u>kernel upgrade";
    report.remedy.inhibited_since = 1000s;
  });
  CHECK(has(page, "PAUSED (inhibited) since 1970-01-01T00:16:40.000Z: &lt;u&gt;kernel upgrade<br>"));
  CHECK(has(page, "<code>defused resume</code>"));
  CHECK(has(page, "<dt>inhibited</dt><dd>yes</dd>"));
  const std::string unknown = page_of([](Report& report) {
    report.remedy.inhibited = true;
    report.remedy.inhibited_reason = "somebody";
  });
  CHECK(has(unknown, "PAUSED (inhibited): somebody<br>"));
}

TEST_CASE("an open breaker: its cause, since when, and the command that closes it") {
  const std::string page = page_of([](Report& report) {
    report.remedy.breaker_open = true;
    report.remedy.breaker_cause = BreakerCause::ledger_lost;
    report.remedy.breaker_since = 1000s;
    report.remedy.breaker_detail = "checksum <wrong>";
    report.remedy.record_trouble = "no space <left>";
  });
  CHECK(has(page, "OPEN (ledger_lost) since 1970-01-01T00:16:40.000Z: checksum &lt;wrong&gt;<br>"));
  CHECK(has(page, "<code>defused resume --reset-breaker</code>"));
  CHECK(has(page, "<dd>open, ledger_lost; "));
  CHECK(has(page, "(record_unwritable): no space &lt;left&gt;<br>"));
}

TEST_CASE("the last actions as a table, escaped and bounded") {
  const std::string page = page_of([](Report& report) {
    OutcomeRecord action{NamespaceId{4026532178}, ConnectionId{40}, Outcome::vetoed, "<s>no", 0s, 1000s, true};
    report.actions = {action};
    action = {NamespaceId{0}, ConnectionId{0}, Outcome::not_released, "", 0s, 900s};
    report.actions.resize(3 * kMaxShownActions, action);
  });
  CHECK(has(page,
            "<tr><td>1970-01-01T00:16:40.000Z</td><td>40</td><td>4026532178</td><td>vetoed</td>"
            "<td>by hand: &lt;s&gt;no</td></tr>"));
  CHECK(has(page, "<tr><td>1970-01-01T00:15:00.000Z</td><td>-</td><td>-</td><td>not_released</td><td></td></tr>"));
  std::size_t rows = 0;
  for (auto at = page.find(">not_released<"); at != std::string::npos; at = page.find(">not_released<", at + 1)) ++rows;
  CHECK(rows == kMaxShownActions - 1);
}

TEST_CASE("of thousands the page shows some, and how many more there are") {
  View view = fresh_view();
  PassResult pass = *view.pass;
  Findings& findings = pass.report.findings;
  BlockedThread thread;
  thread.stack.assign(10, std::string(200, 's'));
  const NamespaceFinding small = findings.namespaces[0];
  findings.namespaces[0].blocked_threads.assign(20'000, thread);
  findings.namespaces.resize(300, small);
  findings.stuck_exits.assign(20'000, StuckExit{thread, {}, {}});
  ConnectionFinding connection;
  connection.source = std::string(256, 'c');
  findings.connections.assign(3'000, connection);
  view.pass = std::make_shared<const PassResult>(std::move(pass));
  const std::string page = render_status_page(view);
  CHECK(page.size() < 1U << 20U);
  for (const char* rest : {"and 19990 more blocked threads", "and 200 more stuck PID namespaces",
                           "and 19950 more stuck exits", "and 2800 more connections"}) {
    CHECK(page.find(rest) != std::string::npos);
  }
}

TEST_CASE("ready only while passes are fresh") {
  View view = fresh_view();
  SECTION("too old: three intervals and a deadline") {
    view.now.wall = 1998s + 20s;
    CHECK(get("/-/ready", view).status == 200);
    view.now.wall += 1s;
    CHECK(get("/-/ready", view).status == 503);
    CHECK(get("/-/ready", view).body.find("21 s ago") != std::string::npos);
    CHECK(get("/-/healthy", view).status == 200);
    CHECK(render_status_page(view).find("not fresh") != std::string::npos);
  }
  SECTION("no pass yet") {
    view.pass.reset();
    CHECK(get("/-/ready", view).status == 503);
    CHECK(get("/api/v1/report", view).status == 503);
    CHECK(get("/", view).status == 200);
  }
  SECTION("no prober is started any more") {
    view.supervisor.at_cap = 1;
    CHECK(get("/-/ready", view).status == 503);
  }
}
