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
  CHECK(get("/nothing", view).body.find(", /api/v1/report/schema") != std::string::npos);
}

TEST_CASE("the schema of the report is there before the first one") {
  View view = fresh_view();
  view.pass = nullptr;
  const HttpResponse response = get("/api/v1/report/schema", view);
  CHECK(response.status == 200);
  CHECK(response.content_type == "application/schema+json");
  CHECK(response.body.find("\"$schema\": \"https://json-schema.org/draft/2020-12/schema\"") != std::string::npos);
  CHECK(response.body.find("\"const\": \"defused.report/v1\"") != std::string::npos);
  CHECK(response.body.back() == '\n');
}

TEST_CASE("the telemetry path is the configured one") {
  View view = fresh_view();
  view.settings.web.telemetry_path = "/m";
  CHECK(get("/m", view).body == "metrics here\n");
  CHECK(get("/metrics", view).status == 404);
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
