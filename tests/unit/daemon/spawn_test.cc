// SPDX-License-Identifier: Apache-2.0
// What a child has that was started of a descriptor: a shell stands for our own binary.
#include "daemon/spawn.h"

#include <fcntl.h>
#include <poll.h>
#include <seccomp.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <catch2/catch.hpp>
#include <cerrno>
#include <string>

using namespace defused;

namespace {

// What `script` writes to standard error until it ends.
std::string told_by(const std::string& script) {
  const UniqueFd shell(open("/bin/sh", O_RDONLY | O_CLOEXEC));
  const auto child = spawn_self(shell.get(), {"-c", script});
  if (!child) return child.error().message;
  std::string text;
  while (true) {
    pollfd ready{child->log.get(), POLLIN, 0};
    std::array<char, 4096> part{};
    if (poll(&ready, 1, 20'000) != 1) return text + "(it does not end)";
    const ssize_t got = read(child->log.get(), part.data(), part.size());
    if (got <= 0) return text;
    text.append(part.data(), static_cast<std::size_t>(got));
  }
}

constexpr const char* kListOpen =
    R"(for fd in 0 1 2 3 4 5 6 7 8 9 20 251; do [ -e /proc/$$/fd/$fd ] && printf '%s ' $fd; done 1>&2)";

// As a shell or a careless service manager leaves them open.
class Inherited {
 public:
  Inherited() {
    for (std::size_t i = 0; i < numbers_.size(); ++i) {
      saved_[i].reset(fcntl(numbers_[i], F_DUPFD_CLOEXEC, 300));
      const UniqueFd nothing(open("/dev/null", O_RDONLY | O_CLOEXEC));
      REQUIRE(dup2(nothing.get(), numbers_[i]) == numbers_[i]);
      fcntl(numbers_[i], F_SETFD, 0);
    }
  }
  ~Inherited() {
    for (std::size_t i = 0; i < numbers_.size(); ++i) {
      if (saved_[i]) {
        dup3(saved_[i].get(), numbers_[i], O_CLOEXEC);
      } else {
        close(numbers_[i]);
      }
    }
  }
  Inherited(const Inherited&) = delete;
  Inherited& operator=(const Inherited&) = delete;

 private:
  std::array<int, 3> numbers_ = {4, 20, 251};
  std::array<UniqueFd, 3> saved_;
};

}  // namespace

TEST_CASE("a child has its channel and nothing that we inherited") {
  const Inherited inherited;
  CHECK(told_by(kListOpen) == "0 1 2 3 ");
}

TEST_CASE("the same on a kernel without close_range") {
  const Inherited inherited;
  for (const int error : {ENOSYS, EINVAL}) {
    const pid_t child = fork();
    if (child == 0) {
      const auto filter = seccomp_init(SCMP_ACT_ALLOW);
      if (seccomp_rule_add_array(filter, SCMP_ACT_ERRNO(static_cast<unsigned>(error)), SCMP_SYS(close_range), 0,
                                 nullptr) < 0 ||
          seccomp_load(filter) < 0) {
        _exit(2);
      }
      _exit(told_by(kListOpen) == "0 1 2 3 " ? 0 : 1);
    }
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    CHECK(status == 0);
  }
}

TEST_CASE("a child does not end by what a terminal or a service manager sends to all of us") {
  CHECK(told_by("kill -INT $$; kill -TERM $$; kill -HUP $$; echo still there >&2") == "still there\n");
}
