// SPDX-License-Identifier: Apache-2.0
#include "procfs/bounded_read.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cerrno>
#include <filesystem>
#include <fstream>

using namespace defused;
using std::chrono::milliseconds;

namespace {

class Tree {
 public:
  Tree() {
    std::string name = "/tmp/defused-bounded-XXXXXX";
    REQUIRE(mkdtemp(name.data()) != nullptr);
    path = name;
    std::ofstream(path + "/good") << "text";
    REQUIRE(mkfifo((path + "/hangs").c_str(), 0600) == 0);  // opening it for reading waits for a writer for ever
    REQUIRE(symlink("pid:[17]", (path + "/link").c_str()) == 0);
  }
  ~Tree() { std::filesystem::remove_all(path); }
  Tree(const Tree&) = delete;
  Tree& operator=(const Tree&) = delete;
  std::string path;
};

}  // namespace

TEST_CASE("a file that hangs costs its time-out and nothing else") {
  const Tree tree;
  const auto root = Beneath::open_root(tree.path);
  REQUIRE(root);
  const SystemClock clock;
  const Nanoseconds begin = clock.now().boottime;
  const auto reads = read_bounded(*root, {{"good", false}, {"hangs", false}, {"link", true}, {"absent", false}},
                                  milliseconds(100), milliseconds(2000));
  CHECK(clock.now().boottime - begin < milliseconds(2000));
  REQUIRE(reads.results.size() == 4);
  CHECK(reads.results[0].value() == "text");
  CHECK(reads.results[1].error().kind == ErrorKind::timeout);
  CHECK(reads.results[2].value() == "pid:[17]");
  CHECK(reads.results[3].error().kind == ErrorKind::gone);
  CHECK(reads.left_behind == 0);
  CHECK(waitpid(-1, nullptr, WNOHANG) == -1);  // no child is left
  CHECK(errno == ECHILD);
}

TEST_CASE("the total is a bound for all of them") {
  const Tree tree;
  const auto root = Beneath::open_root(tree.path);
  REQUIRE(root);
  const std::vector<BoundedRequest> requests(50, {"hangs", false});
  const SystemClock clock;
  const Nanoseconds begin = clock.now().boottime;
  const auto reads = read_bounded(*root, requests, milliseconds(50), milliseconds(200));
  CHECK(clock.now().boottime - begin < milliseconds(1500));
  REQUIRE(reads.results.size() == 50);
  for (const auto& result : reads.results) CHECK(result.error().kind == ErrorKind::timeout);
}
