// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "model/codec.h"
#include "sample_pass.h"

namespace defused {

namespace {

using Json = nlohmann::ordered_json;

std::vector<std::string> keys(const Json& object) {
  std::vector<std::string> names;
  for (const auto& [name, value] : object.items()) names.push_back(name);
  return names;
}

Json render(const Report& report, ExposeSource expose = ExposeSource::redacted) {
  return Json::parse(render_report_json(report, expose));
}

}  // namespace

TEST_CASE("the report has the keys of DESIGN.md section 7, in its order") {
  const Json report = render(make_sample_pass().report);
  using Keys = std::vector<std::string>;
  CHECK(keys(report) == Keys{"schema", "scanned_at", "host", "provisional", "kernel", "blind", "gaps", "pid_namespaces",
                             "stuck_exits", "connections", "mode", "duration_seconds", "pid_namespace_count",
                             "outcomes", "remedy", "actions"});
  CHECK(keys(report["kernel"]) == Keys{"release", "fuse_flush_waits", "request_timeout_seconds"});
  CHECK(keys(report["gaps"][0]) == Keys{"file", "kind", "count", "processes"});
  const Json& found = report["pid_namespaces"][0];
  CHECK(keys(found) == Keys{"pid_namespace",
                            "init",
                            "state",
                            "wait_class",
                            "verdict",
                            "evidence",
                            "since",
                            "stuck_seconds",
                            "stuck",
                            "container",
                            "blocked_threads",
                            "connections",
                            "decision",
                            "samples",
                            "gap",
                            "waits_for",
                            "gaps",
                            "member_count",
                            "blocked_thread_count",
                            "members",
                            "cgroup"});
  CHECK(keys(found["init"]) == Keys{"pid", "start_ticks", "comm"});
  CHECK(keys(found["container"]) == Keys{"id", "runtime", "pod_uid"});
  CHECK(keys(found["decision"]) == Keys{"action", "reasons", "connection"});
  const Keys thread_keys{
      "pid",          "tid",         "start_ticks", "comm",     "wait_class", "sigkill_pending", "stack",
      "connection",   "attribution", "verdict",     "evidence", "candidates", "blocked_seconds", "waits_for",
      "thread_state", "has_memory",  "exiting",     "wchan",    "mounts",     "told_by",         "gaps"};
  CHECK(keys(found["blocked_threads"][0]) == thread_keys);
  auto exit_keys = thread_keys;
  exit_keys.emplace_back("since");
  exit_keys.emplace_back("container");
  CHECK(keys(report["stuck_exits"][0]) == exit_keys);
}

TEST_CASE("so has each connection") {
  const Json report = render(make_sample_pass().report);
  using Keys = std::vector<std::string>;
  CHECK(keys(report["connections"][0]) == Keys{"id",
                                               "fstype",
                                               "source",
                                               "mount_points",
                                               "waiting",
                                               "max_background",
                                               "congestion_threshold",
                                               "server_state",
                                               "server_evidence",
                                               "servers",
                                               "outside_users",
                                               "outside_viewers",
                                               "orphaned",
                                               "host_mount",
                                               "waiting_since",
                                               "stalled_since",
                                               "device",
                                               "users",
                                               "viewers",
                                               "containers",
                                               "readers_disagree"});
  CHECK(keys(report["connections"][0]["servers"][0]) == Keys{"pid", "start_ticks", "comm", "state", "process_state"});
}

TEST_CASE("the report says what the findings say") {
  const Json report = render(make_sample_pass().report);
  CHECK(report["schema"] == "defused.report/v1");
  CHECK(report["scanned_at"] == "2026-07-01T12:01:00.350Z");
  CHECK(report["provisional"] == true);
  CHECK(report["mode"] == "dry_run");
  CHECK(report["duration_seconds"] == 0.0125);
  CHECK(report["kernel"] == Json{{"release", "6.18.44"}, {"fuse_flush_waits", "yes"}, {"request_timeout_seconds", 20}});
  CHECK(report["blind"] == Json::array({"stack"}));
  CHECK(report["gaps"][0]["processes"] == Json::array({{{"pid", 4711}, {"comm", "python"}}}));
  CHECK(report["gaps"][1] ==
        Json{{"file", "task/mountinfo"}, {"kind", "io"}, {"count", 2}, {"processes", Json::array()}});

  const Json& found = report["pid_namespaces"][0];
  CHECK(found["pid_namespace"] == 4026532178);
  CHECK(found["init"]["comm"] == "docker-init");
  CHECK(found["state"] == "init_blocked");
  CHECK(found["since"] == "2026-07-01T11:59:59.250Z");
  CHECK(found["stuck_seconds"] == 61.1);
  CHECK(found["stuck"] == true);
  CHECK(found["connections"] == Json::array({40}));
  CHECK(found["decision"] ==
        Json{{"action", "hold"}, {"reasons", Json::array({"mode", "identity_changed"})}, {"connection", 40}});
  const Json& thread = found["blocked_threads"][1];
  CHECK(thread["tid"] == 4713);
  CHECK(thread["start_ticks"] == UINT64_MAX);
  CHECK(thread["stack"] == Json::array({"request_wait_answer", "fuse_flush", "do_exit"}));
  CHECK(thread["connection"] == 40);
  CHECK(thread["attribution"] == "only_candidate");
  CHECK(thread["blocked_seconds"] == 61.5);

  const Json& connection = report["connections"][0];
  CHECK(connection["source"] == "https://host/bucket");
  CHECK(connection["outside_users"] == 3);
  CHECK(connection["servers"][0]["state"] == "dying");
  CHECK(connection["waiting_since"] == "2026-07-01T11:56:40.000Z");
  CHECK(report["outcomes"][0]["outcome"] == "partly_released");
  CHECK(report["outcomes"][0]["recovery_seconds"] == 1.5);
}

TEST_CASE("what holds actions back, and what was done") {
  Report report = make_sample_pass().report;
  report.remedy.breaker_since = std::chrono::seconds(1782907000);
  report.remedy.inhibited_since = std::chrono::seconds(1782907001);
  report.actions[0].at = std::chrono::seconds(1782907002);
  const Json json = render(report);
  CHECK(json["remedy"] == Json::parse(R"({
    "mode": "dry_run",
    "breaker": {"state": "open", "cause": "failed_outcomes", "since": "2026-07-01T11:56:40.000Z", "failures_in_row": 2,
                "detail": "abort of connection 40: not_released"},
    "inhibited": {"reason": "kernel upgrade", "since": "2026-07-01T11:56:41.000Z"},
    "abort_budget_remaining": 1,
    "record_trouble": "no space"})"));
  CHECK(json["actions"] == Json::parse(R"([
    {"time": "2026-07-01T11:56:42.000Z", "pid_namespace": 4026532178, "connection": 40, "outcome": "vetoed",
     "detail": "the hook said no", "recovery_seconds": null, "by_hand": true}])"));
  CHECK(json["pid_namespaces"][0]["cgroup"] == "/system.slice/docker-0123abcd.scope");
  CHECK(json["connections"][0]["readers_disagree"] == true);
}

TEST_CASE("nothing holds actions back: null, and no time of what is not") {
  Report report;
  report.remedy.breaker_since = std::chrono::seconds(1782907000);  // of a breaker that is closed
  report.remedy.abort_budget = 3;
  const Json remedy = render(report)["remedy"];
  CHECK(remedy == Json::parse(R"({
    "mode": "observe",
    "breaker": {"state": "closed", "cause": "none", "since": null, "failures_in_row": 0, "detail": ""},
    "inhibited": null, "abort_budget_remaining": 3, "record_trouble": null})"));
  report.remedy.inhibited = true;
  report.remedy.inhibited_reason = "an earlier prober may still act";
  CHECK(render(report)["remedy"]["inhibited"] ==
        Json{{"reason", "an earlier prober may still act"}, {"since", nullptr}});
}

TEST_CASE("actions newest first; one of another boot has neither namespace nor connection") {
  Report report;
  report.actions = {
      OutcomeRecord{NamespaceId{7}, ConnectionId{41}, Outcome::released, "", std::chrono::milliseconds(2500)},
      OutcomeRecord{NamespaceId{0}, ConnectionId{0}, Outcome::not_released, "", std::chrono::milliseconds(1)}};
  const Json actions = render(report)["actions"];
  REQUIRE(actions.size() == 2);
  CHECK(actions[0]["connection"] == 41);
  CHECK(actions[0]["recovery_seconds"] == 2.5);
  CHECK(actions[1]["pid_namespace"].is_null());
  CHECK(actions[1]["connection"].is_null());
  CHECK(actions[1]["recovery_seconds"].is_null());
}

TEST_CASE("the explanation of a subject has the same remedy and actions") {
  const PassResult pass = make_sample_pass();
  const Json whole = render(pass.report);
  const Json json =
      Json::parse(render_subject_json(*pass.subject, pass.report, {}, Mode::enforce, ExposeSource::redacted));
  CHECK(json["schema"] == "defused.explain/v1");
  CHECK(json["configured_mode"] == "enforce");
  CHECK(json["remedy"] == whole["remedy"]);
  CHECK(json["actions"] == whole["actions"]);
}

TEST_CASE("what is unknown is null, what is none is an empty list") {
  Report report = make_sample_pass().report;
  report.kernel.default_request_timeout_seconds.reset();
  report.kernel.max_request_timeout_seconds.reset();
  report.decisions.clear();
  report.findings.namespaces[0].container.reset();
  report.findings.namespaces[0].blocked_threads[0].connection.reset();
  report.findings.connections[0].outside_users.reset();
  report.findings.connections[0].outside_viewers.reset();
  report.findings.connections[0].waiting_since.reset();
  const Json json = render(report);
  CHECK(json["kernel"]["request_timeout_seconds"].is_null());
  CHECK(json["pid_namespaces"][0]["container"].is_null());
  CHECK(json["pid_namespaces"][0]["decision"].is_null());
  CHECK(json["pid_namespaces"][0]["blocked_threads"][0]["connection"].is_null());
  CHECK(json["connections"][0]["outside_users"].is_null());
  CHECK(json["connections"][0]["outside_viewers"].is_null());
  CHECK(json["connections"][0]["waiting_since"].is_null());

  const Json empty = render(Report{});
  for (const char* name : {"blind", "gaps", "pid_namespaces", "stuck_exits", "connections", "outcomes", "actions"}) {
    CHECK(empty[name] == Json::array());
  }
  CHECK(empty["scanned_at"] == "1970-01-01T00:00:00.000Z");
}

TEST_CASE("the request timeout is the cap, or the default where the cap is off") {
  using Seconds = std::optional<std::uint64_t>;
  const auto shown = [](Seconds by_default, Seconds cap) {
    Report report;
    report.kernel.default_request_timeout_seconds = by_default;
    report.kernel.max_request_timeout_seconds = cap;
    return render(report)["kernel"]["request_timeout_seconds"];
  };
  CHECK(shown(30, 20) == 20);
  CHECK(shown(30, 0) == 30);
  CHECK(shown(30, std::nullopt) == 30);
  CHECK(shown(0, 0) == 0);
  CHECK(shown(std::nullopt, 0) == 0);
  CHECK(shown(std::nullopt, std::nullopt).is_null());
}

TEST_CASE("rendering never throws on bytes that are not UTF-8, and indents when told to") {
  Report report = make_sample_pass().report;
  report.host = "a\xff\x1b\n\"<script>";
  report.findings.namespaces[0].blocked_threads[0].comm = "\xc3";
  const std::string text = render_report_json(report, ExposeSource::redacted);
  CHECK(text.find('\n') == std::string::npos);
  CHECK(text.find('\x1b') == std::string::npos);
  CHECK(Json::parse(text)["host"] == "a\xef\xbf\xbd\x1b\n\"<script>");
  const std::string indented = render_report_json(report, ExposeSource::redacted, 2);
  CHECK(indented.find("{\n  \"schema\": \"defused.report/v1\",\n") == 0);
}

TEST_CASE("sources are shown as the setting says") {
  const Report report = make_sample_pass().report;
  CHECK(render(report, ExposeSource::full)["connections"][0]["source"] == "https://key:secret@host/bucket?token=x");
  CHECK(render(report, ExposeSource::hidden)["connections"][0]["source"] == "");
  CHECK(render_report_json(report, ExposeSource::redacted).find("secret") == std::string::npos);
}

TEST_CASE("wall-clock times are RFC 3339") {
  CHECK(format_wall_time(Nanoseconds(0)) == "1970-01-01T00:00:00.000Z");
  CHECK(format_wall_time(std::chrono::seconds(951782399)) == "2000-02-28T23:59:59.000Z");
  CHECK(format_wall_time(std::chrono::seconds(951782400)) == "2000-02-29T00:00:00.000Z");
  CHECK(format_wall_time(Nanoseconds(1999999)) == "1970-01-01T00:00:00.001Z");
  CHECK(format_wall_time(Nanoseconds(-1)) == "1969-12-31T23:59:59.999Z");
  CHECK(format_wall_time(Nanoseconds::max()) == "2262-04-11T23:47:16.854Z");
  CHECK(format_wall_time(Nanoseconds::min()) == "1677-09-21T00:12:43.145Z");
}

}  // namespace defused
