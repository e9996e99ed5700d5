// SPDX-License-Identifier: Apache-2.0
#include "situation.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <random>

#include "proc_files.h"

namespace lab {

namespace {

bool wait_for_byte(int pipe, int milliseconds, char* byte) {
  pollfd ready{pipe, POLLIN, 0};
  return poll(&ready, 1, milliseconds) == 1 && read(pipe, byte, 1) == 1;
}

// Reads `path` in a child of its own, which ends with the lab: it can be killed where the read blocks (KERNEL.md 4b).
pid_t start_reader(const std::string& path) {
  const pid_t lab = getpid();
  const pid_t reader = fork();
  if (reader != 0) return reader;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() == lab) read_file(path);
  _exit(0);
}

bool has_ended(pid_t child) { return waitpid(child, nullptr, WNOHANG) != 0; }

// Those of `paths` that cannot be read within half a second.
std::vector<std::string> find_hanging_files(const std::vector<std::string>& paths) {
  std::vector<pid_t> readers;
  for (const std::string& path : paths) readers.push_back(start_reader(path));
  std::vector<std::string> hanging;
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(500);
  for (std::size_t i = 0; i < paths.size(); ++i) {
    const std::chrono::duration<double> left = end - std::chrono::steady_clock::now();
    if (wait_until([&] { return has_ended(readers[i]); }, left.count())) continue;
    kill(readers[i], SIGKILL);
    wait_until([&] { return has_ended(readers[i]); }, 2);
    hanging.push_back(paths[i]);
  }
  return hanging;
}

// Not guessed and not used before: a mount below a directory of this name is ours.
std::string random_name() {
  std::random_device source;
  std::array<char, 17> text{};
  std::snprintf(text.data(), text.size(), "%08x%08x", source(), source());
  return text.data();
}

std::string task_of(pid_t pid, pid_t tid) { return "/proc/" + std::to_string(pid) + "/task/" + std::to_string(tid); }

}  // namespace

Situation::Situation(const Options& options) : options_(options) {
  work_directory_ = options.work_directory + "/defused-lab-" + random_name();
  options_.mount_point = work_directory_ + "/" + (options.mount_point.empty() ? "mnt" : options.mount_point);
  constexpr int kSpare = 15;
  // First of all: it also removes the directories.
  guardian_ = std::make_unique<Guardian>(work_directory_, options_.mount_point, options_.seconds + kSpare);
}

Situation::~Situation() {
  end();
  for (const int file : {ours_.ready, ours_.command, ours_.answer, waiting_}) {
    if (file >= 0) close(file);
  }
}

bool Situation::fail(const std::string& sentence) {
  error_ = sentence;
  return false;
}

std::string Situation::end() {
  guardian_.reset();
  if (child_ > 0 && wait_until([this] { return has_ended(child_); }, 8)) child_ = -1;
  std::string left;
  if (child_ > 0) left += "processes:\n" + stacks_of(child_) + stacks_of(truth_.blocked_pid);
  // Its superblock goes a moment after the last process.
  if (!wait_until([this] { return read_waiting(waiting_) < 0; }, 5))
    left += "connection " + std::to_string(truth_.connection) + "\n";
  if (access(work_directory_.c_str(), F_OK) == 0) left += work_directory_ + "\n";
  return left;
}

bool Situation::start() {
  if (mkdir(work_directory_.c_str(), 0755) < 0 || mkdir(options_.mount_point.c_str(), 0755) < 0)
    return fail(options_.mount_point + ": " + std::strerror(errno));
  if (!fusectl_.usable()) {
    unsupported_ = true;
    return fail("fusectl cannot be mounted here");
  }
  std::array<int, 2> ready{};
  std::array<int, 2> command{};
  std::array<int, 2> answer{};
  for (auto* ends : {&ready, &command, &answer}) {
    if (pipe2(ends->data(), O_CLOEXEC) < 0) return fail("pipe failed");
  }
  const bool on_host = options_.form == "tar_pit";
  const unsigned long flags = (on_host ? 0UL : CLONE_NEWPID | CLONE_NEWNS) | SIGCHLD;
  child_ = static_cast<pid_t>(syscall(SYS_clone, flags, nullptr, nullptr, nullptr, nullptr));
  if (child_ == 0) {
    guardian_->forget();
    guardian_.release();  // NOLINT(bugprone-unused-return-value): the parent's to end
    for (const int fd : {ready[0], command[1], answer[0]}) close(fd);
    const Pipes pipes{ready[1], command[0], answer[1]};
    if (on_host) run_tar_pit(options_, pipes);
    run_init(options_, pipes);
  }
  for (const int fd : {ready[1], command[0], answer[1]}) close(fd);
  ours_ = {ready[0], command[1], answer[0]};
  unsupported_ = child_ < 0;
  if (child_ < 0) return fail(std::string("clone: ") + std::strerror(errno));
  return let_it_mount_and_hold();
}

// One step at a time, so that at each moment the guardian has all that it takes to end it.
bool Situation::let_it_mount_and_hold() {
  constexpr int kMilliseconds = 10000;
  guardian_->watch(child_);
  char byte = 0;
  if (write(ours_.command, "m", 1) != 1 || !wait_for_byte(ours_.ready, kMilliseconds, &byte))
    return fail("the server did not mount");
  truth_.init = child_;
  truth_.init_start = start_ticks(child_);
  truth_.pid_namespace = namespace_inode(child_, "pid");
  if (!learn_connection(child_)) return false;
  if (options_.form == "tar_pit") return true;
  if (write(ours_.command, "h", 1) != 1 || !wait_for_byte(ours_.ready, kMilliseconds, &byte))
    return fail("the server's file could not be opened");
  return true;
}

bool Situation::learn_connection(pid_t pid) {
  const std::string name = work_directory_.substr(work_directory_.rfind('/') + 1);
  truth_.connection = fuse_minor(pid, name, &truth_.mount_point);
  if (truth_.connection < 0) return fail("no FUSE mount in the lab's mount namespace");
  const int abort = fusectl_.open_abort(truth_.connection);
  if (abort < 0) return fail("the abort file of the lab's own connection cannot be opened");
  // Numbers are used again at once: only a mount that is still there says whose file this is.
  if (fuse_minor(pid, name, &truth_.mount_point) != truth_.connection) {
    close(abort);
    return fail("the mount went away");
  }
  guardian_->arm(abort);
  waiting_ = fusectl_.open_waiting(truth_.connection);
  return waiting_ >= 0 || fail("the waiting file of the lab's own connection cannot be opened");
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
        const bool reaping = stacks_of(child_).find("zap_pid_ns_processes") != std::string::npos;
        truth_.state = reaping ? "reaping" : "init_blocked";
        return (reaping || is_init) && find_blocked(server) && read_waiting(waiting_) > 0;
      },
      10);
  if (!stands) return fail("the namespace died by itself, or the thread waits elsewhere");
  truth_.waiting = read_waiting(waiting_);
  return true;
}

bool Situation::find_hanging() {
  const auto children = children_of(child_);
  if (children.size() < 2) return fail("the client is missing");
  if (!wait_until([&] { return read_waiting(waiting_) > 0; }, 5)) return fail("the FLUSH did not come");
  truth_.blocked_pid = truth_.blocked_tid = children.back();
  truth_.waiting = read_waiting(waiting_);
  const std::string process = "/proc/" + std::to_string(children.back()) + "/";
  truth_.hangs = find_hanging_files({process + "stat", process + "wchan", process + "stack"});
  unsupported_ = truth_.hangs.empty();
  return unsupported_ ? fail("no file of a process in execve hangs on this kernel") : true;
}

bool Situation::stands_as_asked() const {
  if (truth_.state != "reaping" && truth_.state != "init_blocked") return true;
  const bool leader = truth_.blocked_tid == truth_.blocked_pid;
  if (options_.form == "flush_leader" || options_.form == "hostile") return leader;
  if (truth_.state != (options_.form == "server_pid1" ? "init_blocked" : "reaping")) return false;
  const std::string process = "/proc/" + std::to_string(truth_.blocked_pid);
  return !leader && status_field(process, "State").rfind('Z', 0) == 0 && status_field(process, "Threads") == "2";
}

bool Situation::read_again() {
  char byte = 0;
  if (write(ours_.command, "r", 1) != 1 || !wait_for_byte(ours_.answer, 5000, &byte)) return false;
  return byte == 'k';
}

}  // namespace lab
