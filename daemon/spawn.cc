// SPDX-License-Identifier: Apache-2.0
#include "daemon/spawn.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string_view>

#include "base/descriptors.h"
#include "base/text.h"
#include "base/whole_io.h"
#include "daemon/channel.h"

namespace defused {

namespace {

// The child's ends.
struct Ends {
  int self;
  int channel;
  int log;
};

// Between fork and exec: only calls that are safe there.
[[noreturn]] void run_child(Ends ends, const std::vector<char*>& arguments, pid_t parent) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(1);
  // The terminal and systemd mean the service: its children end when it says so, with their work done.
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) signal(number, SIG_IGN);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  // First out of the way of the numbers that they are to have: where ours were closed, these are low.
  constexpr int kAbove = kChannelDescriptor + 1;
  for (int* end : {&ends.self, &ends.channel, &ends.log}) *end = fcntl(*end, F_DUPFD_CLOEXEC, kAbove);
  if (dup2(ends.log, STDERR_FILENO) < 0 || dup2(ends.channel, kChannelDescriptor) < 0) _exit(1);
  const int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO}) {
    if (dup2(nothing >= 0 ? nothing : ends.log, fd) < 0) _exit(1);
  }
  // Open without close-on-exec where `nothing` itself got 0 or 1.
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO}) fcntl(fd, F_SETFD, 0);
  close_on_exec_from(kAbove);
  syscall(SYS_execveat, ends.self, "", arguments.data(), environ, AT_EMPTY_PATH);
  _exit(1);
}

// Our own fresh child: it cannot be stuck yet, so reading its stat is safe. Field 22.
std::uint64_t read_start_ticks(pid_t pid) {
  const UniqueFd file(open(("/proc/" + std::to_string(pid) + "/stat").c_str(), O_RDONLY | O_CLOEXEC));
  std::array<char, 1024> text{};
  const ssize_t got = file ? read(file.get(), text.data(), text.size()) : -1;
  if (got <= 0) return 0;
  std::string_view rest(text.data(), static_cast<std::size_t>(got));
  rest.remove_prefix(rest.rfind(')') + 2);
  for (int field = 3; field < 22; ++field) take_field(rest, ' ');
  return parse_u64(take_field(rest, ' ')).value_or(0);
}

}  // namespace

Result<UniqueFd> open_self() {
  UniqueFd self(open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
  if (!self) return fail_errno(errno, "opening /proc/self/exe");
  return self;
}

Result<Child> spawn_self(int self, const std::vector<std::string>& arguments) {
  auto channel = make_channel();
  if (!channel) return Failure(channel.error());
  std::array<int, 2> log{};
  if (pipe2(log.data(), O_CLOEXEC) < 0) return fail_errno(errno, "pipe2");
  Child child;
  child.log.reset(log[0]);
  const UniqueFd its_log(log[1]);
  fcntl(child.log.get(), F_SETFL, O_NONBLOCK);
  std::string name = "defused";
  std::vector<std::string> copies = arguments;
  std::vector<char*> pointers = {name.data()};
  for (std::string& argument : copies) pointers.push_back(argument.data());
  pointers.push_back(nullptr);
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid < 0) return fail_errno(errno, "fork");
  if (pid == 0) run_child({self, channel->second.get(), its_log.get()}, pointers, parent);
  child.id.pid = pid;
  child.id.start_ticks = read_start_ticks(pid);
  child.channel = std::move(channel->first);
  child.pidfd = open_pidfd(pid);
  if (!child.pidfd) {
    const int error = errno;
    kill(pid, SIGKILL);
    waitpid(pid, nullptr, 0);  // fresh: nothing can hold it yet
    return fail_errno(error, "pidfd_open");
  }
  return child;
}

void forward_log(const Child& child) {
  if (!child.log) return;
  std::array<char, 65536> text{};
  const ssize_t got = read(child.log.get(), text.data(), text.size());
  if (got <= 0) return;
  // Where it cannot be written there is nobody to tell.
  [[maybe_unused]] const auto written =
      write_all(STDERR_FILENO, std::string_view(text.data(), static_cast<std::size_t>(got)));
}

UniqueFd open_pidfd(pid_t pid) { return UniqueFd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0))); }

Result<void> kill_child(const Child& child) {
  if (syscall(SYS_pidfd_send_signal, child.pidfd.get(), SIGKILL, nullptr, 0) < 0 && errno != ESRCH) {
    return fail_errno(errno, "killing process " + std::to_string(child.id.pid));
  }
  return {};
}

bool reap_child(Child& child) {
  if (!child.running()) return true;
  siginfo_t info{};
  const int failed = waitid(P_PIDFD, static_cast<id_t>(child.pidfd.get()), &info, WEXITED | WNOHANG);
  if (failed == 0 && info.si_pid == 0) return false;
  forward_log(child);
  child = Child{};
  return true;
}

bool wait_child(Child& child, int milliseconds) {
  if (!child.running()) return true;
  pollfd ended{child.pidfd.get(), POLLIN, 0};
  poll(&ended, 1, milliseconds);
  return reap_child(child);
}

UniqueFd adopt_channel(const char* process_name) {
  // Again: exec forgets it where it gives more capabilities than who started us had. Had he ended before, the channel
  // says so.
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  prctl(PR_SET_NAME, process_name);
  fcntl(kChannelDescriptor, F_SETFD, FD_CLOEXEC);
  return UniqueFd(kChannelDescriptor);
}

}  // namespace defused
