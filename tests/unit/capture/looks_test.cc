// SPDX-License-Identifier: Apache-2.0
// Looks as one tree and the way back, whatever changed between them; and what is no such tree.
#include "capture/looks.h"

#include <catch2/catch.hpp>
#include <string>

namespace defused {

namespace {

FileTree first_look() {
  FileTree tree;
  tree.add_file("proc/1/status", "Name:\tinit\n");
  tree.add_file("proc/17/status", "Name:\tcat\n");
  tree.add_file("proc/17/task/18/stack", "request_wait_answer\n");
  tree.add_link("proc/17/ns/pid", "pid:[1]");
  tree.add_directory("sys/fs/fuse/connections/40");
  tree.add_file("look.json", "{}\n");
  tree.add_file("errors", "");
  return tree;
}

// 17 is gone, 19 is new, a file is a directory now and the reverse, a link leads elsewhere.
FileTree second_look() {
  FileTree tree = first_look();
  tree.remove("proc/17");
  tree.remove("sys/fs/fuse/connections/40");
  tree.remove("proc/1/status");
  tree.add_file("proc/1/status/inner", "x");
  tree.add_file("sys/fs/fuse/connections/40", "y");
  tree.add_link("proc/19/ns/pid", "pid:[2]");
  return tree;
}

std::string trouble_of(const FileTree& tree) {
  const auto looks = split_looks(tree);
  REQUIRE_FALSE(looks);
  CHECK(looks.error().kind == ErrorKind::malformed);
  return looks.error().message;
}

}  // namespace

TEST_CASE("looks come back from the tree in which they are joined") {
  FileTree third = first_look();
  third.add_file("look.json", "{3}\n");
  const std::vector<FileTree> looks = {first_look(), second_look(), second_look(), third};
  const FileTree joined = join_looks(looks);
  CHECK(joined.find("proc/17/status") != nullptr);
  CHECK(joined.find("later/1/proc/1/status/inner") != nullptr);
  CHECK(joined.find("later/1/look.json") == nullptr);  // the same
  CHECK(joined.find("later/1/gone")->text == "proc/1/status\nproc/17\nsys/fs/fuse/connections/40\n");
  CHECK(joined.find("later/2/gone")->text.empty());
  const auto back = split_looks(joined);
  REQUIRE(back);
  CHECK(*back == looks);
}

TEST_CASE("what lies beside the looks stays with the first") {
  FileTree joined = join_looks({first_look(), second_look()});
  joined.add_file("about.json", "{}");
  joined.add_file("state/ledger.json", "{}");
  const auto looks = split_looks(joined);
  REQUIRE(looks);
  CHECK(looks->at(0).find("state/ledger.json") != nullptr);
  CHECK(looks->at(1) == second_look());
}

TEST_CASE("one look is one look") {
  const auto looks = split_looks(first_look());
  REQUIRE(looks);
  CHECK(*looks == std::vector<FileTree>{first_look()});
}

TEST_CASE("later looks that are not numbered as they should be are told in one sentence") {
  const auto with = [](const char* path) {
    FileTree tree = first_look();
    tree.add_file(path, "x");
    return tree;
  };
  CHECK(trouble_of(with("later")) == "later: expected a directory");
  const std::string expected = "later/: expected directories with the numbers from 1 to 99, got ";
  CHECK(trouble_of(with("later/x/proc")) == expected + "'x'");
  CHECK(trouble_of(with("later/01/proc")) == expected + "'01'");
  CHECK(trouble_of(with("later/0/proc")) == expected + "'0'");
  CHECK(trouble_of(with("later/100/proc")) == expected + "'100'");
  CHECK(trouble_of(with("later/1")) == expected + "'1'");
  CHECK(trouble_of(with("later/2/proc")) == "later/: 1 is missing between the others");
}

TEST_CASE("what is gone is told by paths, and by nothing that would take away all") {
  for (const char* lines : {"\n", "proc/17\n\n", "proc/17\n..\n", "/proc/17\n", "proc/17/\n", "proc//17"}) {
    CAPTURE(lines);
    FileTree tree = join_looks({first_look(), second_look()});
    tree.add_file("later/1/gone", lines);
    CHECK(trouble_of(tree).find("expected a path such as \"proc/17\"") != std::string::npos);
    CHECK(trouble_of(tree).rfind("later/1/gone: line ", 0) == 0);
  }
}

TEST_CASE("errors come back as they were written") {
  const std::map<std::string, ReadRecorder::Failed> errors = {
      {"proc/1/fdinfo", {ErrorKind::denied, 13}}, {"bpf/waits", {ErrorKind::unsupported, 0}}, {"", {ErrorKind::io, 5}}};
  const std::string text = render_errors(errors);
  CHECK(text == "io 5 \nunsupported 0 bpf/waits\ndenied 13 proc/1/fdinfo\n");
  CHECK(parse_errors(text).value() == errors);
  CHECK(parse_errors("")->empty());
  CHECK(render_errors({{"a\nb", {ErrorKind::io, 5}}}).empty());
}

TEST_CASE("errors that are none are told with their line") {
  for (const char* line : {"denied", "denied x proc/1", "refused 13 proc/1", "denied -1 proc/1", "denied 13 ../1", "",
                           "denied 4294967296 proc/1"}) {
    CAPTURE(line);
    const auto errors = parse_errors("denied 13 proc/1/stack\n" + std::string(line) + "\n");
    REQUIRE_FALSE(errors);
    CHECK(errors.error().message == R"(errors: line 2: expected "KIND ERRNO PATH", such as "denied 13 proc/1/fdinfo")");
  }
}

}  // namespace defused
