// SPDX-License-Identifier: Apache-2.0
#include "fusectl/fuse_root.h"

#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cerrno>
#include <filesystem>
#include <string>
#include <vector>

#include "temporary_directory.h"

namespace defused {

namespace {

namespace fs = std::filesystem;  // for trees of our own only

// A directory of the shape of /sys/fs/fuse/connections, removed at the end.
class Tree {
 public:
  [[nodiscard]] fs::path path(const std::string& name = "") const { return root_.path() / name; }
  void write(const std::string& name, const std::string& text) const { root_.write(name, text); }
  [[nodiscard]] std::string read(const std::string& name) const { return root_.text(name); }
  void add(const std::string& id, const std::string& waiting) const {
    write(id + "/waiting", waiting);
    write(id + "/max_background", "12\n");
    write(id + "/congestion_threshold", "9\n");
    write(id + "/abort", "");
  }
  [[nodiscard]] std::uint64_t inode(const std::string& name) const {
    struct stat found {};
    REQUIRE(stat(path(name).c_str(), &found) == 0);
    return found.st_ino;
  }
  [[nodiscard]] FuseRoot open(ReadHook hook = {}) const {
    auto opened = FuseRoot::open_capture(root_.path(), std::move(hook));
    REQUIRE(opened);
    return *std::move(opened);
  }

 private:
  TemporaryDirectory root_;
};

// An Error for one path, nothing for all others.
ReadHook failing_at(std::string path, ErrorKind kind) {
  return [path = std::move(path), kind](std::string_view asked) -> std::optional<Error> {
    if (asked != path) return std::nullopt;
    return Error{kind, "as the test wants it", 0};
  };
}

std::vector<std::uint32_t> ids_of(const std::vector<ConnectionSample>& samples) {
  std::vector<std::uint32_t> ids;
  ids.reserve(samples.size());
  for (const ConnectionSample& sample : samples) ids.push_back(sample.id.kernel_dev);
  return ids;
}

using Ids = std::vector<std::uint32_t>;

}  // namespace

TEST_CASE("A fusectl number is one line with a number") {
  CHECK(parse_fusectl_number("0\n") == 0U);
  CHECK(parse_fusectl_number("12\n") == 12U);
  CHECK(parse_fusectl_number("18446744073709551615\n") == 18'446'744'073'709'551'615U);
  for (const char* text :
       {"", "12", "\n", "-1\n", " 1\n", "1 \n", "1\n\n", "1\n2\n", "0x1\n", "1\xff\n", "18446744073709551616\n"}) {
    INFO(text);
    const auto number = parse_fusectl_number(text);
    REQUIRE_FALSE(number);
    CHECK(number.error().kind == ErrorKind::malformed);
  }
}

TEST_CASE("Connections are read with the inode of their directory, by id") {
  const Tree tree;
  tree.add("40", "1\n");
  tree.add("7340032", "0\n");
  tree.add("9", "3\n");
  Gaps gaps;
  const auto samples = tree.open().read_connections(gaps);
  CHECK(gaps.empty());
  REQUIRE(ids_of(samples) == Ids{9, 40, 7'340'032});
  CHECK(samples[1].waiting == 1U);
  CHECK(samples[1].max_background == 12);
  CHECK(samples[1].congestion_threshold == 9);
  CHECK(samples[1].directory_inode == tree.inode("40"));
  CHECK(samples[2].waiting == 0U);
}

TEST_CASE("Reading touches no abort file") {
  const Tree tree;
  tree.add("40", "1\n");
  std::vector<std::string> asked;
  Gaps gaps;
  const FuseRoot root = tree.open([&](std::string_view path) -> std::optional<Error> {
    asked.emplace_back(path);
    return std::nullopt;
  });
  CHECK(root.read_connections(gaps).size() == 1);
  CHECK(asked == std::vector<std::string>{".", "40", "40/waiting", "40/max_background", "40/congestion_threshold"});
}

TEST_CASE("What cannot be read is a gap and never none") {
  const Tree tree;
  tree.add("40", "1\n");
  tree.add("41", "2\n");
  Gaps gaps;
  SECTION("waiting denied") {
    const auto samples = tree.open(failing_at("40/waiting", ErrorKind::denied)).read_connections(gaps);
    REQUIRE(samples.size() == 2);
    CHECK_FALSE(samples[0].waiting);
    CHECK(samples[0].directory_inode == tree.inode("40"));
    CHECK(gaps == Gaps{{{"fusectl/waiting", ErrorKind::denied}, 1}});
  }
  SECTION("waiting malformed") {
    tree.write("40/waiting", "many\n");
    CHECK_FALSE(tree.open().read_connections(gaps)[0].waiting);
    CHECK(gaps == Gaps{{{"fusectl/waiting", ErrorKind::malformed}, 1}});
  }
  SECTION("waiting too long") {
    tree.write("40/waiting", std::string(65, '1'));
    CHECK_FALSE(tree.open().read_connections(gaps)[0].waiting);
    CHECK(gaps == Gaps{{{"fusectl/waiting", ErrorKind::malformed}, 1}});
  }
  SECTION("the directory denied") {
    const auto samples = tree.open(failing_at("40", ErrorKind::denied)).read_connections(gaps);
    REQUIRE(ids_of(samples) == Ids{40, 41});
    CHECK_FALSE(samples[0].waiting);
    CHECK(samples[0].directory_inode == 0);
    CHECK(gaps == Gaps{{{"fusectl/connection", ErrorKind::denied}, 1}});
  }
  SECTION("the list denied") {
    CHECK(tree.open(failing_at(".", ErrorKind::denied)).read_connections(gaps).empty());
    CHECK(gaps == Gaps{{{"fusectl", ErrorKind::denied}, 1}});
  }
  SECTION("names that are no connection") {
    for (const char* name : {"040", "x", "-1", "4294967296"}) fs::create_directory(tree.path(name));
    CHECK(ids_of(tree.open().read_connections(gaps)) == Ids{40, 41});
    CHECK(gaps == Gaps{{{"fusectl", ErrorKind::malformed}, 4}});
  }
}

TEST_CASE("A connection that vanishes while it is read is left out") {
  const Tree tree;
  tree.add("40", "1\n");
  tree.add("41", "2\n");
  const auto* const at = GENERATE("40", "40/waiting", "40/max_background", "40/congestion_threshold");
  Gaps gaps;
  CHECK(ids_of(tree.open(failing_at(at, ErrorKind::gone)).read_connections(gaps)) == Ids{41});
  CHECK(gaps.empty());
}

TEST_CASE("More connections than the cap are a gap") {
  const Tree tree;
  for (std::size_t i = 0; i <= FuseRoot::kMaxConnections; ++i) fs::create_directory(tree.path(std::to_string(i)));
  Gaps gaps;
  CHECK(tree.open().read_connections(gaps).empty());  // no `waiting` in them: vanished
  CHECK(gaps == Gaps{{{"fusectl", ErrorKind::unsupported}, 1}});
}

TEST_CASE("The requests of one connection, by its number and inode") {
  const Tree tree;
  tree.add("40", "3\n");
  const std::uint64_t inode = tree.inode("40");
  CHECK(tree.open().read_waiting(ConnectionId{40}, inode).value() == 3);
  CHECK(tree.open().read_waiting(ConnectionId{40}, inode + 1).error().kind == ErrorKind::gone);
  CHECK(tree.open().read_waiting(ConnectionId{41}, inode).error().kind == ErrorKind::gone);
  tree.write("40/waiting", "");  // it ended while it was held
  CHECK(tree.open().read_waiting(ConnectionId{40}, inode).error().kind == ErrorKind::gone);
  tree.write("40/waiting", "3");
  CHECK(tree.open().read_waiting(ConnectionId{40}, inode).error().kind == ErrorKind::malformed);
}

TEST_CASE("Arming opens, writing aborts") {
  const Tree tree;
  tree.add("40", "1\n");
  auto armed = tree.open().open_abort(ConnectionId{40}, tree.inode("40"));
  REQUIRE(armed);
  CHECK(tree.read("40/abort") == "");
  REQUIRE((*armed)->write());
  CHECK(tree.read("40/abort") == "1");
}

TEST_CASE("Another connection under the same number is not opened") {
  const Tree tree;
  tree.add("40", "1\n");
  const auto armed = tree.open().open_abort(ConnectionId{40}, tree.inode("40") + 1);
  REQUIRE_FALSE(armed);
  CHECK(armed.error().kind == ErrorKind::gone);
  CHECK_THAT(armed.error().message, Catch::Contains("connection 40: another one has this number now"));
}

TEST_CASE("What is not there cannot be armed") {
  const Tree tree;
  tree.add("40", "1\n");
  const std::uint64_t inode = tree.inode("40");
  SECTION("no directory") {
    const auto armed = tree.open().open_abort(ConnectionId{41}, inode);
    REQUIRE_FALSE(armed);
    CHECK(armed.error().kind == ErrorKind::gone);
    CHECK(armed.error().message == "connection 41: opening 41: No such file or directory");
    CHECK(armed.error().code == ENOENT);
  }
  SECTION("no abort file") {
    fs::remove(tree.path("40/abort"));
    const auto armed = tree.open().open_abort(ConnectionId{40}, inode);
    REQUIRE_FALSE(armed);
    CHECK(armed.error().kind == ErrorKind::gone);
  }
  SECTION("denied") {
    const auto armed =
        tree.open(failing_at("40/abort", ErrorKind::denied)).open_abort(ConnectionId{40}, tree.inode("40"));
    REQUIRE_FALSE(armed);
    CHECK(armed.error().kind == ErrorKind::denied);
  }
  SECTION("a link in its place") {
    tree.write("victim", "");
    fs::remove(tree.path("40/abort"));
    fs::create_symlink("../victim", tree.path("40/abort"));
    CHECK_FALSE(tree.open().open_abort(ConnectionId{40}, inode));
  }
  SECTION("a link in place of its directory") {
    fs::create_directory_symlink("40", tree.path("42"));
    CHECK_FALSE(tree.open().open_abort(ConnectionId{42}, inode));
  }
}

TEST_CASE("A connection that is replaced while its abort file is opened is not aborted") {
  const Tree tree;
  tree.add("40", "1\n");
  const std::uint64_t inode = tree.inode("40");
  const FuseRoot root = tree.open([&](std::string_view path) -> std::optional<Error> {
    if (path == "40/abort") {  // the directory was opened and checked by now
      fs::rename(tree.path("40"), tree.path("39"));
      tree.add("40", "1\n");
    }
    return std::nullopt;
  });
  auto armed = root.open_abort(ConnectionId{40}, inode);
  REQUIRE(armed);
  REQUIRE((*armed)->write());
  CHECK(tree.read("40/abort") == "");
  CHECK(tree.read("39/abort") == "1");
}

TEST_CASE("A directory that is no fusectl mount is refused, with the way to mount it") {
  const Tree tree;
  const auto root = FuseRoot::open(tree.path().string());
  REQUIRE_FALSE(root);
  CHECK(root.error().kind == ErrorKind::unsupported);
  CHECK_THAT(root.error().message, Catch::Contains("mount -t fusectl fusectl /sys/fs/fuse/connections"));
  tree.add("40", "1\n");
  FusectlAborter aborter(tree.path().string());
  const auto armed = aborter.open(ConnectionId{40}, tree.inode("40"));
  REQUIRE_FALSE(armed);
  CHECK(armed.error().kind == ErrorKind::unsupported);
}

TEST_CASE("Nothing there, or no directory") {
  const Tree tree;
  tree.write("file", "");
  CHECK(FuseRoot::open(tree.path("nothing").string()).error().kind == ErrorKind::gone);
  CHECK(FuseRoot::open_capture(tree.path("nothing").string()).error().kind == ErrorKind::gone);
  CHECK(FuseRoot::open(tree.path("file").string()).error().kind == ErrorKind::io);
  FusectlAborter aborter(tree.path("nothing").string());
  CHECK(aborter.open(ConnectionId{40}, 1).error().kind == ErrorKind::gone);
}

}  // namespace defused
