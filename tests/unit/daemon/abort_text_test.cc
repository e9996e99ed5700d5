// SPDX-License-Identifier: Apache-2.0
// What is read before an act that cannot be undone fits the terminal, and is told in full where there is none.
#include "daemon/abort_text.h"

#include <catch2/catch.hpp>
#include <sstream>

#include "stuck_pass.h"

using namespace defused;

namespace {

PassResult make_pass() {
  NamespaceFinding finding;
  finding.init = ProcessId{4700, 1};
  finding.init_comm = "docker-init";
  finding.container = Container{std::string(64, 'a'), "docker", ""};
  finding.verdict = Verdict::deadlocked;
  finding.evidence = Evidence::proven;
  finding.stuck_for = 192s;
  BlockedThread thread;
  thread.id.tid = 4702;
  thread.pid = 4701;
  thread.comm = "s3fs";
  thread.wait_class = WaitClass::fuse_flush;
  thread.connection = kConnection;
  thread.blocked_for = 190s;
  BlockedThread elsewhere = thread;
  elsewhere.id.tid = 4709;
  elsewhere.connection = ConnectionId{41};
  finding.blocked_threads = {thread, elsewhere};
  ConnectionFinding connection;
  connection.fstype = "fuse.s3fs";
  connection.source = "bucket";
  connection.mount_points = {"/mnt/a", "/mnt/b"};
  connection.waiting = 2;
  return make_stuck_pass(finding, connection, {Gate::too_young, Gate::outside_users});
}

const std::vector<GateInWords> kGates = {
    {kNamespace, Gate::too_young, "not stuck, or for less than min_stuck",
     "a server that restarts gets the time to answer"},
    {kNamespace, Gate::outside_users, "live processes outside with open files", "they would lose their files"}};

std::string render_all(const Screen& screen) {
  const PassResult pass = make_pass();
  const Report& report = pass.report;
  return render_abort_subject(report, report.findings.connections[0], report.decisions, ExposeSource::full, screen) +
         render_gates(kGates, screen) + render_abort_question(kConnection, screen) + "\n" +
         render_abort_outcome({kNamespace, kConnection, Outcome::partly_released, "one thread is left", 0s, 1s, true},
                              screen);
}

std::string joined(std::string text) {
  std::istringstream words(text);
  std::string out;
  for (std::string word; words >> word;) out += word + " ";
  return out;
}

}  // namespace

TEST_CASE("texts of abort fit the terminal and say the same at each width") {
  const std::string whole = render_all({});
  for (const std::size_t width : {40U, 60U, 80U, 120U}) {
    CAPTURE(width);
    const std::string text = render_all({width, false});
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
      CAPTURE(line);
      const bool one_word = line.find(' ', line.find_first_not_of(' ')) == std::string::npos;
      CHECK((count_columns(line) <= width || one_word));
    }
    CHECK(joined(text) == joined(whole));
  }
}

TEST_CASE("texts of abort name the connection, what it holds, the gates and the end") {
  const std::string text = render_all({});
  CHECK(text.rfind("40 fuse.s3fs 'bucket' at /mnt/a, /mnt/b; 2 requests waiting; server ", 0) == 0);
  CHECK(text.find("\nholds PID namespace 4026532178 (init 4700 'docker-init', docker " + std::string(64, 'a') +
                  "): deadlocked (proven), stuck for 3m12s\n  thread 4702 (s3fs) of process 4701: fuse_flush on "
                  "connection 40") != std::string::npos);
  CHECK(text.find("4709") == std::string::npos);  // waits for another connection
  CHECK(text.find("\nheld by too_young: not stuck, or for less than min_stuck (a server that restarts gets the time to "
                  "answer)\nheld by outside_users: ") != std::string::npos);
  CHECK(text.find("is lost.\nType its number, 40, to go on: \n") != std::string::npos);
  CHECK(text.find("partly_released") != std::string::npos);
  CHECK(text.find('\033') == std::string::npos);
}

TEST_CASE("texts of abort have colours where they are wanted") {
  const std::string text = render_all({80, true});
  CHECK(text.rfind("\033[1m40 fuse.s3fs", 0) == 0);
  CHECK(text.find("\033[33mheld by too_young") != std::string::npos);
  CHECK(text.find("\033[1;31mAn abort is final") != std::string::npos);
}
