// SPDX-License-Identifier: Apache-2.0
// What a person is told where a replay concludes something else than the capture did.
#include "daemon/replay_difference.h"

#include <catch2/catch.hpp>
#include <string>

#include "model/codec.h"

namespace defused {

namespace {

Report make_report(Verdict verdict, Mode mode = Mode::observe, Action action = Action::hold) {
  Report report;
  report.mode = mode;
  NamespaceFinding finding;
  finding.id.inode = 4026532178;
  finding.verdict = verdict;
  finding.connections = {ConnectionId{40}};
  report.findings.namespaces.push_back(finding);
  Decision decision;
  decision.pid_namespace = finding.id;
  decision.action = action;
  report.decisions.push_back(decision);
  return report;
}

std::string compare(const Report& then, const Report& now) {
  return find_difference(render_report_json(then, ExposeSource::full, 2), now);
}

}  // namespace

TEST_CASE("the same conclusion is no difference") {
  const Report report = make_report(Verdict::deadlocked);
  CHECK(compare(report, report).empty());
  Report later = report;
  later.scanned_at = std::chrono::seconds(5);
  later.findings.namespaces.front().stuck_for = std::chrono::seconds(9);
  CHECK(compare(report, later).empty());
  CHECK(compare(Report{}, Report{}).empty());
}

TEST_CASE("another verdict, connection or decision is told in words") {
  const Report then = make_report(Verdict::not_fuse);
  CHECK(compare(then, make_report(Verdict::deadlocked)) ==
        "PID namespace 4026532178 was 'not_fuse by connection 40, hold' and is 'deadlocked by connection 40, hold'");
  CHECK(compare(then, Report{}) == "PID namespace 4026532178 was 'not_fuse by connection 40, hold' and is not told");
  CHECK(compare(Report{}, then) == "PID namespace 4026532178 was not told and is 'not_fuse by connection 40, hold'");
  Report other = then;
  other.findings.namespaces.front().connections = {ConnectionId{40}, ConnectionId{41}};
  CHECK(compare(then, other).find("by connection 40, 41, hold") != std::string::npos);
  CHECK_FALSE(compare(then, make_report(Verdict::not_fuse, Mode::observe, Action::abort)).empty());
}

TEST_CASE("decisions in another mode are not compared") {
  CHECK(compare(make_report(Verdict::deadlocked, Mode::enforce, Action::abort),
                make_report(Verdict::deadlocked, Mode::observe, Action::hold))
            .empty());
}

TEST_CASE("whether it is stuck, what could not be seen and how many there are is told") {
  const Report then = make_report(Verdict::deadlocked);
  Report stuck = then;
  stuck.findings.namespaces.front().stuck = true;
  CHECK(compare(then, stuck) ==
        "PID namespace 4026532178 was 'deadlocked by connection 40, hold' and is 'deadlocked, stuck by connection 40, "
        "hold'");
  Report blind = then;
  blind.blind = {"fusectl", "stack"};
  CHECK(compare(then, blind) == "what could not be seen was 'nothing' and is 'fusectl, stack'");
  Report provisional = then;
  provisional.provisional = true;
  CHECK(compare(then, provisional) == "the report was 'final' and is 'provisional'");
  Report more = then;
  more.pid_namespace_count = 7;
  CHECK(compare(then, more) == "the number of PID namespaces was '0' and is '7'");
  CHECK(find_difference("{}", Report{}).empty());  // an older version says less
}

TEST_CASE("what is no report says nothing, and what it says is made harmless") {
  const Report now = make_report(Verdict::deadlocked);
  for (const char* text : {"", "[]", "{", "7", "nul"}) CHECK(find_difference(text, now).empty());
  for (const char* text :
       {R"({"pid_namespaces":7})", R"({"pid_namespaces":[7,[8],null,{}],"stuck_exits":[{"tid":[]}]})",
        R"({"pid_namespaces":[{"verdict":{"a":1},"connections":"x","decision":5}]})"}) {
    CAPTURE(text);
    CHECK(find_difference(text, now).find("4026532178") != std::string::npos);
  }
  const std::string strange =
      find_difference("{\"pid_namespaces\":[{\"pid_namespace\":7,\"verdict\":\"\\u001b[31m\"}]}", Report{});
  CHECK(strange == "PID namespace 7 was '\\x1b[31m' and is not told");
  std::string many = R"({"stuck_exits":[)";
  for (int i = 0; i < 10; ++i) many += (i > 0 ? "," : "") + std::string(R"({"tid":)") + std::to_string(i) + "}";
  CHECK(find_difference(many + "]}", Report{}) == "the number of stuck threads elsewhere was '10' and is '0'");
}

}  // namespace defused
