// SPDX-License-Identifier: Apache-2.0
// The front's filter and Landlock rules, each call tried by a child that is confined for good.
#include "daemon/front_sandbox.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <cerrno>
#include <cstdlib>
#include <string>
#include <thread>

#include "base/unique_fd.h"
#include "confined_child.h"
#include "daemon/front_landlock.h"
#include "exporters/textfile/textfile.h"
#include "temporary_directory.h"

using namespace defused;

namespace {

#ifdef DEFUSED_SANITIZED
constexpr bool kKills = false;  // the runtime needs calls of its own: what is not on the list is allowed then
#else
constexpr bool kKills = true;
#endif

constexpr int kFlags = TextfileWriter::kOpenFlags;

// A directory for the textfile at its number, and another one.
class Directories {
 public:
  Directories() {
    const UniqueFd opened(open(path().c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    saved_.reset(fcntl(kTextfileDescriptor, F_DUPFD_CLOEXEC, 20));  // Catch or the runtime may have that number
    REQUIRE(dup2(opened.get(), kTextfileDescriptor) == kTextfileDescriptor);
    elsewhere_.reset(open(other().c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  }
  ~Directories() {
    if (saved_) {
      dup2(saved_.get(), kTextfileDescriptor);
    } else {
      close(kTextfileDescriptor);
    }
  }
  Directories(const Directories&) = delete;
  Directories& operator=(const Directories&) = delete;

  [[nodiscard]] std::string path() const { return directory_.path().string(); }
  [[nodiscard]] std::string other() const { return other_.path().string(); }
  [[nodiscard]] int elsewhere() const { return elsewhere_.get(); }

 private:
  TemporaryDirectory directory_;
  TemporaryDirectory other_;
  UniqueFd saved_;
  UniqueFd elsewhere_;
};

long open_at(int directory, const char* path, int flags) { return syscall(SYS_openat, directory, path, flags, 0644); }

bool has_landlock() { return syscall(SYS_landlock_create_ruleset, nullptr, 0, 1) > 0; }

}  // namespace

TEST_CASE("without a textfile nothing is opened, and what a front does not need ends it") {
  const Directories directories;
  const auto filter = [] { return load_front_filter(Textfile::none); };
  CHECK(outcome_of(filter, [] { return open_at(AT_FDCWD, "/etc/passwd", O_RDONLY); }) == EPERM);
  CHECK(outcome_of(filter, [] { return open_at(kTextfileDescriptor, "a", kFlags); }) == EPERM);
  CHECK(outcome_of(filter, [] { return syscall(SYS_open, "/etc/passwd", O_RDONLY); }) == EPERM);
  CHECK(outcome_of(filter, [] { return syscall(SYS_openat2, AT_FDCWD, "/", nullptr, 0); }) == EPERM);
  CHECK(outcome_of(filter, [] { return syscall(SYS_getpid); }) == 0);
  if (!kKills) return;
  CHECK(outcome_of(filter, [] { return renameat(kTextfileDescriptor, "a", kTextfileDescriptor, "b"); }) == kKilled);
  CHECK(outcome_of(filter, [] { return unlinkat(kTextfileDescriptor, "a", 0); }) == kKilled);
  CHECK(outcome_of(filter, [] { return syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0); }) == kKilled);
  CHECK(outcome_of(filter, [] { return execl("/bin/true", "true", nullptr); }) == kKilled);
  CHECK(outcome_of(filter, [] { return kill(getppid(), 0); }) == kKilled);
  CHECK(outcome_of(filter, [] { return dup2(0, kTextfileDescriptor); }) == kKilled);
  CHECK(outcome_of(filter, [] {
          std::thread([] {}).join();
          return 0L;
        }) == kKilled);
}

TEST_CASE("with a textfile one way of opening is left, below one descriptor") {
  const Directories directories;
  const auto filter = [] { return load_front_filter(Textfile::written); };
  const int here = kTextfileDescriptor;
  CHECK(outcome_of(filter, [&] { return open_at(here, "a", kFlags); }) == 0);
  CHECK(access((directories.path() + "/a").c_str(), F_OK) == 0);
  for (const int flags :
       {O_RDONLY, O_RDWR, O_PATH, O_WRONLY, O_WRONLY | O_CREAT, kFlags & ~O_EXCL, kFlags & ~O_NOFOLLOW,
        kFlags & ~O_CLOEXEC, kFlags | O_TRUNC, kFlags | O_RDWR, kFlags | O_PATH, O_TMPFILE | O_RDWR}) {
    CAPTURE(flags);
    CHECK(outcome_of(filter, [&] { return open_at(here, "b", flags); }) == EPERM);
  }
  const std::string absolute = directories.other() + "/b";
  for (const int elsewhere : {AT_FDCWD, directories.elsewhere(), 0, -1}) {
    CAPTURE(elsewhere);
    CHECK(outcome_of(filter, [&] { return open_at(elsewhere, "b", kFlags); }) == EPERM);
    CHECK(outcome_of(filter, [&] { return open_at(elsewhere, absolute.c_str(), kFlags); }) == EPERM);
    CHECK(outcome_of(filter, [&] { return open_at(elsewhere, "/etc/passwd", O_RDONLY); }) == EPERM);
  }
  CHECK(access(absolute.c_str(), F_OK) != 0);
  // The kernel looks at the lower half of a descriptor's number only.
  CHECK(outcome_of(filter, [&] { return syscall(SYS_openat, (1L << 32) | here, "b", kFlags, 0644); }) == EPERM);
  CHECK(outcome_of(filter, [&] { return renameat(here, "a", here, "b"); }) == 0);
  CHECK(access((directories.path() + "/b").c_str(), F_OK) == 0);
  CHECK(outcome_of(filter, [&] { return syscall(SYS_renameat2, here, "b", here, "a", 0); }) == 0);
  CHECK(outcome_of(filter, [&] { return unlinkat(here, "a", 0); }) == 0);
  CHECK(access((directories.path() + "/a").c_str(), F_OK) != 0);
  CHECK(outcome_of(filter, [] { return write_textfile(kTextfileDescriptor, "a 1\n") ? 0L : -1L; }) == 0);
  if (!kKills) return;
  CHECK(outcome_of(filter, [&] { return renameat(here, "a", AT_FDCWD, absolute.c_str()); }) == kKilled);
  CHECK(outcome_of(filter, [&] { return renameat(AT_FDCWD, absolute.c_str(), here, "a"); }) == kKilled);
  CHECK(outcome_of(filter, [&] { return syscall(SYS_renameat2, here, "b", here, "a", 2); }) == kKilled);
  CHECK(outcome_of(filter, [&] { return unlinkat(here, "a", AT_REMOVEDIR); }) == kKilled);
  CHECK(outcome_of(filter, [&] { return unlinkat(AT_FDCWD, absolute.c_str(), 0); }) == kKilled);
  CHECK(outcome_of(filter, [&] { return linkat(here, "a", here, "b", 0); }) == kKilled);
  CHECK(outcome_of(filter, [&] { return symlinkat("/etc", here, "b"); }) == kKilled);
  CHECK(outcome_of(filter, [&] { return mkdirat(here, "b", 0700); }) == kKilled);
}

TEST_CASE("the filter holds for threads that were there before") {
  const auto filtered_thread = []() -> long {
    std::atomic<bool> loaded = false;
    std::atomic<int> error = 0;
    std::thread earlier([&] {
      while (!loaded) std::this_thread::yield();
      error = open_at(AT_FDCWD, "/etc/passwd", O_RDONLY) < 0 ? errno : 0;
    });
    const bool done = load_front_filter(Textfile::none).has_value();
    loaded = true;
    earlier.join();
    errno = ECANCELED;
    return done && error == EPERM ? 0 : -1;
  };
  CHECK(outcome_of([] { return Result<void>(); }, filtered_thread) == 0);
}

TEST_CASE("Landlock leaves plain files in one directory, whatever the path says") {
  if (!has_landlock()) {
    WARN("this kernel has no Landlock");
    return;
  }
  const Directories directories;
  const auto rules = [](int directory) {
    return [directory] {
      if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) return Result<void>(fail(ErrorKind::io, "no_new_privs"));
      return forbid_files(directory);
    };
  };
  const std::string outside = directories.other() + "/b";
  const int here = kTextfileDescriptor;
  CHECK(outcome_of(rules(here), [&] { return open_at(here, "a", kFlags); }) == 0);
  CHECK(outcome_of(rules(here), [&] { return open_at(here, outside.c_str(), kFlags); }) == EACCES);
  CHECK(outcome_of(rules(here), [&] { return open_at(here, "../b", kFlags); }) == EACCES);
  CHECK(access("/tmp/b", F_OK) != 0);
  const int moved = outcome_of(rules(here), [&] { return renameat(here, "a", here, outside.c_str()); });
  CHECK((moved == EXDEV || moved == EACCES));  // by the version of Landlock
  CHECK(outcome_of(rules(here), [&] { return open_at(AT_FDCWD, "/etc/passwd", O_RDONLY); }) == EACCES);
  CHECK(outcome_of(rules(here), [] { return write_textfile(kTextfileDescriptor, "a 1\n") ? 0L : -1L; }) == 0);
  CHECK(outcome_of(rules(here), [] { return write_textfile(kTextfileDescriptor, "a 2\n") ? 0L : -1L; }) == 0);
  CHECK(outcome_of(rules(-1), [&] { return open_at(here, "c", kFlags); }) == EACCES);
  CHECK(outcome_of(rules(-1), [&] { return unlinkat(here, "a", 0); }) == EACCES);
}
