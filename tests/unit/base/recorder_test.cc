// SPDX-License-Identifier: Apache-2.0
// What is kept of readings: the last ones, within bounds, under the paths that a hook sees.
#include "base/recorder.h"

#include <catch2/catch.hpp>
#include <cerrno>
#include <filesystem>
#include <string>
#include <vector>

#include "base/beneath.h"
#include "temporary_directory.h"

namespace defused {

namespace {

namespace fs = std::filesystem;  // for trees of our own only
using ReadKind = ReadRecorder::Kind;

class RecordedTree {
 public:
  RecordedTree() {
    fs::create_directories(root_.file("17/task/18"));
    write("17/status", "Name:\tcat\n");
    write("17/task/note", "x");
    write("uptime", "1 2\n");
    fs::create_symlink("pid:[17]", root_.file("17/ns"));
  }
  [[nodiscard]] std::string path() const { return root_.path(); }
  void write(const std::string& name, const std::string& text) const { root_.write(name, text); }

 private:
  TemporaryDirectory root_;
};

std::vector<std::string> paths(const ReadRecorder& recorder) {
  std::vector<std::string> found;
  for (const auto& [path, entry] : recorder.entries()) found.push_back(path);
  return found;
}

}  // namespace

TEST_CASE("the last reading of a path is kept") {
  ReadRecorder recorder(100);
  recorder.note("17/status", ReadKind::file, "first");
  recorder.note("17/status", ReadKind::link, "second!");
  REQUIRE(recorder.entries().size() == 1);
  CHECK(recorder.entries().at("17/status").text == "second!");
  CHECK(recorder.entries().at("17/status").kind == ReadKind::link);
  CHECK(recorder.bytes() == 9 + 7);
  recorder.note("17/status", ReadKind::file, "");
  CHECK(recorder.bytes() == 9);
  CHECK(recorder.left_out() == 0);
}

TEST_CASE("a beginning takes the place of nothing but a shorter one") {
  ReadRecorder recorder(100);
  const auto text = [&] { return recorder.entries().at("m").text; };
  recorder.note("m", ReadKind::file, "ab", false);
  CHECK(text() == "ab");
  CHECK_FALSE(recorder.entries().at("m").whole);
  recorder.note("m", ReadKind::file, "x", false);
  CHECK(text() == "ab");
  recorder.note("m", ReadKind::file, "xyz", false);
  CHECK(text() == "xyz");
  recorder.note("m", ReadKind::file, "w");
  CHECK(text() == "w");
  CHECK(recorder.entries().at("m").whole);
  recorder.note("m", ReadKind::file, "longer", false);
  CHECK(text() == "w");
}

TEST_CASE("what does not fit is left out and counted, and does not leave an older reading behind") {
  ReadRecorder recorder(10);
  recorder.note("a", ReadKind::file, "12345");
  recorder.note("b", ReadKind::file, "1234");  // 6 + 5
  CHECK(paths(recorder) == std::vector<std::string>{"a"});
  CHECK(recorder.left_out() == 1);
  recorder.note("b", ReadKind::file, "123");
  CHECK(paths(recorder) == std::vector<std::string>{"a", "b"});
  CHECK(recorder.bytes() == 10);
  recorder.note("a", ReadKind::file, "123456");
  CHECK(paths(recorder) == std::vector<std::string>{"b"});
  CHECK(recorder.bytes() == 4);
  CHECK(recorder.left_out() == 2);
}

TEST_CASE("files, links and listings are recorded under the paths that a hook sees") {
  const RecordedTree tree;
  std::vector<std::string> seen;
  auto root = Beneath::open_root(tree.path(), [&](std::string_view path) -> std::optional<Error> {
    seen.emplace_back(path);
    return std::nullopt;
  });
  REQUIRE(root);
  ReadRecorder recorder(10'000);
  root->record_to(&recorder);
  bool truncated = false;
  REQUIRE(root->read_file("uptime"));
  REQUIRE(root->list_numbers(".", 10, truncated));
  const auto process = root->open_directory("17");
  REQUIRE(process);
  REQUIRE(process->read_file("status"));
  REQUIRE(process->read_link("ns"));
  REQUIRE(process->list("task", 10, truncated));
  REQUIRE(process->open_directory("task").value().list(".", 10, truncated));
  CHECK_FALSE(process->read_file("absent"));
  CHECK(seen == std::vector<std::string>{"uptime", ".", "17", "17/status", "17/ns", "17/task", "17/task", "17/task/.",
                                         "17/absent"});
  CHECK(paths(recorder) == std::vector<std::string>{"", "17/ns", "17/status", "17/task", "uptime"});
  const auto& entries = recorder.entries();
  CHECK(entries.at("").text == "17/\n");  // only what was asked for: numbers
  CHECK(entries.at("").kind == ReadKind::directory);
  CHECK(entries.at("17/ns").text == "pid:[17]");
  CHECK(entries.at("17/ns").kind == ReadKind::link);
  CHECK(entries.at("17/status").text == "Name:\tcat\n");
  const std::string listing = entries.at("17/task").text;
  CHECK((listing == "18/\nnote\n" || listing == "note\n18/\n"));
  root->record_to(nullptr);
  REQUIRE(root->read_file("17/status"));
  CHECK(recorder.entries().size() == 5);
}

TEST_CASE("a beginning is recorded as one, and what need not be is not") {
  const RecordedTree tree;
  auto root = Beneath::open_root(tree.path(), {}, "proc/");
  REQUIRE(root);
  ReadRecorder recorder(10'000);
  root->record_to(&recorder);
  CHECK(root->read_file("17/status", 4)->truncated);
  CHECK(recorder.entries().at("proc/17/status").text == "Name");
  CHECK_FALSE(recorder.entries().at("proc/17/status").whole);
  CHECK(root->read_unrecorded("uptime", 100)->text == "1 2\n");
  CHECK(recorder.entries().size() == 1);
  root->note_read("uptime", ReadKind::file, "1");
  CHECK(recorder.entries().at("proc/uptime").text == "1");
  root->note_read(".", ReadKind::directory, "17/\n");
  CHECK(recorder.entries().at("proc").kind == ReadKind::directory);
}

TEST_CASE("an error is kept beside what was read before, until it can be read again") {
  ReadRecorder recorder(100);
  recorder.note("a", ReadKind::file, "text");
  recorder.note_error("a", {ErrorKind::timeout, kNotAsked});
  recorder.note_error("b", {ErrorKind::denied, 13});
  recorder.note_error("c", {ErrorKind::gone, 2});
  CHECK(recorder.entries().at("a").text == "text");
  REQUIRE(recorder.errors().size() == 2);
  CHECK(recorder.errors().at("a") == ReadRecorder::Failed{ErrorKind::timeout, kNotAsked});
  recorder.note_error("b", {ErrorKind::io, 5});
  CHECK(recorder.errors().at("b") == ReadRecorder::Failed{ErrorKind::io, 5});
  recorder.note("a", ReadKind::file, "again");
  CHECK(recorder.errors().size() == 1);
  CHECK(recorder.bytes() == 6);
}

TEST_CASE("what does not fit is an error, and errors are bounded too") {
  ReadRecorder recorder(10);
  recorder.note("abcd", ReadKind::file, "1234567");
  CHECK(recorder.left_out() == 1);
  CHECK(recorder.errors().at("abcd") == ReadRecorder::Failed{ErrorKind::unsupported, 0});
  recorder.note_error("ef", {ErrorKind::io, 5});
  CHECK(recorder.left_out() == 2);  // 4 + 2 are more than half of 10
  CHECK(recorder.errors().size() == 1);
  recorder.note("abcd", ReadKind::file, "");
  recorder.note_error("ef", {ErrorKind::io, 5});
  CHECK(recorder.errors().count("ef") == 1);
}

TEST_CASE("what cannot be opened, read, listed or followed is noted under the path that a hook sees") {
  const RecordedTree tree;
  std::string denied = "17/status";
  auto root = Beneath::open_root(tree.path(), [&](std::string_view path) -> std::optional<Error> {
    if (path != denied) return std::nullopt;
    return Error{ErrorKind::denied, "as the test wants", EACCES};
  });
  REQUIRE(root);
  ReadRecorder recorder(10'000);
  root->record_to(&recorder);
  bool truncated = false;
  const auto process = root->open_directory("17").value();
  CHECK_FALSE(process.read_file("status"));
  CHECK_FALSE(process.read_file("task"));            // a directory: EISDIR
  CHECK_FALSE(process.read_link("task"));            // no link: EINVAL, or nothing to say
  CHECK_FALSE(root->list("uptime", 10, truncated));  // no directory: ENOTDIR
  CHECK_FALSE(root->read_file("absent"));
  const auto& errors = recorder.errors();
  CHECK(errors.at("17/status") == ReadRecorder::Failed{ErrorKind::denied, EACCES});
  CHECK(errors.at("17/task").code != 0);
  CHECK(errors.at("uptime").code == ENOTDIR);
  CHECK(errors.count("absent") == 0);
  denied = ".";
  CHECK_FALSE(root->list_numbers(".", 10, truncated));
  CHECK(errors.count("") == 1);
  denied = "";
  CHECK(root->list_numbers(".", 10, truncated));
  CHECK(errors.count("") == 0);
}

TEST_CASE("what is put off is noted like what failed, and put off again where a hook says so") {
  const RecordedTree tree;
  std::optional<Error> told;
  auto root = Beneath::open_root(tree.path(), [&](std::string_view) { return told; });
  REQUIRE(root);
  ReadRecorder recorder(10'000);
  root->record_to(&recorder);
  CHECK_FALSE(root->is_put_off("17/status", false));
  CHECK(recorder.errors().empty());
  CHECK(root->is_put_off("17/status", true));
  CHECK(recorder.errors().at("17/status") == ReadRecorder::Failed{ErrorKind::timeout, kNotAsked});
  told = Error{ErrorKind::denied, "", EACCES};
  CHECK_FALSE(root->is_put_off("17/ns", false));
  told = Error{ErrorKind::timeout, "", 0};  // of the file, not of the time
  CHECK_FALSE(root->is_put_off("17/ns", false));
  told = Error{ErrorKind::timeout, "", kNotAsked};
  CHECK(root->is_put_off("17/ns", false));
  CHECK(recorder.errors().count("17/ns") == 1);
}

TEST_CASE("listings come in one order, whatever the file system") {
  const RecordedTree tree;
  for (const char* name : {"9", "10", "100", "8"}) tree.write(std::string("17/task/") + name, "");
  const auto root = Beneath::open_root(tree.path() + "/17");
  REQUIRE(root);
  bool truncated = false;
  CHECK(root->list("task", 10, truncated).value() == std::vector<std::string>{"8", "9", "10", "18", "100", "note"});
  std::vector<std::uint64_t> numbers;
  const auto entries = root->list_numbers("task", 10, truncated);
  REQUIRE(entries);
  for (const NumberedEntry& entry : *entries) numbers.push_back(entry.number);
  CHECK(numbers == std::vector<std::uint64_t>{8, 9, 10, 18, 100});
}

}  // namespace defused
