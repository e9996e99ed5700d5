// SPDX-License-Identifier: Apache-2.0
#include "exposition.h"

#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <catch2/catch.hpp>
#include <regex>
#include <set>
#include <sstream>

#include "base/text.h"

namespace defused {

namespace {

// HELP, TYPE and samples of one family, as they follow each other.
class Reader {
 public:
  void read(const std::string& line) {
    CAPTURE(line);
    std::smatch match;
    if (std::regex_match(line, match, std::regex("# HELP ([a-z_]+) (.+)"))) {
      REQUIRE(names_.insert(match[1]).second);
      families_.push_back({match[1], match[2], "", {}, {}});
    } else if (std::regex_match(line, match, std::regex("# TYPE ([a-z_]+) (counter|gauge|histogram)"))) {
      REQUIRE(families_.back().name == match[1]);
      REQUIRE(families_.back().type.empty());
      families_.back().type = match[2];
    } else {
      read_sample(line);
    }
  }

  std::vector<ReadFamily> take() {
    for (const ReadFamily& family : families_) {
      CAPTURE(family.name);
      CHECK_FALSE(family.type.empty());
      CHECK_FALSE(family.samples.empty());
    }
    return std::move(families_);
  }

 private:
  void read_sample(const std::string& line) {
    static const std::regex kForm(R"(([a-z_]+)(\{(?:[a-z_]+="(?:[^"\\]|\\["\\n])*",?)+\})? ([-+.e0-9]+|\+Inf))");
    std::smatch match;
    REQUIRE(std::regex_match(line, match, kForm));
    ReadFamily& family = families_.back();
    const std::string name = match[1];
    REQUIRE(name.rfind(family.name, 0) == 0);
    const std::string suffix = name.substr(family.name.size());
    const std::set<std::string> known =
        family.type == "histogram" ? std::set<std::string>{"_bucket", "_sum", "_count"} : std::set<std::string>{""};
    REQUIRE(known.count(suffix) == 1);
    REQUIRE(family.samples.emplace(suffix + match[2].str(), std::stod(match[3])).second);
    std::vector<std::string> labels;
    const std::string braces = match[2];
    const std::regex label(R"(([a-z_]+)="(?:[^"\\]|\\.)*")");
    for (std::sregex_iterator it(braces.begin(), braces.end(), label); it != std::sregex_iterator(); ++it) {
      if ((*it)[1] != "le") labels.push_back((*it)[1]);
    }
    if (family.samples.size() == 1) family.labels = labels;
    REQUIRE(family.labels == labels);
  }

  std::vector<ReadFamily> families_;
  std::set<std::string> names_;
};

}  // namespace

std::vector<ReadFamily> read_exposition(const std::string& text) {
  REQUIRE(!text.empty());
  REQUIRE(text.back() == '\n');
  Reader reader;
  std::istringstream lines(text);
  std::string line;
  while (std::getline(lines, line)) {
    REQUIRE(sanitize(line, line.size()) == line);  // UTF-8, and no control character
    reader.read(line);
  }
  return reader.take();
}

std::pair<int, std::string> check_with_promtool(const std::string& text) {
  std::string name = "/tmp/defused-metrics-XXXXXX";
  const int file = mkstemp(name.data());
  REQUIRE(write(file, text.data(), text.size()) == static_cast<ssize_t>(text.size()));
  lseek(file, 0, SEEK_SET);
  std::array<int, 2> told{};
  REQUIRE(pipe(told.data()) == 0);
  const pid_t child = fork();
  if (child == 0) {
    dup2(file, STDIN_FILENO);
    dup2(told[1], STDOUT_FILENO);
    dup2(told[1], STDERR_FILENO);
    execlp("promtool", "promtool", "check", "metrics", nullptr);
    _exit(127);
  }
  close(told[1]);
  std::string words;
  std::array<char, 4096> buffer{};
  for (ssize_t got = 0; (got = read(told[0], buffer.data(), buffer.size())) > 0;)
    words.append(buffer.data(), static_cast<std::size_t>(got));
  int status = 0;
  waitpid(child, &status, 0);
  close(told[0]);
  close(file);
  unlink(name.c_str());
  return {WEXITSTATUS(status), words};
}

bool has_line(const std::string& text, const std::string& line) {
  return ("\n" + text).find("\n" + line + "\n") != std::string::npos;
}

NamespaceFinding stuck_namespace(std::uint64_t inode) {
  NamespaceFinding finding;
  finding.id = {inode};
  finding.init = {4711, 99};
  finding.init_comm = "init";
  finding.state = DyingState::reaping;
  finding.wait_class = WaitClass::fuse_flush;
  finding.verdict = Verdict::deadlocked;
  finding.evidence = Evidence::proven;
  finding.since = 1000s;
  finding.stuck = true;
  finding.container = Container{"abc\\xff\"<script>", "docker", "uid"};
  finding.connections = {{40}, {41}};
  return finding;
}

View view_of(Report report) {
  View view;
  PassResult pass;
  pass.report = std::move(report);
  for (const Action action : AllWords<Action>::values) pass.memory.counters.decisions[action] = 0;
  for (const Outcome outcome : AllWords<Outcome>::values) pass.memory.counters.aborts[outcome] = 0;
  pass.memory.counters.scans = 7;
  pass.memory.counters.scan_duration = Histogram{{0.1, 1}, {5, 2, 0}, 0.9};
  view.pass = std::make_shared<const PassResult>(std::move(pass));
  return view;
}

Report stuck_report() {
  Report report;
  report.scanned_at = 2000s;
  report.kernel.release = "6.18.44";
  report.kernel.max_request_timeout_seconds = 0;
  report.kernel.default_request_timeout_seconds = 30;
  report.blind = {"fusectl"};
  report.findings.namespaces = {stuck_namespace(4026532178)};
  ConnectionFinding connection;
  connection.id = {40};
  connection.fstype = "fuse.s3fs";
  connection.source = "https://user:secret@bucket/path?token=1";
  connection.waiting = 3;
  connection.stalled_since = 1000s;
  connection.server_state = ServerState::none;
  ConnectionFinding healthy;
  healthy.id = {42};
  healthy.waiting = 1;
  report.findings.connections = {connection, healthy};
  Decision decision;
  decision.reasons = {Gate::mode, Gate::too_young};
  report.decisions = {decision};
  return report;
}

}  // namespace defused
