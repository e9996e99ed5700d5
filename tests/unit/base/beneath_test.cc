// SPDX-License-Identifier: Apache-2.0
#include "base/beneath.h"

#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <catch2/catch.hpp>
#include <cerrno>
#include <cstddef>
#include <filesystem>
#include <string>

#include "temporary_directory.h"

namespace defused {

namespace {

namespace fs = std::filesystem;  // for trees of our own only

// outside (a file) and root/ with files, directories and links, removed at the end.
class Tree {
 public:
  Tree() {
    fs::create_directories(root() / "dir" / "deep");
    base_.write("outside", "secret");
    write("file", "content\n");
    write("dir/deep/file", "deep");
    write("empty", "");
    fs::create_symlink("../outside", root() / "escape");
    fs::create_symlink(base_.file("outside"), root() / "absolute");
    fs::create_directory_symlink("..", root() / "up");
    fs::create_directory_symlink("dir", root() / "inside");
    fs::create_symlink("pid:[4026531836] \xff", root() / "text");
  }
  [[nodiscard]] fs::path root() const { return base_.path() / "root"; }
  void write(const std::string& name, const std::string& text) const { base_.write("root/" + name, text); }
  [[nodiscard]] Beneath open(ReadHook hook = {}) const {
    auto opened = Beneath::open_root(root().string(), std::move(hook));
    REQUIRE(opened);
    return *std::move(opened);
  }

 private:
  TemporaryDirectory base_;
};

template <typename T>
int code_of(const Result<T>& result) {
  return result ? 0 : result.error().code;
}

// From here on openat2 is ENOSYS in this process, as before Linux 5.6.
bool forbid_openat2() {
  std::array<sock_filter, 4> program{{BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
                                      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat2, 0, 1),
                                      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
                                      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)}};
  const sock_fprog filter{program.size(), program.data()};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

// Exit code of the child: 0, or the number of the first check that did not hold.
int check_without_openat2(const Beneath& root) {
  if (!forbid_openat2()) return 77;
  if (syscall(SYS_openat2, AT_FDCWD, ".", nullptr, 0) != -1 || errno != ENOSYS) return 1;
  const auto file = root.read_file("dir/deep/file");
  if (!file || file->text != "deep") return 2;
  const auto below = root.open_directory("dir");
  if (!below || !below->read_file("deep/file")) return 3;
  if (root.read_file("escape")) return 4;
  if (root.read_file("absolute")) return 5;
  if (root.read_file("up/outside")) return 6;
  if (root.read_file("../outside")) return 7;
  if (root.read_file("dir/../file")) return 8;
  if (root.read_file("/etc/passwd")) return 9;
  if (root.read_file("")) return 10;
  if (root.read_link("escape").value_or("") != "../outside") return 11;
  bool truncated = false;
  const auto names = root.list(".", 100, truncated);
  if (!names || names->size() != 8) return 12;
  const auto missing = root.read_file("dir/none");
  if (missing || missing.error().kind != ErrorKind::gone) return 13;
  return 0;
}

}  // namespace

TEST_CASE("a root that is not there or no directory is an error") {
  const Tree tree;
  const auto missing = Beneath::open_root((tree.root() / "none").string());
  REQUIRE_FALSE(missing);
  CHECK(missing.error().kind == ErrorKind::gone);
  CHECK(code_of(Beneath::open_root((tree.root() / "file").string())) == ENOTDIR);
  CHECK_FALSE(Beneath().valid());
}

TEST_CASE("files are read whole or up to a cap") {
  const Tree tree;
  const Beneath root = tree.open();
  CHECK(root.read_file("file")->text == "content\n");
  CHECK(root.read_file("dir/deep/file")->text == "deep");
  CHECK(root.read_file("empty")->text.empty());
  CHECK_FALSE(root.read_file("file")->truncated);

  CHECK(root.read_file("file", 8)->text == "content\n");
  CHECK_FALSE(root.read_file("file", 8)->truncated);
  CHECK(root.read_file("file", 7)->text == "content");
  CHECK(root.read_file("file", 7)->truncated);
  CHECK(root.read_file("file", 0)->text.empty());
  CHECK(root.read_file("file", 0)->truncated);

  tree.write("large", std::string(40000, 'x'));  // more than one buffer
  CHECK(root.read_file("large")->text.size() == 40000);
  CHECK(root.read_file("large", 32768)->text.size() == 32768);
  CHECK(root.read_file("large", 32768)->truncated);
  tree.write("huge", std::string(Beneath::kDefaultMaxBytes + 1, 'x'));
  CHECK(root.read_file("huge")->text.size() == Beneath::kDefaultMaxBytes);
  CHECK(root.read_file("huge")->truncated);
}

TEST_CASE("errors have a kind, a number and a sentence") {
  const Tree tree;
  const Beneath root = tree.open();
  const auto missing = root.read_file("none");
  REQUIRE_FALSE(missing);
  CHECK(missing.error().kind == ErrorKind::gone);
  CHECK(missing.error().message == "opening none: No such file or directory");
  CHECK(code_of(root.read_file("dir")) == EISDIR);
  CHECK(code_of(root.open_directory("file")) == ENOTDIR);
  CHECK(code_of(root.read_link("file")) == ENOENT);  // what readlinkat says of an O_PATH descriptor of no link
  CHECK_FALSE(root.read_file(""));
}

TEST_CASE("nothing leads out of the root") {
  const Tree tree;
  const Beneath root = tree.open();
  SECTION("a link as the last part is never followed") {
    CHECK(code_of(root.read_file("escape")) == ELOOP);
    CHECK(code_of(root.read_file("absolute")) == ELOOP);
    CHECK(code_of(root.read_file("text")) == ELOOP);
    CHECK_FALSE(root.open_directory("inside"));
  }
  SECTION("a link in between must stay below") {
    CHECK(code_of(root.read_file("up/outside")) == EXDEV);
    CHECK(root.read_file("inside/deep/file")->text == "deep");
  }
  SECTION("..") {
    CHECK(code_of(root.read_file("../outside")) == EXDEV);
    CHECK(code_of(root.read_file("dir/../../outside")) == EXDEV);
    CHECK(code_of(root.open_directory("..")) == EXDEV);
    const auto below = root.open_directory("dir");
    REQUIRE(below);
    CHECK(code_of(below->read_file("../file")) == EXDEV);
  }
  SECTION("an absolute path") {
    CHECK(code_of(root.read_file("/etc/passwd")) == EXDEV);
    CHECK(code_of(root.read_file(tree.root() / "file")) == EXDEV);
  }
  SECTION("another mount") {
    const auto host = Beneath::open_root("/");
    REQUIRE(host);
    CHECK(code_of(host->read_file("proc/version")) == EXDEV);
  }
}

TEST_CASE("magic links of /proc are read as text and never followed") {
  const auto self = Beneath::open_root("/proc/self");
  REQUIRE(self);
  for (const char* path : {"exe", "root/etc/passwd", "cwd/README", "fd/0", "ns/pid"}) {
    CAPTURE(path);
    CHECK_FALSE(self->read_file(path));
    CHECK_FALSE(self->open_file(path, O_WRONLY));
  }
  CHECK(code_of(self->open_directory("root")) != 0);
  CHECK(code_of(self->open_directory("cwd")) != 0);
  CHECK(code_of(self->read_file("root/etc/passwd")) == ELOOP);
  REQUIRE(self->read_link("ns/pid"));
  CHECK(self->read_link("ns/pid")->find("pid:[") == 0);
  CHECK(self->read_file("task/" + std::to_string(getpid()) + "/status")->text.find("Name:") == 0);
}

TEST_CASE("links are read as they are") {
  const Tree tree;
  const Beneath root = tree.open();
  CHECK(root.read_link("escape").value() == "../outside");
  CHECK(root.read_link("text").value() == "pid:[4026531836] \xff");
}

TEST_CASE("directories are listed up to a cap") {
  const Tree tree;
  const Beneath root = tree.open();
  bool truncated = true;
  auto names = root.list(".", 100, truncated);
  REQUIRE(names);
  CHECK_FALSE(truncated);
  std::sort(names->begin(), names->end());
  CHECK(*names == std::vector<std::string>{"absolute", "dir", "empty", "escape", "file", "inside", "text", "up"});
  CHECK(root.list("dir", 100, truncated).value() == std::vector<std::string>{"deep"});

  CHECK(root.list(".", 8, truncated)->size() == 8);
  CHECK_FALSE(truncated);
  CHECK(root.list(".", 7, truncated)->size() == 7);
  CHECK(truncated);
  CHECK(root.list(".", 0, truncated)->empty());
  CHECK(truncated);
  CHECK(root.list("dir/deep", 1, truncated)->size() == 1);
  CHECK_FALSE(truncated);
  CHECK_FALSE(root.list("file", 1, truncated));
  CHECK_FALSE(root.list("inside", 1, truncated));

  const Beneath dir = root.open_directory("dir").value();
  for (int i = 0; i < 2000; ++i) tree.write("dir/" + std::to_string(i) + std::string(100, 'n'), "");
  CHECK(dir.list(".", 10000, truncated)->size() == 2001);  // more than one buffer
}

TEST_CASE("numbers are listed with their inodes, other names are passed over") {
  const Tree tree;
  for (const char* name : {"17", "4711", "017x", "-3", "99999999999999999999"}) tree.write(name, "");
  const Beneath root = tree.open();
  bool truncated = true;
  auto entries = root.list_numbers(".", 2, truncated);
  REQUIRE(entries);
  CHECK_FALSE(truncated);
  REQUIRE(entries->size() == 2);
  std::sort(entries->begin(), entries->end(), [](const auto& a, const auto& b) { return a.number < b.number; });
  struct stat status {};
  REQUIRE(fstatat(root.fd(), "4711", &status, 0) == 0);
  CHECK(entries->at(0).number == 17);
  CHECK(entries->at(1).number == 4711);
  CHECK(entries->at(1).inode == status.st_ino);
  CHECK(root.list_numbers(".", 1, truncated)->size() == 1);
  CHECK(truncated);
  CHECK(root.list_numbers("absent", 1, truncated).error().kind == ErrorKind::gone);
}

TEST_CASE("a hook sees every path from its root on, and can make any operation fail") {
  const Tree tree;
  std::vector<std::string> seen;
  std::size_t failing = 1000;
  const Beneath root = tree.open([&](std::string_view path) -> std::optional<Error> {
    seen.emplace_back(path);
    if (seen.size() != failing) return std::nullopt;
    return Error{ErrorKind::timeout, "as the test wants", ETIMEDOUT};
  });
  // The kinds of the five operations, "" where it went well.
  const auto run = [&] {
    seen.clear();
    bool truncated = false;
    std::vector<std::string> kinds;
    const auto note = [&](const auto& result) {
      kinds.emplace_back(result ? "" : std::string(to_string(result.error().kind)));
    };
    const auto below = root.open_directory("dir");
    note(below);
    note(root.read_file("file"));
    note(root.read_link("text"));
    note(root.list(".", 10, truncated));
    if (below) note(below->read_file("deep/file"));
    return kinds;
  };
  CHECK(run() == std::vector<std::string>(5));
  CHECK(seen == std::vector<std::string>{"dir", "file", "text", ".", "dir/deep/file"});
  for (failing = 1; failing <= 5; ++failing) {
    const auto kinds = run();
    CAPTURE(failing);
    CHECK(std::count(kinds.begin(), kinds.end(), "timeout") == 1);
    CHECK(kinds[failing - 1] == "timeout");
  }
  failing = 1;
  seen.clear();
  CHECK(root.read_file("file").error().message == "opening file: as the test wants");
}

TEST_CASE("every descriptor is close-on-exec") {
  const Tree tree;
  const Beneath root = tree.open();
  const Beneath below = root.open_directory("dir").value();
  const UniqueFd file = root.open_file("file", O_RDONLY).value();
  for (const int fd : {root.fd(), below.fd(), file.get()}) CHECK((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
}

TEST_CASE("a directory held open does not become its successor") {
  const Tree tree;
  const Beneath root = tree.open();
  const Beneath dir = root.open_directory("dir").value();
  fs::rename(tree.root() / "dir", tree.root() / "old");
  fs::create_directories(tree.root() / "dir" / "deep");
  tree.write("dir/deep/file", "another");
  CHECK(dir.read_file("deep/file")->text == "deep");
  CHECK(root.read_file("dir/deep/file")->text == "another");
}

TEST_CASE("without openat2 the same paths are refused") {
  const Tree tree;
  const Beneath root = tree.open();
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) _exit(check_without_openat2(root));
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  REQUIRE(WIFEXITED(status));
  if (WEXITSTATUS(status) == 77) {
    WARN("seccomp filters are not permitted here: the fallback was not tried");
    return;
  }
  CHECK(WEXITSTATUS(status) == 0);
}

TEST_CASE("UniqueFd closes once and gives away") {
  UniqueFd first(open("/dev/null", O_RDONLY | O_CLOEXEC));
  REQUIRE(first);
  const int number = first.get();
  UniqueFd second(std::move(first));
  CHECK_FALSE(first);  // NOLINT(bugprone-use-after-move): that is the point
  CHECK(second.get() == number);
  UniqueFd third;
  third = std::move(second);
  CHECK(third.release() == number);
  CHECK_FALSE(third.valid());
  CHECK(fcntl(number, F_GETFD) >= 0);
  UniqueFd(number).reset();
  CHECK(fcntl(number, F_GETFD) == -1);
}

}  // namespace defused
