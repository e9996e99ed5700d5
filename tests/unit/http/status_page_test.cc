// SPDX-License-Identifier: Apache-2.0
// The page as a whole: what is on top in each state, that it is sound HTML whatever the report says, and that it stays
// within bounds.
#include <algorithm>
#include <catch2/catch.hpp>

#include "exporters/http/html.h"
#include "exporters/http/pages.h"
#include "page_tree.h"
#include "status_cases.h"

using namespace defused;
using namespace defused::test;

namespace {

std::unique_ptr<Node> page_of(const View& view) { return parse_page(render_status_page(view)); }

std::string top_of(const Node& page) { return page.one("h1").all_text(); }

bool says(const Node& node, const std::string& text) { return node.all_text().find(text) != std::string::npos; }

// Two things that a browser does not mend: a level left out, and a second h1.
void check_headings(const Node& page) {
  CHECK(page.find("h1").size() == 1);
  std::string last = "h1";
  // NOLINTNEXTLINE(misc-no-recursion): as deep as the page
  const std::function<void(const Node&)> walk = [&](const Node& node) {
    const bool heading = node.tag.size() == 2 && node.tag[0] == 'h' && node.tag[1] >= '1' && node.tag[1] <= '6';
    if (heading) {
      CHECK(node.tag[1] - last[1] <= 1);
      last = node.tag;
    }
    for (const auto& child : node.children) walk(*child);
  };
  walk(page);
}

// What holds for the page of every state.
void check_sound(const std::string& text) {
  const auto page = parse_page(text);
  CHECK(page->one("html").attribute("lang") == "en");
  for (const char* landmark : {"header", "main", "footer", "nav", "title", "style"})
    CHECK(page->find(landmark).size() == (std::string(landmark) == "title" ? 1 + page->find("svg.picture").size() : 1));
  check_headings(*page);
  for (const char* never : {"script", "link", "img", "iframe", "object", "form", "base", "image", "use"})
    CHECK_FALSE(page->has(never));
  for (const char* part : {" style=", "url(", "@import", "http:", "https:"}) {
    CAPTURE(part);
    CHECK(text.find(part) == std::string::npos);
  }
  for (const Node* picture : page->find("svg.picture")) {
    CHECK(picture->attribute("role") == "img");
    CHECK_FALSE(picture->attribute("aria-labelledby").empty());
  }
  for (const Node* head : page->find("th")) CHECK_FALSE(head->attribute("scope").empty());
  for (const Node* meta : page->find("meta")) {
    if (meta->attribute("http-equiv") == "refresh") CHECK(meta->attribute("content") == "15");
  }
}

}  // namespace

TEST_CASE("healthy: it says so, and nothing alarms") {
  const std::string text = render_status_page(healthy_view());
  check_sound(text);
  const auto page = parse_page(text);
  CHECK(top_of(*page) == "\u2713 Healthy: nothing is stuck");
  CHECK(page->one("head").one("title").all_text() == "Healthy: nothing is stuck - node-17 - defused");
  CHECK(page->one(".state").attribute("class") == "state good");
  CHECK(page->one(".fresh").all_text() == "Last pass 2 s ago. Mode observe: defused only looks.");
  CHECK_FALSE(page->has("article"));
  CHECK_FALSE(page->has(".notice"));
  CHECK(page->find("table").size() == 1);
  CHECK(says(*page, "No action is recorded."));
  CHECK(page->find("dl.strip").back()->all_text() ==
        "PID namespaces 42 of them dying 0 FUSE connections 2 requests waiting 0 the pass took 4.3 ms");
  CHECK(says(*page, "Nothing: all that was looked for could be read."));
  for (const char* alarm : {"PAUSED", "OPEN", "BLIND", "record_unwritable", "reset-breaker", "fresh:"})
    CHECK_FALSE(says(*page, alarm));
}

TEST_CASE("one that is stuck: who, how bad and since when are on top") {
  const std::string text = render_status_page(deadlocked_view());
  check_sound(text);
  const auto page = parse_page(text);
  CHECK(top_of(*page) == "\u2715 1 PID namespace cannot die");
  CHECK(page->one(".state").attribute("class") == "state bad");
  CHECK(page->one(".oldest").all_text() ==
        "docker 4f5e6d7c8b9a: deadlocked, since 2027-01-15 07:56:46 UTC (3 min 12 s).");
}

TEST_CASE("several: the worst first, then the oldest, and the oldest of all on top") {
  const auto page = page_of(changed(deadlocked_view(), [](Report& report) {
    NamespaceFinding one = stuck_in(report);
    one.container.reset();
    const auto add = [&](pid_t pid, Verdict verdict, Nanoseconds age) {
      one.init.pid = pid;
      one.id.inode = static_cast<std::uint64_t>(pid);
      one.verdict = verdict;
      one.since = report.scanned_at - age;
      one.stuck_for = age;
      report.findings.namespaces.push_back(one);
    };
    report.findings.namespaces.clear();
    add(1001, Verdict::not_fuse, 3h + 5min);
    add(1002, Verdict::deadlocked, 20s);
    add(1003, Verdict::waiting_on_live_server, 100s);
    add(1004, Verdict::deadlocked, 50h);
    add(1005, Verdict::undetermined, 60s);
    StuckExit exit;
    exit.thread = one.blocked_threads[0];
    exit.thread.verdict = Verdict::not_fuse;
    report.findings.stuck_exits = {exit};
  }));
  CHECK(top_of(*page) == "\u2715 5 PID namespaces cannot die");
  CHECK(page->one(".oldest").all_text() ==
        "The oldest since 2027-01-13 05:59:58 UTC (2 d 2 h). 2 deadlocked, 1 waiting_on_live_server, 1 not_fuse, 1 "
        "undetermined.");
  CHECK(says(page->one(".state"), "And 1 stuck exit: 1 not_fuse."));
  std::vector<std::string> order;
  for (const Node* article : page->find("article")) order.push_back(article->attribute("id"));
  CHECK(order ==
        std::vector<std::string>{"init-1004", "init-1002", "init-1005", "init-1003", "init-1001", "exit-4713"});
  CHECK(page->one("ul.lines").find("li").front()->all_text() ==
        "deadlocked PID namespace 1004 for 2 d 2 h, connection 40");
}

TEST_CASE("the level on top is that of the worst") {
  const auto level = [](const View& view) { return page_of(view)->one(".state").attribute("class"); };
  for (const Verdict verdict : AllWords<Verdict>::values) {
    CAPTURE(to_string(verdict));
    const char* expected = verdict == Verdict::deadlocked ? "state bad" : "state warn";
    CHECK(level(changed(deadlocked_view(), [&](Report& report) { stuck_in(report).verdict = verdict; })) == expected);
    CHECK(level(changed(healthy_view(), [&](Report& report) {
            StuckExit exit;
            exit.thread.verdict = verdict;
            report.findings.stuck_exits = {exit};
          })) == expected);
  }
  const View stalled =
      changed(healthy_view(), [](Report& report) { report.findings.connections[1].stalled_since = 1000s; });
  CHECK(level(stalled) == "state warn");
  CHECK(top_of(*page_of(stalled)) == "! 1 FUSE connection does not answer");
  const View dying = changed(deadlocked_view(), [](Report& report) {
    stuck_in(report).stuck = false;
    wedged_in(report).stalled_since.reset();
  });
  CHECK(level(dying) == "state good");
  CHECK(page_of(dying)->one("ul.lines").all_text() ==
        "docker 4f5e6d7c8b9a: reaping, 1 blocked thread, no progress for 3 min 12 s");
}

TEST_CASE("stuck exits: the report has threads, the page counts processes") {
  const auto top = [](std::uint32_t count) {
    return top_of(*page_of(changed(healthy_view(), [&](Report& report) {
      for (const pid_t tid : {71, 72, 81}) {
        StuckExit exit;
        exit.thread.pid = tid / 10 * 10;
        exit.thread.id.tid = tid;
        report.findings.stuck_exits.push_back(exit);
      }
      report.findings.stuck_exit_count = count;
    })));
  };
  CHECK(top(3) == "! 2 processes cannot exit");
  CHECK(top(4) == "! At least 2 processes cannot exit");
}

TEST_CASE("what waits for a stuck namespace inside of it cannot die either") {
  const auto page = page_of(changed(deadlocked_view(), [](Report& report) {
    const NamespaceId stuck = stuck_in(report).id;
    const auto add = [&](std::uint64_t inode, std::vector<NamespaceId> waits_for) {
      NamespaceFinding finding;
      finding.id = {inode};
      finding.init.pid = static_cast<pid_t>(inode);
      finding.waits_for = std::move(waits_for);
      report.findings.namespaces.push_back(finding);
    };
    add(11, {{12}});  // through another one, and before it
    add(12, {stuck});
    add(13, {{14}});
    add(14, {});
  }));
  CHECK(top_of(*page) == "\u2715 3 PID namespaces cannot die");
  CHECK(page->find("section").front()->one("h2").all_text() == "Stuck PID namespaces (3)");
  std::vector<std::string> held;
  for (const Node* line : page->find("ul.lines").front()->find("li")) held.push_back(line->all_text());
  std::sort(held.begin(), held.end());
  CHECK(held ==
        std::vector<std::string>{"held PID namespace 11 by docker 4f5e6d7c8b9a in it: it dies when that one does",
                                 "held PID namespace 12 by docker 4f5e6d7c8b9a in it: it dies when that one does"});
  CHECK(page->find("ul.lines").front()->find("a").front()->attribute("href") == "#init-4690");
  CHECK(page->find("ul.lines").back()->find("li").size() == 2);
  CHECK(says(*page, "Dying, not stuck (2)"));
}

TEST_CASE("what is not seen is never called healthy") {
  for (const char* what : {"processes", "fusectl", "stack"}) {
    CAPTURE(what);
    const auto page = page_of(changed(healthy_view(), [&](Report& report) { report.blind = {what}; }));
    CHECK(top_of(*page) == "! Not everything can be seen");
    CHECK(says(page->one(".notice"), std::string("BLIND: ") + what));
    CHECK(says(page->one("main"), std::string("What cannot be seen ") + what + ": "));
  }
  const auto page = page_of(changed(healthy_view(), [](Report& report) { report.blind = {"bpf", "newer"}; }));
  CHECK(top_of(*page) == "\u2713 Healthy: nothing is stuck");
  CHECK_FALSE(page->has(".notice"));
  CHECK(says(*page, "bpf: The kernel itself could not be asked"));
  CHECK(says(*page, "newer"));
}

TEST_CASE("not fresh: healthy is not said, and what was stuck is still told") {
  View view = healthy_view();
  view.now.wall += 60s;
  CHECK(top_of(*page_of(view)) == "! Not known: this is not fresh");
  CHECK(says(page_of(view)->one(".notice"), "What follows is not fresh: the last pass began 62 s ago"));
  view = deadlocked_view();
  view.now.wall += 60s;
  CHECK(top_of(*page_of(view)) == "\u2715 1 PID namespace cannot die");
  CHECK(page_of(view)->one(".notice").attribute("class") == "notice bad");
}

TEST_CASE("a wall clock that was set back: the age goes on, and healthy is not said for ever") {
  View view = healthy_view();
  view.arrived = 100s;
  view.now.boottime = 101s;
  view.now.wall -= 1h;
  CHECK(top_of(*page_of(view)) == "\u2713 Healthy: nothing is stuck");
  view.now.boottime = 150s;
  CHECK(top_of(*page_of(view)) == "! Not known: this is not fresh");
  CHECK(says(page_of(view)->one(".fresh"), "Last pass 50 s ago."));
  CHECK(says(page_of(view)->one(".notice"), "the last pass began 50 s ago"));
}

TEST_CASE("no pass yet") {
  View view;
  const std::string text = render_status_page(view);
  check_sound(text);
  CHECK(top_of(*parse_page(text)) == "! No pass has been finished yet");
  view.supervisor.at_cap = 1;
  const auto page = page_of(view);
  CHECK(page->one(".state").attribute("class") == "state bad");
  CHECK(says(page->one(".notice"), "too many probers could not be killed"));
}

TEST_CASE("paused: by which reason, since when, and how it ends") {
  const auto paused = [](Nanoseconds since) {
    return changed(healthy_view(), [&](Report& report) {
      report.remedy.inhibited = true;
      report.remedy.inhibited_reason = "<u>kernel upgrade";
      report.remedy.inhibited_since = since;
    });
  };
  const auto page = page_of(paused(1000s));
  CHECK(page->one(".notice").all_text() ==
        "PAUSED (inhibited) since 1970-01-01 00:16:40 UTC: <u>kernel upgrade Nothing is aborted meanwhile. defused "
        "resume ends a pause by an operator.");
  CHECK(page->one(".notice").one("time").attribute("datetime") == "1970-01-01T00:16:40.000Z");
  CHECK(says(page_of(paused(0s))->one(".notice"), "PAUSED (inhibited): <u>kernel upgrade"));
}

TEST_CASE("an open breaker and records that cannot be written: why, since when, what closes it") {
  const auto page = page_of(changed(healthy_view(), [](Report& report) {
    report.remedy.breaker_open = true;
    report.remedy.breaker_cause = BreakerCause::ledger_lost;
    report.remedy.breaker_since = 1000s;
    report.remedy.breaker_detail = "checksum <wrong>";
    report.remedy.record_trouble = "no space <left>";
  }));
  const auto notices = page->find(".notice");
  REQUIRE(notices.size() == 2);
  CHECK(says(*notices[0], "Circuit breaker OPEN (ledger_lost) since 1970-01-01 00:16:40 UTC: checksum <wrong>"));
  CHECK(notices[0]->one("code").all_text() == "defused resume --reset-breaker");
  CHECK(says(*notices[1], "(record_unwritable): no space <left>"));
}

TEST_CASE("a prober that is late is told, as are those that were lost") {
  View view = healthy_view();
  view.supervisor.prober_blind = 1;
  CHECK(says(page_of(view)->one(".notice"), "No prober is looking just now"));
  CHECK(top_of(*page_of(view)) == "! Not known: no prober is looking");
  CHECK(says(*page_of(view), "What cannot be seen Whatever has happened since the last pass"));
  CHECK_FALSE(says(*page_of(view), "all that was looked for could be read"));
  view = healthy_view();
  view.supervisor.probers_lost = 3;
  view.supervisor.lost_probers_left = 1;
  CHECK(says(*page_of(view), "3 probers were lost since the service started"));
  CHECK(says(*page_of(view), "1 process of defused could not be killed and is still there."));
}

TEST_CASE("the links are the configured ones") {
  View view = healthy_view();
  view.settings.web.telemetry_path = "/m\"<";
  std::vector<std::string> targets;
  const auto page = page_of(view);
  for (const Node* link : page->one("footer").find("a")) targets.push_back(link->attribute("href"));
  CHECK(targets ==
        std::vector<std::string>{"/m\"<", "/api/v1/report", "/api/v1/report/schema", "/-/ready", "/-/healthy"});
}

namespace {

// All that a container chooses, and all that other people write, made of what would break a page.
void make_hostile(Report& report, const std::string& name) {
  NamespaceFinding& finding = stuck_in(report);
  report.host = report.kernel.release = finding.init_comm = name;
  finding.container = Container{name, name, name};
  finding.members = {{4711, name}};
  BlockedThread& thread = finding.blocked_threads[0];
  thread.comm = thread.wchan = name;
  thread.stack.push_back(name);
  thread.awaited = NamedProcess{1, name};
  finding.blocked_threads.push_back(thread);
  ConnectionFinding& connection = wedged_in(report);
  connection.fstype = connection.source = name;
  connection.mount_points = {name, name, name};
  connection.servers[0].comm = name;
  connection.users = connection.viewers = {{1, name}};
  connection.outside_users = connection.outside_viewers = 2;
  connection.containers = {Container{name, name, name}, Container{"", "", name}};
  report.blind = {name};
  report.gaps[{name, ErrorKind::io}] = 1;
  report.gap_processes[{name, ErrorKind::io}] = {{1, name}};
  report.remedy.inhibited = report.remedy.breaker_open = true;
  report.remedy.inhibited_reason = report.remedy.breaker_detail = report.remedy.record_trouble = name;
  report.actions = {{NamespaceId{1}, ConnectionId{1}, Outcome::vetoed, name, 0s, 1s, true}};
  StuckExit exit;
  exit.thread = finding.blocked_threads[0];
  report.findings.stuck_exits = {exit};
}

}  // namespace

TEST_CASE("nothing hostile changes the page, only its text") {
  const std::string plain = render_status_page(changed(deadlocked_view(), [](Report& r) { make_hostile(r, "name"); }));
  const auto count = [](const Node& page) { return page.find("").size(); };
  for (const std::string& name :
       {std::string("<script>alert(1)</script>"), std::string("\"><img src=x onerror=alert(1)>"),
        std::string("</style></svg></title><b>"), std::string("' onload='x"), std::string("-->]]><!--&#60;"),
        std::string("\xE2\x80\xAE\xFF\x1B[2J\n"), std::string(256, '"'), std::string("`code`")}) {
    CAPTURE(name);
    const std::string text = render_status_page(changed(deadlocked_view(), [&](Report& r) { make_hostile(r, name); }));
    check_sound(text);
    CHECK(count(*parse_page(text)) == count(*parse_page(plain)));
    CHECK(text.find(name) == (name == "`code`" ? text.find("`code`") : std::string::npos));
    CHECK(std::all_of(text.begin(), text.end(),
                      [](char byte) { return byte == '\n' || static_cast<unsigned char>(byte) >= 0x20; }));
  }
}

TEST_CASE("of thousands the page shows some, and how many more there are") {
  const std::string name(256, '"');
  const View view = changed(deadlocked_view(), [&](Report& report) {
    make_hostile(report, name);
    Findings& findings = report.findings;
    BlockedThread thread = findings.namespaces[0].blocked_threads[0];
    thread.stack.assign(128, "fuse_" + std::string(60, 's'));
    findings.namespaces[0].blocked_threads.assign(30, thread);  // more would take gigabytes
    findings.namespaces[0].blocked_thread_count = 20'000;
    const NamespaceFinding one = findings.namespaces[0];
    findings.namespaces.clear();
    for (pid_t pid = 0; pid < 150; ++pid) {
      findings.namespaces.push_back(one);
      findings.namespaces.back().init.pid = 5000 + pid;
      report.decisions.push_back(report.decisions[0]);
    }
    for (pid_t pid = 0; pid < 500; ++pid) {
      findings.stuck_exits.push_back({thread, {}, {}});
      findings.stuck_exits.back().thread.id.tid = 9000 + pid;
    }
    NamespaceFinding young = one;
    young.stuck = false;
    findings.namespaces.resize(300, young);
    findings.connections.resize(3'000, findings.connections[0]);
    for (std::uint64_t i = 0; i < 200; ++i) report.gaps[{"file" + std::to_string(i), ErrorKind::io}] = i;
  });
  const std::string text = render_status_page(view);
  check_sound(text);
  CHECK(text.size() < 4U << 20U);
  const auto page = parse_page(text);
  CHECK(page->find("article").size() == 30);
  for (const char* rest :
       {"and 19990 more blocked threads", "and 50 more stuck PID namespaces", "and 451 more stuck exits",
        "and 2800 more connections", "and 100 more dying PID namespaces", "and 151 more kinds of gaps"}) {
    CAPTURE(rest);
    CHECK(says(*page, rest));
  }
  CHECK(page->find("table").front()->find("tr").size() == 201);
}
