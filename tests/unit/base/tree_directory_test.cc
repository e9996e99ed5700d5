// SPDX-License-Identifier: Apache-2.0
// A tree on disk: what stays keeps its inode, what goes is removed and nothing outside is touched.
#include "base/tree_directory.h"

#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

#include "base/tree_archive.h"
#include "temporary_directory.h"

namespace defused {

namespace {

namespace fs = std::filesystem;  // for directories of our own only

struct stat status_of(const std::string& path) {
  struct stat found {};
  REQUIRE(lstat(path.c_str(), &found) == 0);
  return found;
}

FileTree first() {
  FileTree tree;
  tree.add_file("proc/17/status", "Name:\tcat\n");
  tree.add_file("proc/18/status", "Name:\tdog\n");
  tree.add_file("proc-x", "x");
  tree.add_link("proc/17/ns/pid", "pid:[1]");
  tree.add_link("proc/17/cwd", "/etc");
  tree.add_file("sys/fs/fuse/connections/40/waiting", "1\n");
  tree.add_directory("empty");
  return tree;
}

FileTree on_disk(const TreeDirectory& directory) {
  auto loaded = read_tree_directory(directory.path());
  REQUIRE(loaded);
  return loaded->tree;
}

}  // namespace

TEST_CASE("a tree is on disk as it is in memory, for its owner alone, and gone with its object") {
  const TemporaryDirectory place;
  std::string path;
  {
    const auto directory = TreeDirectory::create(place.path());
    REQUIRE(directory);
    path = (*directory)->path();
    REQUIRE((*directory)->become(first()));
    CHECK(on_disk(**directory) == first());
    CHECK((status_of(path).st_mode & 07777U) == 0700);
    CHECK((status_of(path + "/proc/17").st_mode & 07777U) == 0700);
    CHECK((status_of(path + "/proc/17/status").st_mode & 07777U) == 0600);
    CHECK(fs::read_symlink(path + "/proc/17/ns/pid") == "pid:[1]");
    fs::create_directory_symlink("/etc", path + "/proc/away");
    std::ofstream(path + "/not-ours") << "x";
  }
  CHECK_FALSE(fs::exists(path));
  CHECK(fs::exists("/etc/passwd"));
  CHECK(fs::is_empty(place.path()));
}

TEST_CASE("from one tree to the next in place: what stays keeps its inode") {
  const TemporaryDirectory place;
  const auto directory = TreeDirectory::create(place.path());
  REQUIRE(directory);
  REQUIRE((*directory)->become(first()));
  const std::string root = (*directory)->path();
  const auto process = status_of(root + "/proc/17").st_ino;
  const auto connection = status_of(root + "/sys/fs/fuse/connections/40").st_ino;
  const auto status = status_of(root + "/proc/17/status").st_ino;
  FileTree next = first();
  next.add_file("proc/17/status", "Name:\tcow\n");
  next.remove("proc/18");
  next.remove("proc-x");
  next.remove("proc/17/ns/pid");
  next.add_link("proc/17/ns/pid", "pid:[2]");
  next.remove("empty");
  next.add_link("empty", "somewhere");
  next.add_file("proc/19/task/20/stack", "");
  REQUIRE((*directory)->become(next));
  CHECK(on_disk(**directory) == next);
  CHECK(status_of(root + "/proc/17").st_ino == process);
  CHECK(status_of(root + "/proc/17/status").st_ino == status);
  CHECK(status_of(root + "/sys/fs/fuse/connections/40").st_ino == connection);
  REQUIRE((*directory)->become(first()));
  CHECK(on_disk(**directory) == first());
  REQUIRE((*directory)->become(FileTree()));
  CHECK(fs::is_empty(root));
}

TEST_CASE("what is replaced is another object with the same name") {
  const TemporaryDirectory place;
  const auto directory = TreeDirectory::create(place.path());
  REQUIRE(directory);
  REQUIRE((*directory)->become(first()));
  const std::string connection = (*directory)->path() + "/sys/fs/fuse/connections/40";
  for (int i = 0; i < 3; ++i) {
    const auto before = status_of(connection).st_ino;
    (*directory)->replace_next("sys/fs/fuse/connections/40");
    REQUIRE((*directory)->become(first()));
    CHECK(status_of(connection).st_ino != before);
    CHECK(on_disk(**directory) == first());
  }
  const auto before = status_of(connection).st_ino;
  REQUIRE((*directory)->become(first()));
  CHECK(status_of(connection).st_ino == before);
}

TEST_CASE("everything goes, and names beside it that sort between do not confuse that") {
  const TemporaryDirectory place;
  const auto directory = TreeDirectory::create(place.path());
  REQUIRE(directory);
  REQUIRE((*directory)->become(first()));
  FileTree other;
  other.add_file("other", "x");
  REQUIRE((*directory)->become(other));
  CHECK(on_disk(**directory) == other);
}

TEST_CASE("nothing is written through a link that somebody put there") {
  const TemporaryDirectory place;
  place.write("victim", "untouched");
  const auto directory = TreeDirectory::create(place.path());
  REQUIRE(directory);
  FileTree tree;
  tree.add_file("status", "1");
  REQUIRE((*directory)->become(tree));
  fs::remove((*directory)->path() + "/status");
  fs::create_symlink(place.file("victim"), (*directory)->path() + "/status");
  tree.add_file("status", "2");
  CHECK_FALSE((*directory)->become(tree));
  std::ifstream victim(place.file("victim"));
  CHECK(std::string(std::istreambuf_iterator<char>(victim), {}) == "untouched");
}

TEST_CASE("it stops where it is told to") {
  const TemporaryDirectory place;
  const auto directory = TreeDirectory::create(place.path());
  REQUIRE(directory);
  int asked = 0;
  const auto made = (*directory)->become(first(), [&] { return ++asked == 3; });
  REQUIRE_FALSE(made);
  CHECK(made.error().message == (*directory)->path() + ": interrupted");
  CHECK(on_disk(**directory).nodes().size() == 2);
}

TEST_CASE("there is no such place") {
  const auto directory = TreeDirectory::create("/nonexistent/place");
  REQUIRE_FALSE(directory);
  CHECK(directory.error().kind == ErrorKind::gone);
  CHECK(directory.error().message == "making a directory in /nonexistent/place: No such file or directory");
}

}  // namespace defused
