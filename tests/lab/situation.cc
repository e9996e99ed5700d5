// SPDX-License-Identifier: Apache-2.0
#include "situation.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "proc_files.h"

namespace lab {

namespace {

bool wait_for_byte(int pipe, int milliseconds, char* byte) {
  pollfd ready{pipe, POLLIN, 0};
  return poll(&ready, 1, milliseconds) == 1 && read(pipe, byte, 1) == 1;
}

// Whether reading `path` blocks: tried by a child that is killed.
bool reading_hangs(const std::string& path) {
  const pid_t reader = fork();
  if (reader == 0) {
    read_file(path);
    _exit(0);
  }
  const bool returned = wait_until([&] { return waitpid(reader, nullptr, WNOHANG) == reader; }, 0.5);
  if (returned) return false;
  kill(reader, SIGKILL);
  wait_until([&] { return waitpid(reader, nullptr, WNOHANG) == reader; }, 2);
  return true;
}

std::string task_of(pid_t pid, pid_t tid) { return "/proc/" + std::to_string(pid) + "/task/" + std::to_string(tid); }

}  // namespace

Situation::Situation(const Options& options) : options_(options) {
  std::string name = "/tmp/defused-lab-XXXXXX";
  if (mkdtemp(name.data()) != nullptr) work_directory_ = name;
  options_.mount_point = work_directory_ + "/" + (options.mount_point.empty() ? "mnt" : options.mount_point);
  mkdir(options_.mount_point.c_str(), 0755);
  constexpr int kSpare = 15;
  guardian_ = std::make_unique<Guardian>(work_directory_, options_.mount_point, options_.seconds + kSpare);
}

Situation::~Situation() {
  guardian_.reset();
  if (child_ > 0) wait_until([this] { return waitpid(child_, nullptr, WNOHANG) != 0; }, 8);
  for (const int pipe : {ours_.ready, ours_.command, ours_.answer}) {
    if (pipe >= 0) close(pipe);
  }
}

bool Situation::fail(const std::string& sentence) {
  error_ = sentence;
  return false;
}

bool Situation::start() {
  std::array<int, 2> ready{};
  std::array<int, 2> command{};
  std::array<int, 2> answer{};
  for (auto* ends : {&ready, &command, &answer}) {
    if (pipe2(ends->data(), O_CLOEXEC) < 0) return fail("pipe failed");
  }
  const bool on_host = options_.form == "tar_pit";
  const unsigned long flags = (on_host ? 0UL : CLONE_NEWPID | CLONE_NEWNS) | SIGCHLD;
  child_ = static_cast<pid_t>(syscall(SYS_clone, flags, nullptr, nullptr, nullptr, nullptr));
  if (child_ < 0) return fail(std::string("clone: ") + std::strerror(errno));
  if (child_ == 0) {
    guardian_->forget();
    guardian_.release();  // NOLINT(bugprone-unused-return-value): the parent's to end
    for (const int fd : {ready[0], command[1], answer[0]}) close(fd);
    const Pipes pipes{ready[1], command[0], answer[1]};
    if (on_host) run_tar_pit(options_, pipes);
    run_init(options_, pipes);
  }
  guardian_->watch(child_);
  for (const int fd : {ready[1], command[0], answer[1]}) close(fd);
  ours_ = {ready[0], command[1], answer[0]};
  char byte = 0;
  if (!wait_for_byte(ours_.ready, 10000, &byte))
    return fail("the server did not mount, or its file could not be opened");
  truth_.init = child_;
  truth_.init_start = start_ticks(child_);
  truth_.pid_namespace = namespace_inode(child_, "pid");
  return learn_connection(child_);
}

bool Situation::learn_connection(pid_t pid) {
  truth_.connection = fuse_minor(pid, &truth_.mount_point);
  if (truth_.connection < 0) return fail("no FUSE mount in the lab's mount namespace");
  const int abort = fusectl_.open_abort(truth_.connection);
  if (abort < 0) return fail("the abort file of the lab's own connection cannot be opened");
  guardian_->arm(abort);
  return true;
}

bool Situation::make() {
  if (!start()) return false;
  truth_.state = options_.form;
  if (options_.form == "healthy") return true;
  if (options_.form == "tar_pit") {
    truth_.swallow = options_.mount_point + "/swallow";
    return true;
  }
  if (options_.form == "hang_reader") return find_hanging();
  return spring_deadlock();
}

bool Situation::find_blocked(pid_t process) {
  for (const pid_t tid : list_numbers("/proc/" + std::to_string(process) + "/task")) {
    const std::string stack = read_file(task_of(process, tid) + "/stack");
    if (stack.find("request_wait_answer") == std::string::npos || stack.find("fuse_flush") == std::string::npos)
      continue;
    truth_.blocked_pid = process;
    truth_.blocked_tid = tid;
    return true;
  }
  return false;
}

bool Situation::spring_deadlock() {
  const bool is_init = options_.form == "server_pid1";
  const auto children = children_of(child_);
  if (children.empty()) return fail("init has no child");
  const pid_t server = is_init ? child_ : children.front();
  kill(child_, SIGKILL);
  const bool stands = wait_until(
      [&] {
        const bool reaping =
            is_init || file_contains("/proc/" + std::to_string(child_) + "/stack", "zap_pid_ns_processes");
        return reaping && find_blocked(server) && fusectl_.waiting(truth_.connection) > 0;
      },
      10);
  if (!stands) return fail("the namespace died by itself, or the thread waits elsewhere");
  truth_.state = is_init ? "init_blocked" : "reaping";
  truth_.waiting = fusectl_.waiting(truth_.connection);
  return true;
}

bool Situation::find_hanging() {
  const auto children = children_of(child_);
  if (children.size() < 2) return fail("the client is missing");
  if (!wait_until([&] { return fusectl_.waiting(truth_.connection) > 0; }, 5)) return fail("the FLUSH did not come");
  truth_.blocked_pid = truth_.blocked_tid = children.back();
  truth_.waiting = fusectl_.waiting(truth_.connection);
  const std::string process = "/proc/" + std::to_string(children.back()) + "/";
  for (const char* file : {"stat", "wchan", "stack"}) {
    if (reading_hangs(process + file)) truth_.hangs.push_back(process + file);
  }
  unsupported_ = truth_.hangs.empty();
  return unsupported_ ? fail("no file of a process in execve hangs on this kernel") : true;
}

bool Situation::stands_as_asked() const {
  return options_.form != "flush_thread" || truth_.blocked_tid != truth_.blocked_pid;
}

bool Situation::read_again() {
  char byte = 0;
  if (write(ours_.command, "r", 1) != 1 || !wait_for_byte(ours_.answer, 5000, &byte)) return false;
  return byte == 'k';
}

}  // namespace lab
