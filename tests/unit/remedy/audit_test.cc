// SPDX-License-Identifier: Apache-2.0
// The audit log: what its records say, and that a line is on disk, whole, or refused.
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <csignal>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>

#include "fakes.h"
#include "remedy/audit_record.h"
#include "remedy/remedy.h"

using namespace std::chrono_literals;

namespace defused {

namespace {

namespace fs = std::filesystem;  // for a directory of our own only
using nlohmann::json;

class StateDirectory {
 public:
  StateDirectory() {
    std::string name = "/tmp/defused-audit-XXXXXX";
    REQUIRE(mkdtemp(name.data()) != nullptr);
    base_ = name;
  }
  StateDirectory(const StateDirectory&) = delete;
  StateDirectory& operator=(const StateDirectory&) = delete;
  ~StateDirectory() {
    std::error_code ignored;
    fs::remove_all(base_, ignored);
  }
  [[nodiscard]] fs::path path() const { return base_ / "state"; }
  [[nodiscard]] fs::path file() const { return path() / "audit.jsonl"; }
  void write(const std::string& text) const {
    fs::create_directories(path());
    std::ofstream(file(), std::ios::binary) << text;
  }
  [[nodiscard]] std::string text() const {
    std::ifstream in(file(), std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }

 private:
  fs::path base_;
};

mode_t mode_of(const fs::path& path) {
  struct stat found {};
  REQUIRE(stat(path.c_str(), &found) == 0);
  return found.st_mode & 07777U;
}

LedgerEntry make_entry(const RemedyOrder& order) {
  return {order.connection.id, order.connection.directory_inode, order.finding.id, 1h, 1'795'522'500s, std::nullopt};
}

// No file may grow beyond `bytes` while this lives: writes become short, then fail.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) : before_handler_(std::signal(SIGXFSZ, SIG_IGN)) {
    REQUIRE(getrlimit(RLIMIT_FSIZE, &before_) == 0);
    const rlimit limit{bytes, before_.rlim_max};
    REQUIRE(setrlimit(RLIMIT_FSIZE, &limit) == 0);
  }
  FileSizeLimit(const FileSizeLimit&) = delete;
  FileSizeLimit& operator=(const FileSizeLimit&) = delete;
  ~FileSizeLimit() {
    setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, before_handler_);
  }

 private:
  rlimit before_{};
  void (*before_handler_)(int);
};

}  // namespace

TEST_CASE("The intent has the whole evidence") {
  Asked asked = make_clear_case();
  asked.finding().container = Container{"0123abcd", "docker", ""};
  asked.connection().source = "https://key:secret@host/bucket?token=x";
  asked.connection().servers = {{{7, 8}, "nd\xff", ServerState::dying}};
  asked.connection().server_state = ServerState::dying;
  const RemedyOrder order = make_order(asked);
  const std::string line = render_intent(order, make_entry(order));
  CHECK(line.find('\n') == std::string::npos);
  CHECK(line.find("secret") == std::string::npos);
  const json record = json::parse(line);
  CHECK(record["schema"] == "defused.audit/v1");
  CHECK(record["record"] == "intent");
  CHECK(record["time"] == "2026-11-24T12:15:00.000Z");
  CHECK(record["intent_time"] == record["time"]);
  CHECK(record["pid_namespace"] == 4'026'532'040U);
  CHECK(record["connection"] == 40);
  CHECK(record["directory_inode"] == 9040);
  const json& finding = record["evidence"]["pid_namespace"];
  CHECK(finding["init"] == json({{"pid", 100}, {"start_ticks", 4000}, {"comm", "docker-init"}}));
  CHECK(finding["verdict"] == "deadlocked");
  CHECK(finding["stuck_seconds"] == 90);
  CHECK(finding["container"]["id"] == "0123abcd");
  const json& thread = finding["blocked_threads"][0];
  CHECK(thread["tid"] == 1040);
  CHECK(thread["start_ticks"] == 5000);
  CHECK(thread["context_switches"] == 17);
  CHECK(thread["stack"] == json({"request_wait_answer", "fuse_flush", "do_exit"}));
  CHECK(thread["attribution"] == "only_candidate");
  const json& connection = record["evidence"]["connection"];
  CHECK(connection["directory_inode"] == 9040);
  CHECK(connection["mount_ids"] == json({77}));
  CHECK(connection["outside_users"] == 0);
  CHECK(connection["outside_viewers"] == 0);
  CHECK(connection["servers"][0]["state"] == "dying");
  CHECK(connection["servers"][0]["comm"] == "nd\xEF\xBF\xBD");
  CHECK(connection["server_evidence"] == "proven");
  CHECK(record["evidence"]["decision"] == json({{"action", "abort"}, {"reasons", json::array()}, {"connection", 40}}));
}

TEST_CASE("A record is bounded, and keeps the threads that decide") {
  RemedyOrder order = make_order(make_clear_case());
  const BlockedThread deciding = order.finding.blocked_threads.front();
  order.finding.blocked_threads.assign(3 * kMaxListed, make_waiting_thread(2000, 41));
  order.finding.blocked_threads.push_back(deciding);
  const json record = json::parse(render_intent(order, make_entry(order)));
  const json& finding = record["evidence"]["pid_namespace"];
  CHECK(finding["blocked_thread_count"] == 3 * kMaxListed + 1);
  CHECK(finding["blocked_threads"].size() == kMaxListed);
  CHECK(finding["blocked_threads"][0]["tid"] == deciding.id.tid);
}

TEST_CASE("Outcomes belong to their intent") {
  const RemedyOrder order = make_order(make_clear_case());
  const LedgerEntry entry = make_entry(order);
  const Instant now{2h, entry.at_wall + 1500ms};
  OutcomeRecord outcome{order.finding.id, order.connection.id, Outcome::released, "it is gone", 91'500ms};
  json record = json::parse(render_outcome(entry, outcome, now));
  CHECK(record == json({{"schema", "defused.audit/v1"},
                        {"record", "outcome"},
                        {"time", "2026-11-24T12:15:01.500Z"},
                        {"intent_time", "2026-11-24T12:15:00.000Z"},
                        {"pid_namespace", 4'026'532'040U},
                        {"connection", 40},
                        {"directory_inode", 9040},
                        {"outcome", "released"},
                        {"detail", "it is gone"},
                        {"recovery_seconds", 91.5}}));
  outcome.outcome = Outcome::interrupted;
  record = json::parse(render_interrupted(entry, outcome, now));
  CHECK(record["record"] == "interrupted");
  CHECK(record["recovery_seconds"].is_null());
}

TEST_CASE("Lines are appended to a file that only its owner reads") {
  const StateDirectory state;
  AuditFile audit(state.path().string());
  REQUIRE(audit.append("one"));
  REQUIRE(audit.append("two"));
  CHECK(state.text() == "one\ntwo\n");
  CHECK(mode_of(state.path()) == 0700);
  CHECK(mode_of(state.file()) == 0600);
  REQUIRE(AuditFile(state.path().string() + "/").append("three"));
  CHECK(state.text() == "one\ntwo\nthree\n");
}

TEST_CASE("A line with a newline inside is refused") {
  const StateDirectory state;
  const auto appended = AuditFile(state.path().string()).append("one\n{\"forged\":true}");
  REQUIRE_FALSE(appended);
  CHECK(appended.error().kind == ErrorKind::malformed);
  CHECK_FALSE(fs::exists(state.file()));
}

TEST_CASE("A torn last line is ended first") {
  const StateDirectory state;
  state.write("one\n{\"torn");
  REQUIRE(AuditFile(state.path().string()).append("two"));
  CHECK(state.text() == "one\n{\"torn\ntwo\n");
}

TEST_CASE("A write that is cut short is an error, and the next line is whole again") {
  const StateDirectory state;
  AuditFile audit(state.path().string());
  REQUIRE(audit.append("one"));
  {
    const FileSizeLimit limit(10);
    const auto appended = audit.append("0123456789");
    REQUIRE_FALSE(appended);
    CHECK(appended.error().kind == ErrorKind::io);
    CHECK_THAT(appended.error().message, Catch::EndsWith("audit.jsonl: writing: File too large"));
  }
  CHECK(state.text() == "one\n012345");
  REQUIRE(audit.append("two"));
  CHECK(state.text() == "one\n012345\ntwo\n");
}

TEST_CASE("Checking writes nothing, but for the file itself") {
  const StateDirectory state;
  const AuditFile audit(state.path().string());
  REQUIRE(audit.check());
  CHECK(mode_of(state.file()) == 0600);
  CHECK(state.text() == "");
  state.write("one\n{\"torn");
  REQUIRE(audit.check());
  CHECK(state.text() == "one\n{\"torn");
}

TEST_CASE("What is no file of ours is refused") {
  const StateDirectory state;
  fs::create_directories(state.path());
  AuditFile audit(state.path().string());
  SECTION("a link") {
    fs::create_symlink("/dev/null", state.file());
    CHECK_THAT(audit.append("one").error().message, Catch::Contains("Too many levels of symbolic links"));
  }
  SECTION("a FIFO, without waiting for its reader") {
    REQUIRE(mkfifo(state.file().c_str(), 0600) == 0);
    CHECK_THAT(audit.append("one").error().message, Catch::EndsWith("is not a regular file"));
  }
  SECTION("a directory") {
    fs::create_directory(state.file());
    CHECK_FALSE(audit.append("one"));
  }
  CHECK_FALSE(audit.check());
}

TEST_CASE("A state directory that cannot be made") {
  const StateDirectory state;
  SECTION("its parent is missing") {
    const auto checked = AuditFile((state.path() / "deeper").string()).check();
    REQUIRE_FALSE(checked);
    CHECK(checked.error().kind == ErrorKind::gone);
    CHECK_THAT(checked.error().message, Catch::StartsWith("creating "));
  }
  SECTION("a file stands there") {
    std::ofstream(state.path()) << "x";
    CHECK(AuditFile(state.path().string()).append("one").error().kind == ErrorKind::io);
  }
}

}  // namespace defused
