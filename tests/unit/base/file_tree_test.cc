// SPDX-License-Identifier: Apache-2.0
// Trees in memory: which paths may stand in one, what a recording becomes, and the bytes for another process.
#include "base/file_tree.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <string>

namespace defused {

namespace {

using Kind = FileTree::Kind;

std::string list(const FileTree& tree) {
  std::string out;
  for (const auto& [path, node] : tree.nodes()) {
    out += path + (node.kind == Kind::directory ? "/ " : node.kind == Kind::link ? "@ " : " ");
  }
  return out;
}

FileTree sample() {
  FileTree tree;
  tree.add_file("proc/17/status", "Name:\tcat\n");
  tree.add_link("proc/17/ns/pid", "pid:[1]");
  tree.add_file("proc-x", "");
  tree.add_directory("sys/fs");
  return tree;
}

}  // namespace

TEST_CASE("plain paths are relative, printable and lead nowhere else") {
  for (const char* path : {"a", "a/b", "...", "a b/c", "a/.b", "\xc3\xa4"}) CHECK(FileTree::is_plain(path));
  for (const char* path : {"", "/", "/a", "a/", "a//b", ".", "..", "./a", "a/..", "a/../b", "a\nb", "\x1b", "\xff"}) {
    CAPTURE(path);
    CHECK_FALSE(FileTree::is_plain(path));
    FileTree tree;
    tree.add_file(path, "x");
    tree.add_link(path, "x");
    tree.add_directory(path);
    CHECK(tree.nodes().empty());
  }
}

TEST_CASE("directories above are made, and what is both is a directory") {
  CHECK(list(sample()) == "proc/ proc-x proc/17/ proc/17/ns/ proc/17/ns/pid@ proc/17/status sys/ sys/fs/ ");
  FileTree tree = sample();
  tree.add_file("proc/17/status/x", "");
  tree.add_file("proc/17", "x");
  CHECK(tree.find("proc/17/status")->kind == Kind::directory);
  CHECK(tree.find("proc/17")->kind == Kind::directory);
  tree.add_file("proc-x", "new");
  CHECK(tree.find("proc-x")->text == "new");
}

TEST_CASE("a part of a tree, taken out and put elsewhere") {
  CHECK(list(sample().below("proc")) == "17/ 17/ns/ 17/ns/pid@ 17/status ");
  CHECK(sample().below("") == sample());
  CHECK(sample().below("no").nodes().empty());
  FileTree tree;
  tree.add_tree("later/1", sample().below("proc/17"));
  CHECK(list(tree) == "later/ later/1/ later/1/ns/ later/1/ns/pid@ later/1/status ");
  FileTree rest = sample();
  rest.remove("proc");
  CHECK(list(rest) == "proc-x sys/ sys/fs/ ");
  rest.remove("absent");
  CHECK(rest.bytes() == 6 + 3 + 6);
}

TEST_CASE("a recording becomes the tree that was read") {
  ReadRecorder record(100'000);
  record.note("", ReadRecorder::Kind::directory, "17/\nuptime\n../up\n.\n\nbad\x1b\n");
  record.note("17/fd/3", ReadRecorder::Kind::link, "/memfd:\xff (deleted)");
  record.note("17/fd/4", ReadRecorder::Kind::link, "");
  record.note("17/fdinfo", ReadRecorder::Kind::directory, "3\n4\n");
  record.note("17/fdinfo/3", ReadRecorder::Kind::file, "pos:\t0\n");
  record.note("../up", ReadRecorder::Kind::file, "x");
  record.note("../dir", ReadRecorder::Kind::directory, "x\n");
  FileTree tree;
  tree.add_record("proc", record);
  CHECK(list(tree) ==
        "proc/ proc/17/ proc/17/fd/ proc/17/fd/3@ proc/17/fdinfo/ proc/17/fdinfo/3 proc/17/fdinfo/4 proc/uptime ");
  CHECK(tree.find("proc/17/fdinfo/3")->text == "pos:\t0\n");
  CHECK(tree.find("proc/17/fdinfo/4")->text.empty());
  CHECK(tree.find("proc/17/fd/3")->text == "/memfd:\xff (deleted)");
}

TEST_CASE("a tree goes to another process as bytes") {
  FileTree tree = sample();
  tree.add_file("zeros", std::string(3, '\0'));
  const auto bytes = encode_tree(tree);
  CHECK(decode_tree(bytes).value() == tree);
  CHECK(decode_tree(encode_tree(FileTree())).value().nodes().empty());
  // No beginning of it is one, nor one with a byte more.
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    const auto cut = decode_tree({bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(size)});
    if (cut) CHECK(cut->nodes().size() < tree.nodes().size());
  }
  auto longer = bytes;
  longer.push_back(0);
  CHECK_FALSE(decode_tree(longer));
  // Nor one with a path that leads away, or a size beyond the end.
  auto strange = bytes;
  std::replace(strange.begin(), strange.end(), std::uint8_t{'p'}, std::uint8_t{'/'});
  CHECK_FALSE(decode_tree(strange));
  auto huge = bytes;
  std::fill(huge.begin() + 1, huge.begin() + 9, std::uint8_t{0xff});
  CHECK(decode_tree(huge).error().kind == ErrorKind::malformed);
}

}  // namespace defused
