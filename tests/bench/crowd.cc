// SPDX-License-Identifier: Apache-2.0
#include "crowd.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>

namespace bench {

namespace {

[[noreturn]] void run_init(std::size_t members, std::size_t descriptors, int ready) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  bool complete = true;
  for (std::size_t i = 0; i < descriptors; ++i) complete = open("/dev/null", O_RDONLY) >= 0 && complete;
  for (std::size_t i = 1; i < members; ++i) {
    const pid_t member = fork();
    if (member == 0) {
      while (true) pause();
    }
    complete = complete && member > 0;
  }
  if (write(ready, complete ? "y" : "n", 1) != 1) _exit(1);
  while (true) pause();
}

}  // namespace

Crowd::Crowd(std::size_t namespaces, std::size_t members, std::size_t descriptors) {
  for (std::size_t i = 0; i < namespaces && complete_; ++i) {
    std::array<int, 2> ready{};
    if (pipe(ready.data()) < 0) {
      complete_ = false;
      return;
    }
    const auto init =
        static_cast<pid_t>(syscall(SYS_clone, CLONE_NEWPID | SIGCHLD, nullptr, nullptr, nullptr, nullptr));
    if (init == 0) run_init(members, descriptors, ready[1]);
    close(ready[1]);
    char answer = 'n';
    if (init > 0) inits_.push_back(init);
    complete_ = init > 0 && read(ready[0], &answer, 1) == 1 && answer == 'y';
    close(ready[0]);
  }
}

Crowd::~Crowd() {
  for (const pid_t init : inits_) kill(init, SIGKILL);
  for (const pid_t init : inits_) waitpid(init, nullptr, 0);
}

}  // namespace bench
