// SPDX-License-Identifier: Apache-2.0
// The story of one that cannot die: its picture, its evidence, what holds defused back, and what a person is told to
// do.
#include <algorithm>
#include <catch2/catch.hpp>

#include "exporters/http/pages.h"
#include "exporters/http/status_story.h"
#include "exporters/http/status_words.h"
#include "model/sentences.h"
#include "page_tree.h"
#include "status_cases.h"

using namespace defused;
using namespace defused::test;

namespace {

std::unique_ptr<Node> page_of(const std::function<void(Report&)>& change) {
  return parse_page(render_status_page(changed(deadlocked_view(), change)));
}

bool says(const Node& node, const std::string& text) { return node.all_text().find(text) != std::string::npos; }

std::string picture_in_words(const Node& page) { return page.one("svg.picture").one("desc").all_text(); }

std::vector<std::string> commands_of(const Node& page) {
  std::vector<std::string> out;
  for (const Node* command : page.one(".todo").find(".type")) out.push_back(command->all_text());
  return out;
}

bool names_abort(const Node& page) {
  const auto commands = commands_of(page);
  return std::find(commands.begin(), commands.end(), "defused abort 40") != commands.end();
}

// The values of a description list by their terms.
std::map<std::string, std::string> facts_of(const Node& list) {
  std::map<std::string, std::string> out;
  const auto terms = list.find("dt");
  const auto values = list.find("dd");
  REQUIRE(terms.size() == values.size());
  for (std::size_t i = 0; i < terms.size(); ++i) out[terms[i]->all_text()] = values[i]->all_text();
  return out;
}

void unchanged(Report&) {}

void set_wait(Report& report, WaitClass wait_class) {
  BlockedThread& thread = stuck_in(report).blocked_threads[0];
  stuck_in(report).verdict = thread.verdict = Verdict::not_fuse;
  stuck_in(report).wait_class = thread.wait_class = wait_class;
  thread.connection.reset();
  thread.candidates.clear();
}

}  // namespace

TEST_CASE("the picture of the deadlock: from init round to the process that is its own server") {
  const auto page = page_of(unchanged);
  CHECK(picture_in_words(*page) ==
        "init, process 4690 ('docker-init'; waits until all others are dead) \u2192 waits for the end of \u2192 "
        "process 4711 ('ndrive') \u2192 has the thread \u2192 thread 4713 ('ndrive'; told to die and cannot (state D)) "
        "\u2192 waits: fuse_flush \u2192 request: FLUSH (sent when a file is closed; no answer for 3 min 12 s) \u2192 "
        "in \u2192 connection 40 (fuse.s3fs; models; at /var/lib/docker/volumes/models/_data; 1 request waits) "
        "\u2192 never answered \u2192 \u2715 server: process 4711 ('ndrive'; dying: the blocked process itself; "
        "evidence: proven).");
  const Node& picture = page->one("svg.picture");
  CHECK(picture.find("rect").size() == 6);
  CHECK(picture.find("g.arrow").size() == 6);  // five between them, and the one that leads back
  CHECK(picture.find("g.dead").size() == 1);
  CHECK(picture.find("g.stuck").size() == 2);
}

TEST_CASE("every box lies below the one before it, and all within the picture") {
  for (const ServerState state : AllWords<ServerState>::values) {
    const auto page = page_of([&](Report& report) { set_server(report, state, Verdict::undetermined); });
    const Node& picture = page->one("svg.picture");
    int bottom = 0;
    for (const Node* box : picture.find("svg")) {
      const int y = std::stoi(box->attribute("y"));
      CHECK((bottom == 0 || y >= bottom + 20));
      bottom = y + std::stoi(box->attribute("height"));
      for (const Node* text : box->find("text")) CHECK(std::stoi(text->attribute("y")) < bottom - y - 4);
    }
    CHECK(bottom == std::stoi(picture.attribute("height")));
  }
}

TEST_CASE("the server in each state: by a word, a sign and a line, not by colour alone") {
  const auto server = [](ServerState state) {
    const auto page = page_of([&](Report& report) { set_server(report, state, Verdict::undetermined); });
    const std::string words = picture_in_words(*page);
    return words.substr(words.find("request waits) ") + 15);
  };
  CHECK(server(ServerState::none) ==
        "\u2192 never answered \u2192 \u2715 no server (none: nobody holds its /dev/fuse; evidence: proven).");
  CHECK(server(ServerState::dying) ==
        "\u2192 never answered \u2192 \u2715 server: process 900 ('s3fs'; dying: it cannot answer; evidence: proven).");
  CHECK(server(ServerState::alive) ==
        "\u2192 may be answered \u2192 \u2713 server: process 900 ('s3fs'; alive: it may still answer; evidence: "
        "proven).");
  CHECK(server(ServerState::unknown) ==
        "\u2192 answered by whom? \u2192 ? server (unknown: nobody knows who holds it).");
}

TEST_CASE("one box for what is one: a leader that waits, an init that waits") {
  const auto leader = page_of([](Report& report) { stuck_in(report).blocked_threads[0].id.tid = 4711; });
  CHECK(says(*leader, "process 4711 ('ndrive'; told to die and cannot (state D))"));
  CHECK(leader->one("svg.picture").find("rect").size() == 5);
  const auto init = page_of([](Report& report) {
    stuck_in(report).state = DyingState::init_blocked;
    stuck_in(report).init.pid = 4711;
    stuck_in(report).blocked_threads[0].id.tid = 4711;
  });
  CHECK(picture_in_words(*init).rfind("init, process 4711 ('docker-init'; told to die and cannot (state D)) ", 0) == 0);
  CHECK(init->one("svg.picture").find("rect").size() == 4);
  const auto thread_of_init = page_of([](Report& report) {
    stuck_in(report).state = DyingState::init_blocked;
    stuck_in(report).init.pid = 4711;
  });
  CHECK(picture_in_words(*thread_of_init)
            .rfind("init, process 4711 ('docker-init'; was told to die and cannot) \u2192 has the thread ", 0) == 0);
}

TEST_CASE("of several threads the picture shows the one that decides, and how many more there are") {
  const auto page = page_of([](Report& report) {
    NamespaceFinding& finding = stuck_in(report);
    finding.blocked_threads.resize(3, finding.blocked_threads[0]);
    finding.blocked_threads[2].id.tid = 4799;
    finding.blocked_thread_count = 7;
  });
  CHECK(says(*page, "told to die and cannot (state D); and 6 more blocked threads)"));
  CHECK(says(*page, "thread 4799 (ndrive) of process 4711: fuse_flush on connection 40, deadlocked, for 3 min 12 s"));
}

TEST_CASE("a connection that is one of several, or none that is known") {
  const auto several = page_of([](Report& report) {
    BlockedThread& thread = stuck_in(report).blocked_threads[0];
    thread.connection.reset();
    thread.candidates = {{40}, {44}, {51}};
    thread.attribution = Attribution::ambiguous;
    stuck_in(report).verdict = Verdict::undetermined;
  });
  CHECK(says(*several, "3 possible connections (40, 44, 51; nothing tells which) \u2192 answered by whom?"));
  CHECK(facts_of(*several->one(".rest").find("dl").front())
            .at("connection")
            .rfind("one of 40, 44, 51, attribution ambiguous", 0) == 0);
  CHECK_FALSE(names_abort(*several));
  const auto none = page_of([](Report& report) { stuck_in(report).blocked_threads[0].connection.reset(); });
  CHECK(says(*none, "1 possible connection (40; nothing tells which)"));
}

TEST_CASE("each wait that is not FUSE: what it waits for, and no abort") {
  const std::map<WaitClass, std::string> ends = {{WaitClass::aio, "asynchronous I/O"},
                                                 {WaitClass::io_uring, "io_uring ("},
                                                 {WaitClass::nfs, "an NFS server"},
                                                 {WaitClass::cifs, "an SMB (CIFS) server"},
                                                 {WaitClass::ceph, "a Ceph server"},
                                                 {WaitClass::p9, "a 9p server"},
                                                 {WaitClass::block_io, "a block device"},
                                                 {WaitClass::unreaped_child, "parent ("},
                                                 {WaitClass::ptrace, "tracer ("},
                                                 {WaitClass::coredump, "a core dump"},
                                                 {WaitClass::freezer, "a frozen control group"},
                                                 {WaitClass::other, "? something outside FUSE (sleeps in request"},
                                                 {WaitClass::unknown, "? not known"}};
  for (const WaitClass wait_class : AllWords<WaitClass>::values) {
    if (is_fuse(wait_class)) continue;
    CAPTURE(to_string(wait_class));
    const auto page = page_of([&](Report& report) { set_wait(report, wait_class); });
    const std::string arrow = "\u2192 waits: " + std::string(to_string(wait_class)) + " \u2192 ";
    CHECK(picture_in_words(*page).find(arrow + ends.at(wait_class)) != std::string::npos);
    CHECK(commands_of(*page) == std::vector<std::string>{"defused explain namespace:4026532178"});
    CHECK(says(page->one(".todo"), "An abort of a FUSE connection would not help."));
    CHECK_FALSE(says(page->one(".todo"), "destroys"));
  }
  const auto parent = page_of([](Report& report) {
    set_wait(report, WaitClass::unreaped_child);
    stuck_in(report).blocked_threads[0].awaited = NamedProcess{77, "entry<b>"};
  });
  CHECK(says(*parent, "parent, process 77 ('entry<b>'; has not taken it away (wait))"));
  CHECK(says(parent->one(".todo"), "The one who has to act is process 77 (entry<b>)."));
}

TEST_CASE("io_uring that waits in a connection: the picture goes on to the server") {
  const auto page =
      page_of([](Report& report) { stuck_in(report).blocked_threads[0].wait_class = WaitClass::io_uring; });
  CHECK(says(*page, "io_uring (requests in flight are not done) \u2192 in \u2192 connection 40"));
}

TEST_CASE("the evidence") {
  const auto page = page_of([](Report& report) {
    wedged_in(report).outside_viewers = 3;
    wedged_in(report).viewers = {{12, "bash"}};
    wedged_in(report).outside_users.reset();
  });
  auto facts = facts_of(*page->one(".rest").find("dl").front());
  CHECK(facts["container"] == "docker 4f5e6d7c8b9a0123456789abcdef0123456789abcdef0123456789abcdef0123");
  CHECK(facts["pod UID"] == "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0");
  CHECK(facts["PID namespace"] ==
        "4026532178, reaping. Its init is dead but for one thing: it waits until every process in it is dead too.");
  CHECK(facts["init"] == "4690 (docker-init); in the namespace: 1 process");
  CHECK(
      facts["waits for"] ==
      "fuse_flush. It closes a file on FUSE and waits until the server has answered that (FLUSH). It has not run for 3 "
      "min 12 s, in 38 samples in a row.");
  CHECK(facts["connection"] ==
        "40, attribution exact; told by the kernel itself (BPF): it stands in the queue of that connection.");
  CHECK(facts["server"] == "dying, proven. Holders of its /dev/fuse: 4711 (ndrive) dying, state Z");
  CHECK(facts["open files outside"] == "not known");
  CHECK(facts["mounted outside"] == "3: 12 (bash) and 2 more");
  CHECK(page->find("code.id").size() == 3);  // what one tap selects: container, pod, namespace
}

TEST_CASE("the stack: every frame, the telling ones marked") {
  const auto page = page_of(unchanged);
  std::vector<std::string> marked;
  for (const Node* frame : page->one("ol.stack").find("mark")) marked.push_back(frame->all_text());
  CHECK(marked == std::vector<std::string>{"request_wait_answer", "fuse_simple_request", "fuse_flush", "filp_close",
                                           "put_files_struct", "do_exit"});
  CHECK(page->one("ol.stack").find("li").size() == 9);
  for (const char* frame : {"zap_pid_ns_processes", "exit_mm", "__fuse_request_send", "nfs_wait_bit_killable"})
    CHECK(page::is_telling(frame));
  for (const char* frame : {"schedule", "get_signal", "do_group_exit", "", "xfuse", "my_do_exit"}) {
    CAPTURE(frame);
    CHECK(page::is_telling(frame) == (std::string(frame) == "xfuse"));
  }
  const auto wchan = page_of([](Report& report) {
    stuck_in(report).blocked_threads[0].stack.clear();
    stuck_in(report).blocked_threads[0].wchan = "request_wait_answer";
  });
  CHECK(wchan->one("ol.stack").all_text() == "request_wait_answer (wchan; the stack itself was not read)");
}

TEST_CASE("the decision: every gate that holds, with what it looks at") {
  for (const Gate gate : AllWords<Gate>::values) {
    CAPTURE(to_string(gate));
    const auto page = page_of([&](Report& report) { report.decisions[0].reasons = {gate, Gate::vetoed}; });
    CHECK(says(page->one(".rest"), "hold, held by 2 gates:"));
    const auto terms = page->one("dl.gates").find("dt");
    const auto values = page->one("dl.gates").find("dd");
    REQUIRE(terms.size() == 2);
    CHECK(terms[0]->all_text() == to_string(gate));
    std::string words(gate_words(gate).looks_at);
    std::erase(words, '`');
    CHECK(values[0]->all_text() == words + ".");
  }
  const auto acting = page_of([](Report& report) {
    report.decisions[0].action = Action::abort;
    report.decisions[0].reasons.clear();
  });
  CHECK(says(acting->one(".rest"), "abort: no gate holds."));
  CHECK(says(acting->one(".todo"), "defused aborts connection 40 itself"));
  CHECK_FALSE(names_abort(*acting));
}

TEST_CASE("an abort is named only where it would go through, with what it destroys") {
  CHECK(commands_of(*page_of(unchanged)) ==
        std::vector<std::string>{"defused explain namespace:4026532178", "defused abort 40"});
  CHECK(says(page_of(unchanged)->one(".destroys"), "what they had not yet written is lost; the fuse.s3fs file system"));
  for (const Gate gate : AllWords<Gate>::values) {
    CAPTURE(to_string(gate));
    const bool age = gate == Gate::too_young || gate == Gate::too_few_samples;
    const auto page = page_of([&](Report& report) { report.decisions[0].reasons = {Gate::mode, gate}; });
    CHECK(names_abort(*page) == (age || gate == Gate::mode));
    CHECK(page->has(".destroys") == (age || gate == Gate::mode));
    CHECK(says(page->one(".todo"), "--override REASON") == age);
    if (!age && gate != Gate::mode) {
      CHECK(says(page->one(".todo"), "defused abort 40 would refuse: held by " + std::string(to_string(gate)) + "."));
    }
  }
  CHECK_FALSE(names_abort(*page_of([](Report& report) { report.decisions.clear(); })));
  CHECK_FALSE(names_abort(*page_of([](Report& report) { report.decisions[0].connection = ConnectionId{44}; })));
}

namespace {

// The oldest waits on 41, and the gates were asked for 40, on which a younger one waits.
void make_two_connections(Report& report) {
  NamespaceFinding& finding = stuck_in(report);
  ConnectionFinding other = wedged_in(report);
  other.id = {41};
  report.findings.connections.push_back(other);
  BlockedThread older = finding.blocked_threads[0];
  older.id.tid = 4714;
  older.connection = ConnectionId{41};
  older.candidates = {{41}};
  finding.blocked_threads.insert(finding.blocked_threads.begin(), older);
  finding.connections = {{40}, {41}};
}

// One of 40 and 41, both in the same state.
void make_two_candidates(Report& report, ServerState state, Verdict verdict, char process_state = 'S') {
  set_server(report, state, verdict, process_state);
  ConnectionFinding other = wedged_in(report);
  other.id = {41};
  for (Server& server : other.servers) server.id.pid = 901;
  report.findings.connections.push_back(other);
  BlockedThread& thread = stuck_in(report).blocked_threads[0];
  thread.connection.reset();
  thread.candidates = {{40}, {41}};
  report.decisions[0].connection.reset();
  report.decisions[0].reasons.push_back(Gate::connection_ambiguous);
}

}  // namespace

TEST_CASE("two connections: the story is of the one that was decided about, and nothing is refused unasked") {
  const auto page = page_of(make_two_connections);
  CHECK(commands_of(*page).back() == "defused abort 40");
  CHECK(says(*page, "connection 40 (fuse.s3fs"));
  CHECK(says(*page, "thread 4714 (ndrive) of process 4711: fuse_flush on connection 41"));
  CHECK_FALSE(says(*page, "thread 4713 (ndrive) of process 4711"));
  CHECK_FALSE(says(*page, "would refuse"));
  const auto outside = page_of([](Report& report) {
    make_two_connections(report);
    StuckExit exit;
    exit.thread = stuck_in(report).blocked_threads[0];
    report.findings.stuck_exits = {exit};
  });
  CHECK(says(*outside->find(".todo").back(),
             "This connection was not judged: the gates were asked for connection 40, which holds the same PID "
             "namespace."));
  CHECK_FALSE(says(*outside, "would refuse"));
}

TEST_CASE("what only waits for its turn is not refused by hand") {
  const auto page = page_of([](Report& report) {
    report.decisions[0].reasons = {Gate::rate_limited};
    report.decisions[0].abort_budget = 3;
  });
  CHECK(names_abort(*page));
  CHECK_FALSE(says(page->one(".todo"), "refuse"));
}

TEST_CASE("one of several connections, on none of which anybody can answer") {
  for (const ServerState state : {ServerState::none, ServerState::dying}) {
    const auto page = page_of([&](Report& report) { make_two_candidates(report, state, Verdict::deadlocked); });
    CHECK(commands_of(*page) == std::vector<std::string>{"defused explain namespace:4026532178"});
    CHECK(says(page->one(".todo"),
               "It waits in one of the connections 40, 41. Nothing tells in which, and nobody alive can answer on any "
               "of them. defused abort would refuse each: held by connection_ambiguous."));
    CHECK_FALSE(says(*page, "about to answer"));
    CHECK(says(*page, "\u2192 never answered \u2192 \u2715 no server on any of them (nobody alive can answer)."));
    const auto facts = facts_of(*page->one(".rest").find("dl").front());
    CHECK(facts.at("server of 41").rfind(std::string(to_string(state)), 0) == 0);
  }
}

TEST_CASE("one of several connections, all of whose servers live: what to do about each") {
  const auto page = page_of(
      [](Report& report) { make_two_candidates(report, ServerState::alive, Verdict::waiting_on_live_server, 'T'); });
  CHECK(commands_of(*page) ==
        std::vector<std::string>{"kill -CONT 900", "kill -CONT 901", "defused explain namespace:4026532178"});
  for (const char* id : {"40", "41"})
    CHECK(says(page->one(".todo"), std::string("Do not abort connection ") + id + ". Its server is alive"));
  CHECK(says(*page, "\u2713 their servers are alive (process 900:; alive, but stopped (state T))."));
}

TEST_CASE("a server that a tracer stopped: the tracer has to let go") {
  const auto page =
      page_of([](Report& report) { set_server(report, ServerState::alive, Verdict::waiting_on_live_server, 't'); });
  CHECK(commands_of(*page) ==
        std::vector<std::string>{"grep TracerPid /proc/900/status", "defused explain namespace:4026532178"});
  CHECK(says(page->one(".todo"), "is stopped by a tracer (state t"));
  CHECK_FALSE(says(page->one(".todo"), "has not answered yet"));
  CHECK(says(*page, "('s3fs'; alive, held by a tracer (state t); evidence: proven)."));
  CHECK_FALSE(says(*page, "state T"));
}

TEST_CASE("an init that cannot die itself waits for nobody: it is told, or no arrow leads from it") {
  const auto beside = page_of([](Report& report) { stuck_in(report).state = DyingState::init_blocked; });
  CHECK(picture_in_words(*beside).rfind(
            "init, process 4690 ('docker-init'; was told to die and cannot); beside it, in the same namespace: "
            "process 4711 ('ndrive') \u2192 has the thread \u2192 thread 4713",
            0) == 0);
  CHECK_FALSE(says(*beside, "waits for the end of"));
  CHECK(beside->one("svg.picture").find("g.arrow").size() == 6);
  CHECK(beside->one("svg.picture").find("path.shaft").size() == 5);
  const auto init = page_of([](Report& report) {
    NamespaceFinding& finding = stuck_in(report);
    finding.state = DyingState::init_blocked;
    finding.blocked_threads.push_back(finding.blocked_threads[0]);
    finding.blocked_threads[1].pid = 4690;
    finding.blocked_threads[1].id.tid = 4690;
  });
  CHECK(picture_in_words(*init).rfind("init, process 4690 ('docker-init'; told to die and cannot (state D)", 0) == 0);
  CHECK_FALSE(says(*init, "waits for the end of"));
}

TEST_CASE("who has files open outside would lose them: no abort") {
  const auto page = page_of([](Report& report) {
    wedged_in(report).outside_users = 2;
    wedged_in(report).users = {{31, "rsync"}};
  });
  CHECK_FALSE(names_abort(*page));
  CHECK(says(page->one(".todo"),
             "Do not abort connection 40 yet. Live processes outside would lose their files on it: 31 "
             "(rsync) and 1 more."));
}

TEST_CASE("a server that lives, or that is not known: what to look at instead") {
  const auto running =
      page_of([](Report& report) { set_server(report, ServerState::alive, Verdict::waiting_on_live_server); });
  CHECK(commands_of(*running) == std::vector<std::string>{"timeout 2 cat /proc/900/task/*/stack",
                                                          "journalctl -n 50 _PID=900",
                                                          "defused explain namespace:4026532178"});
  CHECK(says(running->one(".todo"), "Do not abort connection 40. Its server is alive"));
  const auto stopped =
      page_of([](Report& report) { set_server(report, ServerState::alive, Verdict::waiting_on_live_server, 'T'); });
  CHECK(commands_of(*stopped).front() == "kill -CONT 900");
  for (const ServerState state : {ServerState::unknown, ServerState::none, ServerState::dying}) {
    const auto page = page_of([&](Report& report) { set_server(report, state, Verdict::undetermined); });
    CHECK(commands_of(*page) ==
          std::vector<std::string>{"defused explain namespace:4026532178 --samples 10 --every 1s"});
  }
}

TEST_CASE("a stuck exit is told like the others, and is never acted on") {
  const auto page = page_of([](Report& report) {
    StuckExit exit;
    exit.thread = stuck_in(report).blocked_threads[0];
    exit.since = stuck_in(report).since;
    report.findings.stuck_exits = {exit};
    report.findings.stuck_exit_count = 9;
    report.findings.namespaces.clear();
    report.decisions.clear();
  });
  CHECK(page->one("h1").all_text() == "\u2715 At least 1 process cannot exit");
  CHECK(commands_of(*page) == std::vector<std::string>{"defused explain pid:4711"});
  CHECK(says(page->one(".todo"), "defused shows it and never acts on it"));
  CHECK(picture_in_words(*page).rfind("process 4711 \u2192 has the thread \u2192 thread 4713", 0) == 0);
  CHECK(page->one("h3").all_text() == "process 4711 ndrive");
}

TEST_CASE("a stuck exit on the connection of a stuck namespace: the abort that frees one frees both") {
  const auto page = page_of([](Report& report) {
    StuckExit exit;
    exit.thread = stuck_in(report).blocked_threads[0];
    report.findings.stuck_exits = {exit};
  });
  for (const Node* todo : page->find(".todo")) CHECK(says(*todo, "defused abort 40"));
  CHECK_FALSE(says(*page, "would refuse"));
}

TEST_CASE("a namespace whose number was not read is asked for by its init") {
  const auto page = page_of([](Report& report) { stuck_in(report).id.inode = 0; });
  CHECK(commands_of(*page).front() == "defused explain pid:4690");
}

TEST_CASE("words: ages and cuts") {
  CHECK(page::age_in_words(400ms) == "under 1 s");
  CHECK(page::age_in_words(59s) == "59 s");
  CHECK(page::age_in_words(192s) == "3 min 12 s");
  CHECK(page::age_in_words(60s) == "1 min 00 s");
  CHECK(page::age_in_words(2h + 5min) == "2 h 05 min");
  CHECK(page::age_in_words(99h) == "4 d 3 h");
  CHECK(page::cut("abcdef", 6) == "abcdef");
  CHECK(page::cut("abcdefg", 6) == "abcd..");
  CHECK(page::cut("\xE6\xBC\xA2\xE6\xBC\xA2\xE6\xBC\xA2", 6) == "\xE6\xBC\xA2\xE6\xBC\xA2\xE6\xBC\xA2");
  CHECK(page::cut("\xE6\xBC\xA2\xE6\xBC\xA2\xE6\xBC\xA2\xE6\xBC\xA2", 7) == "\xE6\xBC\xA2\xE6\xBC\xA2..");
  CHECK(page::cut("", 3).empty());
}
