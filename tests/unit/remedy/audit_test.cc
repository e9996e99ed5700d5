// SPDX-License-Identifier: Apache-2.0
// What the records of the audit log say.
#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>
#include <string>

#include "../policy/cases.h"
#include "audit_samples.h"
#include "remedy/audit_record.h"

using namespace std::chrono_literals;

namespace defused {

namespace {

using nlohmann::json;

const Instant kNow{2h, 1'795'522'501'500ms};

json parse_line(const std::string& line) {
  CHECK(line.find('\n') == std::string::npos);
  return json::parse(line);
}

json intent_of(const RemedyOrder& order) { return parse_line(render_intent(order, make_entry(order))); }

}  // namespace

TEST_CASE("The intent says what it is about, and who asked for it") {
  RemedyOrder order = make_full_order();
  json record = intent_of(order);
  CHECK(record["schema"] == "defused.audit/v1");
  CHECK(record["record"] == "intent");
  CHECK(record["time"] == "2026-11-24T12:15:00.000Z");
  CHECK(record["intent_time"] == record["time"]);
  CHECK(record["pid_namespace"] == 4'026'532'040U);
  CHECK(record["connection"] == 40);
  CHECK(record["directory_inode"] == 9040);
  CHECK(record["by_hand"] == json({{"uid", 0}, {"override_reason", "the node must go down now"}}));
  order.by_hand->override_reason = "a\nb";
  CHECK(intent_of(order)["by_hand"]["override_reason"] == "a\\x0ab");
  order.by_hand.reset();
  CHECK(intent_of(order)["by_hand"].is_null());
}

TEST_CASE("The evidence about the namespace is whole") {
  const json finding = intent_of(make_full_order())["evidence"]["pid_namespace"];
  CHECK(finding["inode"] == 4'026'532'040U);
  CHECK(finding["init"] == json({{"pid", 100}, {"start_ticks", 4000}, {"comm", "docker-init"}}));
  CHECK(finding["state"] == "reaping");
  CHECK(finding["wait_class"] == "fuse_flush");
  CHECK(finding["verdict"] == "deadlocked");
  CHECK(finding["evidence"] == "proven");
  CHECK(finding["since"] == "2026-11-24T12:13:30.000Z");
  CHECK(finding["stuck_seconds"] == 90);
  CHECK(finding["samples"] == 20);
  CHECK(finding["stuck"] == true);
  CHECK(finding["gap"] == false);
  CHECK(finding["gaps"] == json({{{"file", "ns/pid"}, {"kind", "timeout"}, {"count", 1}}}));
  CHECK(finding["container"] ==
        json({{"id", "0123abcd"}, {"runtime", "docker"}, {"pod_uid", "11111111-2222-3333-4444-555555555555"}}));
  CHECK(finding["cgroup"] == "/system.slice/docker-0123abcd.scope");
  CHECK(finding["member_count"] == 17);
  CHECK(finding["members"][1] == json({{"pid", 1040}, {"comm", "ndrive"}}));
  CHECK(finding["waits_for"] == json({4'026'532'099U}));
  CHECK(finding["waits_for_count"] == 1);
  CHECK(finding["connections"] == json({40}));
  CHECK(finding["connection_count"] == 1);
  CHECK(finding["blocked_thread_count"] == 1);
}

TEST_CASE("The evidence about a blocked thread is whole") {
  const json evidence = intent_of(make_full_order())["evidence"];
  CHECK(evidence["pid_namespace"]["blocked_threads"][0] ==
        json({{"pid", 1040},
              {"tid", 1040},
              {"start_ticks", 5000},
              {"comm", "ndrive"},
              {"thread_state", "D"},
              {"has_memory", true},
              {"exiting", true},
              {"sigkill_pending", true},
              {"wait_class", "fuse_flush"},
              {"stack", {"request_wait_answer", "fuse_flush", "do_exit"}},
              {"wchan", "request_wait_answer"},
              {"connection", 40},
              {"candidate_count", 1},
              {"candidates", {40}},
              {"mounts",
               {{{"mount_id", 77},
                 {"connection", 40},
                 {"fstype", "fuse.ndrive"},
                 {"source", "https://host/bucket"},
                 {"mount_point", "/data"}}}},
              {"attribution", "only_candidate"},
              {"attribution_serves_acting", true},
              {"told_by", "mounts"},
              {"verdict", "deadlocked"},
              {"evidence", "proven"},
              {"context_switches", 17},
              {"samples", 20},
              {"blocked_seconds", 90},
              {"waits_for", {{"pid", 4690}, {"comm", "shim"}}},
              {"gaps", {{{"file", "fdinfo"}, {"kind", "denied"}, {"count", 2}}}}}));
}

TEST_CASE("The evidence about the connection is whole") {
  const json evidence = intent_of(make_full_order())["evidence"];
  REQUIRE(evidence["connections"].size() == 1);
  CHECK(evidence["connections"][0] ==
        json({{"id", 40},
              {"device", "0:40"},
              {"directory_inode", 9040},
              {"fstype", "fuse.ndrive"},
              {"source", "https://host/bucket"},
              {"mount_count", 1},
              {"mount_ids", {77}},
              {"mount_point_count", 1},
              {"mount_points", {"/data"}},
              {"host_mount", false},
              {"waiting", 1},
              {"waiting_since", "2026-11-24T12:13:20.000Z"},
              {"stalled_since", "2026-11-24T12:13:35.000Z"},
              {"max_background", 0},
              {"congestion_threshold", 0},
              {"server_state", "dying"},
              {"server_evidence", "proven"},
              {"server_count", 1},
              {"servers",
               {{{"pid", 7}, {"start_ticks", 8}, {"comm", "ndrive"}, {"state", "dying"}, {"process_state", "D"}}}},
              {"outside_users", 0},
              {"users", {{{"pid", 900}, {"comm", "python"}}}},
              {"outside_viewers", 0},
              {"viewers", {{{"pid", 1}, {"comm", "systemd"}}}},
              {"containers", {{{"id", "0123abcd"}, {"runtime", "docker"}, {"pod_uid", ""}}}},
              {"readers_disagree", false},
              {"orphaned", false}}));
  CHECK(evidence["decision"] ==
        json({{"action", "abort"}, {"reasons", json::array()}, {"connection", 40}, {"abort_budget_remaining", 3}}));
}

TEST_CASE("What is not known is null, and what is true is told") {
  RemedyOrder order = make_bare_order();
  order.connection.host_mount = order.connection.readers_disagree = order.connection.orphaned = true;
  const json evidence = intent_of(order)["evidence"];
  const json& thread = evidence["pid_namespace"]["blocked_threads"][0];
  for (const char* key : {"exiting", "connection", "waits_for"}) CHECK(thread[key].is_null());
  CHECK(evidence["pid_namespace"]["container"].is_null());
  const json& connection = evidence["connections"][0];
  for (const char* key : {"outside_users", "outside_viewers", "waiting_since", "stalled_since"}) {
    CHECK(connection[key].is_null());
  }
  for (const char* key : {"host_mount", "readers_disagree", "orphaned"}) CHECK(connection[key] == true);
  CHECK(evidence["decision"] == json({{"action", "hold"},
                                      {"reasons", {"mode", "connection_ambiguous"}},
                                      {"connection", nullptr},
                                      {"abort_budget_remaining", 0}}));
}

TEST_CASE("Neither a secret nor a byte that is not text comes into a record") {
  RemedyOrder order = make_full_order();
  order.connection.servers[0].comm = "nd\xff";
  const std::string line = render_intent(order, make_entry(order));
  CHECK(line.find("secret") == std::string::npos);
  CHECK(line.find("token") == std::string::npos);
  CHECK(json::parse(line)["evidence"]["connections"][0]["servers"][0]["comm"] == "nd\xEF\xBF\xBD");
}

TEST_CASE("A decision has the same evidence, about all connections it is told of") {
  const RemedyOrder order = make_full_order();
  ConnectionFinding other = order.connection;
  other.id = {41};
  const std::string line =
      render_decision(order.finding, {&order.connection, &other}, order.decision, Mode::dry_run, kNow);
  const json record = parse_line(line);
  CHECK(record["record"] == "decision");
  CHECK(record["time"] == "2026-11-24T12:15:01.500Z");
  CHECK(record["mode"] == "dry_run");
  json expected = intent_of(order)["evidence"];
  expected["connections"].push_back(expected["connections"][0]);
  expected["connections"][1]["id"] = 41;
  expected["connections"][1]["device"] = "0:41";
  CHECK(record["evidence"] == expected);
  CHECK(record.size() == 5);
}

TEST_CASE("A record is bounded, and keeps the threads that decide") {
  RemedyOrder order = make_full_order();
  const BlockedThread deciding = order.finding.blocked_threads.front();
  order.finding.blocked_threads.assign(3 * kMaxListed, make_waiting_thread(2000, 41));
  order.finding.blocked_threads.push_back(deciding);
  order.connection.mount_points.assign(kMaxListed + 1, "/data");
  const json evidence = intent_of(order)["evidence"];
  const json& finding = evidence["pid_namespace"];
  CHECK(finding["blocked_thread_count"] == 3 * kMaxListed + 1);
  CHECK(finding["blocked_threads"].size() == kMaxListed);
  CHECK(finding["blocked_threads"][0]["tid"] == deciding.id.tid);
  CHECK(finding["blocked_threads"][1]["tid"] == 2000);
  CHECK(evidence["connections"][0]["mount_point_count"] == kMaxListed + 1);
  CHECK(evidence["connections"][0]["mount_points"].size() == kMaxListed);
  order.finding.blocked_thread_count = 5000;
  CHECK(intent_of(order)["evidence"]["pid_namespace"]["blocked_thread_count"] == 5000);
}

TEST_CASE("However long a container makes its names, the audit log takes the record") {
  RemedyOrder order = make_full_order();
  BlockedThread& thread = order.finding.blocked_threads.front();
  const std::string longest(256, '"');
  thread.stack.assign(64, longest);
  thread.mounts.assign(kMaxShownMounts, {77, {40}, longest, longest, longest});
  order.finding.blocked_threads.assign(kMaxBlockedThreads, thread);
  order.connection.mount_points.assign(10'000, longest);
  const std::string line = render_intent(order, make_entry(order));
  CHECK(line.size() <= AuditFile::kMaxLine);
  CHECK(line.size() > AuditFile::kMaxLine / 4);
  const json finding = json::parse(line)["evidence"]["pid_namespace"];
  CHECK(finding["blocked_thread_count"] == kMaxBlockedThreads);
  CHECK_FALSE(finding["blocked_threads"].empty());
}

TEST_CASE("Outcomes belong to their intent") {
  const RemedyOrder order = make_full_order();
  const LedgerEntry entry = make_entry(order);
  OutcomeRecord outcome{order.finding.id, order.connection.id, Outcome::released, "it is gone", 91'500ms};
  json expected = {{"schema", "defused.audit/v1"},
                   {"record", "outcome"},
                   {"time", "2026-11-24T12:15:01.500Z"},
                   {"intent_time", "2026-11-24T12:15:00.000Z"},
                   {"pid_namespace", 4'026'532'040U},
                   {"connection", 40},
                   {"directory_inode", 9040},
                   {"outcome", "released"},
                   {"detail", "it is gone"},
                   {"recovery_seconds", 91.5}};
  CHECK(parse_line(render_outcome(entry, outcome, kNow)) == expected);
  outcome.outcome = Outcome::partly_released;
  CHECK(parse_line(render_outcome(entry, outcome, kNow))["recovery_seconds"].is_null());
  outcome.outcome = Outcome::interrupted;
  expected["record"] = expected["outcome"] = "interrupted";
  expected.erase("recovery_seconds");
  CHECK(parse_line(render_interrupted(entry, outcome, kNow)) == expected);
}

TEST_CASE("The breaker: what opened it, and who closed it") {
  const Breaker breaker{BreakerCause::failed_outcomes, kNow.wall, 2, "two in a row"};
  CHECK(parse_line(render_breaker(breaker, std::nullopt, kNow)) == json({{"schema", "defused.audit/v1"},
                                                                         {"record", "breaker"},
                                                                         {"time", "2026-11-24T12:15:01.500Z"},
                                                                         {"state", "open"},
                                                                         {"cause", "failed_outcomes"},
                                                                         {"detail", "two in a row"},
                                                                         {"by", nullptr}}));
  const json closed = parse_line(render_breaker({}, 1000, kNow));
  CHECK(closed["state"] == "closed");
  CHECK(closed["cause"] == "none");
  CHECK(closed["by"] == 1000);
}

TEST_CASE("Pausing, going on, and a ledger that was lost") {
  const json paused = parse_line(render_inhibit(true, "up\ngrade", 1000, kNow));
  CHECK(paused == json({{"schema", "defused.audit/v1"},
                        {"record", "inhibit"},
                        {"time", "2026-11-24T12:15:01.500Z"},
                        {"state", "paused"},
                        {"reason", "up\\x0agrade"},
                        {"by", 1000}}));
  CHECK(parse_line(render_inhibit(false, "", 0, kNow))["state"] == "resumed");
  CHECK(parse_line(render_ledger_lost("ledger.json.corrupt-x", "the checksum", kNow)) ==
        json({{"schema", "defused.audit/v1"},
              {"record", "ledger_lost"},
              {"time", "2026-11-24T12:15:01.500Z"},
              {"detail", "the checksum"},
              {"file", "ledger.json.corrupt-x"}}));
}

}  // namespace defused
