// SPDX-License-Identifier: Apache-2.0
// The audit log as a file: a line is on disk, whole, or refused; and none is lost when it is rotated.
#include "remedy/audit_file.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <string>

#include "base/unique_fd.h"
#include "state_directory.h"

namespace defused {

namespace {

namespace fs = std::filesystem;  // for a directory of our own only

constexpr const char* kFile = "audit.jsonl";

AuditFile open_log(const StateDirectory& state, std::uint64_t max_bytes = 1U << 20U, std::uint32_t max_files = 4) {
  return {state.path(), {max_bytes, max_files}};
}

std::uint64_t blocks_of(const fs::path& path) {
  struct stat found {};
  REQUIRE(stat(path.c_str(), &found) == 0);
  return static_cast<std::uint64_t>(found.st_blocks) * 512;
}

}  // namespace

TEST_CASE("Lines are appended to a file that only its owner reads") {
  const StateDirectory state;
  AuditFile audit = open_log(state);
  REQUIRE(audit.append("one"));
  REQUIRE(audit.append_lazily("two"));
  CHECK(state.text(kFile) == "one\ntwo\n");
  CHECK(mode_of(state.path()) == 0700);
  CHECK(mode_of(state.file(kFile)) == 0600);
  REQUIRE(AuditFile(state.path() + "/", {1000, 4}).append("three"));
  CHECK(state.text(kFile) == "one\ntwo\nthree\n");
}

TEST_CASE("A line with a newline inside, or one that is too long, is refused") {
  const StateDirectory state;
  AuditFile audit = open_log(state, 100U << 20U);
  CHECK(audit.append("one\n{\"forged\":true}").error().kind == ErrorKind::malformed);
  CHECK(audit.append_lazily("one\n{\"forged\":true}").error().kind == ErrorKind::malformed);
  const auto appended = audit.append(std::string(AuditFile::kMaxLine + 1, 'x'));
  REQUIRE_FALSE(appended);
  CHECK(appended.error().kind == ErrorKind::unsupported);
  CHECK(appended.error().message == "a line for the audit log has 2097153 bytes, at most 2097152 are allowed");
  CHECK_FALSE(fs::exists(state.path()));
  CHECK(audit.append(std::string(AuditFile::kMaxLine, 'x')));
}

TEST_CASE("A torn last line is ended first") {
  const StateDirectory state;
  state.write(kFile, "one\n{\"torn");
  REQUIRE(open_log(state).append("two"));
  CHECK(state.text(kFile) == "one\n{\"torn\ntwo\n");
}

TEST_CASE("A write that is cut short is an error, and the next line is whole again") {
  const StateDirectory state;
  AuditFile audit = open_log(state);
  REQUIRE(audit.append("one"));
  {
    const FileSizeLimit limit(10);
    const auto appended = audit.append("0123456789");
    REQUIRE_FALSE(appended);
    CHECK(appended.error().kind == ErrorKind::io);
    CHECK_THAT(appended.error().message, Catch::EndsWith("audit.jsonl: writing: File too large"));
  }
  CHECK(state.text(kFile) == "one\n012345");
  REQUIRE(audit.append("two"));
  CHECK(state.text(kFile) == "one\n012345\ntwo\n");
}

TEST_CASE("The file is rotated before a line that would make it too long") {
  const StateDirectory state;
  AuditFile audit = open_log(state, 8, 2);
  for (const char* line : {"one", "two"}) REQUIRE(audit.append(line));
  CHECK(state.names() == std::vector<std::string>{kFile});
  CHECK(state.text(kFile) == "one\ntwo\n");
  REQUIRE(audit.append("three"));
  CHECK(state.text(kFile) == "three\n");
  CHECK(state.text("audit.jsonl.1") == "one\ntwo\n");
  REQUIRE(audit.append_lazily("four"));
  CHECK(state.text("audit.jsonl.1") == "three\n");
  CHECK(state.text("audit.jsonl.2") == "one\ntwo\n");
  REQUIRE(audit.append("five is longer than a file may be"));
  CHECK(state.text(kFile) == "five is longer than a file may be\n");
  CHECK(state.text("audit.jsonl.1") == "four\n");
  CHECK(state.text("audit.jsonl.2") == "three\n");
  CHECK(state.names() == std::vector<std::string>{kFile, "audit.jsonl.1", "audit.jsonl.2"});
  CHECK(mode_of(state.file(kFile)) == 0600);
}

TEST_CASE("A torn line counts with the newline that ends it") {
  const StateDirectory state;
  AuditFile audit = open_log(state, 8, 1);
  state.write(kFile, "tor");
  REQUIRE(audit.append("one"));
  CHECK(state.text(kFile) == "tor\none\n");
  state.write(kFile, "torn");
  REQUIRE(audit.append("one"));
  CHECK(state.text(kFile) == "one\n");
  CHECK(state.text("audit.jsonl.1") == "torn");
}

TEST_CASE("Where no old one is to be kept, it is removed") {
  const StateDirectory state;
  AuditFile audit = open_log(state, 8, 0);
  for (const char* line : {"one", "two", "three"}) REQUIRE(audit.append(line));
  CHECK(state.text(kFile) == "three\n");
  CHECK(state.names() == std::vector<std::string>{kFile});
}

TEST_CASE("Fewer files than before: those that are too many go, what is not ours stays") {
  const StateDirectory state;
  AuditFile audit = open_log(state, 4, 4);
  for (const char* line : {"1", "22", "333", "444", "555", "666"}) REQUIRE(audit.append(line));
  for (const char* name : {"audit.jsonl.0", "audit.jsonl.01", "audit.jsonl.old"}) state.write(name, "mine");
  CHECK(state.text("audit.jsonl.4") == "22\n");
  audit.set_settings({4, 2});
  REQUIRE(audit.append("777"));
  CHECK(state.names() == std::vector<std::string>{kFile, "audit.jsonl.0", "audit.jsonl.01", "audit.jsonl.1",
                                                  "audit.jsonl.2", "audit.jsonl.old"});
  CHECK(state.text("audit.jsonl.2") == "555\n");
}

TEST_CASE("A gap in the chain is no trouble, a directory in it is") {
  const StateDirectory state;
  AuditFile audit = open_log(state, 4, 3);
  state.write("audit.jsonl.2", "old\n");
  REQUIRE(audit.append("one"));
  REQUIRE(audit.append("two"));
  CHECK(state.text("audit.jsonl.1") == "one\n");
  CHECK(state.text("audit.jsonl.3") == "old\n");
  fs::create_directory(state.file("audit.jsonl.2"));
  REQUIRE(audit.append("six"));  // the directory moves up
  const auto appended = audit.append("ten");
  REQUIRE_FALSE(appended);
  CHECK_THAT(appended.error().message, Catch::StartsWith("rotating " + state.path() + "/audit.jsonl: removing "));
  CHECK(state.text(kFile) == "six\n");
}

TEST_CASE("While somebody else rotates, a line goes into the file that is there") {
  const StateDirectory state;
  AuditFile audit = open_log(state, 4, 2);
  REQUIRE(audit.append("one"));
  {
    const UniqueFd other(open(state.file(kFile).c_str(), O_RDONLY | O_CLOEXEC));
    REQUIRE(flock(other.get(), LOCK_EX) == 0);
    REQUIRE(audit.append("two"));
    CHECK(state.text(kFile) == "one\ntwo\n");
  }
  REQUIRE(audit.append("ten"));
  CHECK(state.text(kFile) == "ten\n");
}

TEST_CASE("Several processes append and rotate, and no line is lost or torn") {
  const StateDirectory state;
  constexpr int kWriters = 4;
  constexpr int kLines = 200;
  // Far more files than are made: what rotation removes by order would not be a loss.
  AuditFile audit = open_log(state, 200, 2000);
  REQUIRE(audit.append("start"));
  std::vector<pid_t> writers;
  for (int writer = 0; writer < kWriters; ++writer) {
    writers.push_back(fork());
    REQUIRE(writers.back() >= 0);
    if (writers.back() != 0) continue;
    bool well = true;
    for (int i = 0; i < kLines; ++i) {
      well = audit.append_lazily("line " + std::to_string(writer) + " " + std::to_string(i)) && well;
    }
    _exit(well ? 0 : 1);
  }
  for (const pid_t writer : writers) {
    int status = 0;
    REQUIRE(waitpid(writer, &status, 0) == writer);
    CHECK(status == 0);
  }
  std::set<std::string> lines;
  std::size_t count = 0;
  for (const std::string& name : state.names()) {
    constexpr std::size_t kLongest = sizeof "line 0 199\n" - 1;
    if (name != kFile) CHECK(fs::file_size(state.file(name)) + kLongest > 200);  // none was rotated twice
    std::istringstream text(state.text(name));
    for (std::string line; std::getline(text, line); ++count) lines.insert(line);
  }
  CHECK(count == kWriters * kLines + 1);
  CHECK(lines.size() == kWriters * kLines + 1);
  CHECK(state.names().size() > 1);
}

// The remover is a rotation that keeps no file. It holds each one that it removed: what stood in there before it went
// is not lost, what came later is, unless it stands elsewhere too.
TEST_CASE("A line that came into a file after that was removed is written again") {
  const StateDirectory state;
  constexpr int kLines = 20'000;
  AuditFile audit = open_log(state);
  REQUIRE(audit.append("start"));
  const pid_t writer = fork();
  REQUIRE(writer >= 0);
  if (writer == 0) {
    for (int i = 0; i < kLines; ++i) {
      if (!audit.append_lazily("line " + std::to_string(i))) _exit(1);
    }
    _exit(0);
  }
  std::string seen;
  int status = 0;
  while (waitpid(writer, &status, WNOHANG) == 0) {
    poll(nullptr, 0, 2);
    const UniqueFd file(open(state.file(kFile).c_str(), O_RDONLY | O_CLOEXEC));
    struct stat found {};
    // One in which nothing stands yet is just being made, which takes an fsync.
    if (!file || fstat(file.get(), &found) != 0 || found.st_size == 0) continue;
    if (unlink(state.file(kFile).c_str()) != 0) continue;
    REQUIRE(fstat(file.get(), &found) == 0);
    std::string text(static_cast<std::size_t>(found.st_size), '\0');
    REQUIRE(pread(file.get(), text.data(), text.size(), 0) == found.st_size);
    seen += text;
  }
  CHECK(status == 0);
  seen += state.text(kFile);
  std::set<std::string> lines;
  std::istringstream text(seen);
  for (std::string line; std::getline(text, line);) lines.insert(line);
  CHECK(lines.size() == kLines + 1);
}

TEST_CASE("Checking writes nothing, but takes room") {
  const StateDirectory state;
  const AuditFile audit = open_log(state);
  REQUIRE(audit.check());
  CHECK(mode_of(state.file(kFile)) == 0600);
  CHECK(state.text(kFile).empty());
  state.write(kFile, "one\n{\"torn");
  REQUIRE(audit.check());
  CHECK(state.text(kFile) == "one\n{\"torn");
  CHECK(state.names() == std::vector<std::string>{kFile});
  CHECK(blocks_of(state.file(kFile)) >= AuditFile::kReserve);
}

TEST_CASE("A disk that is too full is seen, and what was checked can be written on it") {
  const StateDirectory state;
  fs::create_directories(state.path());
  AuditFile audit = open_log(state, 100U << 20U);
  const auto on_disk = [&](std::size_t bytes, const std::function<int()>& check) {
    return run_on_small_disk(state.path(), bytes, check);
  };
  const auto check = [&] { return audit.check() ? 0 : 1; };
  const int first = on_disk(AuditFile::kReserve / 2, check);
  if (first == 77) {
    WARN("not tried, mounting is not possible here");
    return;
  }
  CHECK(first == 1);
  CHECK(on_disk(2 * AuditFile::kReserve, check) == 0);
  CHECK(on_disk(AuditFile::kReserve / 2, [&] { return run_without_fallocate(check); }) == 1);
  CHECK(on_disk(2 * AuditFile::kReserve, [&] { return run_without_fallocate(check); }) == 0);
  CHECK(on_disk(2 * AuditFile::kReserve, [&] {
          if (!audit.check()) return 2;
          // Whoever fills the disk now takes nothing of what was checked.
          const UniqueFd filler(open((state.path() + "/filler").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
          const std::string block(65'536, 'x');
          while (write(filler.get(), block.data(), block.size()) > 0) {
          }
          if (errno != ENOSPC) return 3;
          const std::string line(AuditFile::kMaxLine - 1, 'y');
          return audit.append(line) && audit.append(line) ? 0 : 4;
        }) == 0);
}

TEST_CASE("What is no file of ours is refused") {
  const StateDirectory state;
  fs::create_directories(state.path());
  AuditFile audit = open_log(state);
  SECTION("a link") {
    fs::create_symlink("/dev/null", state.file(kFile));
    CHECK_THAT(audit.append("one").error().message, Catch::Contains("Too many levels of symbolic links"));
  }
  SECTION("a FIFO, without waiting for its reader") {
    REQUIRE(mkfifo(state.file(kFile).c_str(), 0600) == 0);
    CHECK_THAT(audit.append("one").error().message, Catch::EndsWith("is not a regular file"));
  }
  SECTION("a directory") {
    fs::create_directory(state.file(kFile));
    CHECK_FALSE(audit.append("one"));
  }
  CHECK_FALSE(audit.check());
}

TEST_CASE("A state directory that cannot be made") {
  const StateDirectory state;
  SECTION("its parent is missing") {
    const auto checked = AuditFile(state.path() + "/deeper", {}).check();
    REQUIRE_FALSE(checked);
    CHECK(checked.error().kind == ErrorKind::gone);
    CHECK_THAT(checked.error().message, Catch::StartsWith("creating "));
  }
  SECTION("a file stands there") {
    std::ofstream(state.path()) << "x";
    CHECK(open_log(state).append("one").error().kind == ErrorKind::io);
  }
}

}  // namespace defused
