// SPDX-License-Identifier: Apache-2.0
#include "remedy/hook.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <version.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <string_view>

#include "base/descriptors.h"
#include "base/text.h"
#include "base/unique_fd.h"
#include "remedy/remedy.h"

namespace defused {

namespace {

// What SIGKILL takes where nothing holds the process; beyond it the kernel holds it, and nothing can end it.
constexpr Nanoseconds kDying = std::chrono::milliseconds(500);
constexpr const char* kPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
// Where exec's errno goes: the first descriptor behind the standard ones, closed by exec itself.
constexpr int kExecError = STDERR_FILENO + 1;

// Strings and the pointers to them, as exec wants them; made before fork, since nothing may be allocated after it.
class Pointers {
 public:
  explicit Pointers(std::vector<std::string> texts) : texts_(std::move(texts)) {
    for (std::string& text : texts_) pointers_.push_back(text.data());
    pointers_.push_back(nullptr);
  }
  Pointers(const Pointers&) = delete;
  Pointers& operator=(const Pointers&) = delete;
  ~Pointers() = default;
  [[nodiscard]] char* const* get() const { return pointers_.data(); }

 private:
  std::vector<std::string> texts_;
  std::vector<char*> pointers_;
};

struct Command {
  Pointers arguments;
  Pointers environment;
};

// A hook that closes its standard input must not end us: while this lives SIGPIPE is held back, and one that came is
// taken away unless it was pending before.
class SigpipeHeld {
 public:
  SigpipeHeld() {
    sigemptyset(&pipe_);
    sigaddset(&pipe_, SIGPIPE);
    sigset_t pending;
    sigemptyset(&pending);
    sigpending(&pending);
    was_pending_ = sigismember(&pending, SIGPIPE) == 1;
    pthread_sigmask(SIG_BLOCK, &pipe_, &before_);
  }
  SigpipeHeld(const SigpipeHeld&) = delete;
  SigpipeHeld& operator=(const SigpipeHeld&) = delete;
  ~SigpipeHeld() {
    const timespec now{};
    while (!was_pending_ && sigtimedwait(&pipe_, nullptr, &now) < 0 && errno == EINTR) {
    }
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }

 private:
  sigset_t pipe_{};
  sigset_t before_{};
  bool was_pending_ = false;
};

// The child's ends.
struct Ends {
  int input;
  int output;
  int error;
};

[[noreturn]] void fail_child(int fd, int code) {
  // Whoever does not read it sees the exit.
  if (write(fd, &code, sizeof code) < 0) _exit(126);
  _exit(127);
}

void reset_signals() {
  struct sigaction plain {};
  plain.sa_handler = SIG_DFL;
  for (int number = 1; number < _NSIG; ++number) sigaction(number, &plain, nullptr);  // some refuse: never changed
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
}

// Between fork and exec: only calls that are safe there.
[[noreturn]] void run_child(Ends ends, const Command& command, pid_t parent) {
  setpgid(0, 0);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(126);
  reset_signals();
  // First out of the way of the numbers that they are to have: where ours were closed, these are low.
  for (int* end : {&ends.error, &ends.input, &ends.output}) {
    const int moved = fcntl(*end, F_DUPFD_CLOEXEC, kExecError + 1);
    if (moved < 0) fail_child(ends.error, errno);
    *end = moved;
  }
  if (dup3(ends.error, kExecError, O_CLOEXEC) < 0) fail_child(ends.error, errno);
  if (dup2(ends.input, STDIN_FILENO) < 0 || dup2(ends.output, STDOUT_FILENO) < 0 ||
      dup2(ends.output, STDERR_FILENO) < 0 || chdir("/") < 0) {
    fail_child(kExecError, errno);
  }
  close_descriptors_from(kExecError + 1);
  execve(command.arguments.get()[0], command.arguments.get(), command.environment.get());
  fail_child(kExecError, errno);
}

struct Pipe {
  UniqueFd read;
  UniqueFd write;
  static Result<Pipe> make() {
    std::array<int, 2> ends{};
    if (pipe2(ends.data(), O_CLOEXEC) < 0) return fail_errno(errno, "making a pipe");
    return Pipe{UniqueFd(ends[0]), UniqueFd(ends[1])};
  }
};

std::string on_one_line(std::string text) {
  for (char& c : text) {
    if (c == '\n' || c == '\r' || c == '\t') c = ' ';
  }
  return sanitize(trim(text), kMaxHookOutput);
}

// A started hook, from fork to its last words.
class HookRun {
 public:
  HookRun(std::string name, std::string input, Nanoseconds limit)
      : name_(std::move(name)), input_(std::move(input)), limit_(limit) {}

  HookResult run(const Command& command) {
    result_.configured = true;
    const SigpipeHeld held;
    if (auto started = start(command); !started) {
      result_.trouble = name_ + " could not be started: " + describe_error(started.error());
      return std::move(result_);
    }
    const bool in_time = attend();
    finish(in_time);
    result_.output = on_one_line(std::move(output_));
    return std::move(result_);
  }

 private:
  Result<void> start(const Command& command) {
    auto input = Pipe::make();
    auto output = Pipe::make();
    auto error = Pipe::make();
    for (const auto* pipe : {&input, &output, &error}) {
      if (!*pipe) return Failure(pipe->error());
    }
    const pid_t self = getpid();
    child_ = fork();
    if (child_ < 0) return fail_errno(errno, "fork");
    if (child_ == 0) run_child({input->read.get(), output->write.get(), error->write.get()}, command, self);
    setpgid(child_, child_);  // it does so too: whoever comes first
    in_ = std::move(input->write);
    out_ = std::move(output->read);
    error_ = std::move(error->read);
    for (const UniqueFd* end : {&in_, &out_, &error_}) fcntl(end->get(), F_SETFL, O_NONBLOCK);
    pidfd_.reset(static_cast<int>(syscall(SYS_pidfd_open, child_, 0)));
    if (pidfd_) return {};
    const int code = errno;
    kill_group();
    waitpid(child_, nullptr, 0);  // fresh: nothing can hold it yet
    return fail_errno(code, "pidfd_open");
  }

  // True: it ended in time, and nobody has taken its remains yet.
  bool attend() {
    const Stopwatch watch;
    while (true) {
      const Nanoseconds left = limit_ - watch.elapsed();
      if (left <= Nanoseconds(0)) return false;
      const auto milliseconds = std::chrono::ceil<std::chrono::milliseconds>(left).count();
      std::array<pollfd, 3> waits = {
          {{pidfd_.get(), POLLIN, 0}, {out_ ? out_.get() : -1, POLLIN, 0}, {in_ ? in_.get() : -1, POLLOUT, 0}}};
      if (poll(waits.data(), waits.size(), static_cast<int>(std::min<std::int64_t>(milliseconds, 60'000))) < 0)
        continue;
      if (waits[1].revents != 0) take_output();
      if (waits[2].revents != 0) give_input();
      if (waits[0].revents != 0) return true;
    }
  }

  void give_input() {
    const std::string_view rest = std::string_view(input_).substr(given_);
    const ssize_t written = write(in_.get(), rest.data(), rest.size());
    if (written > 0) given_ += static_cast<std::size_t>(written);
    const bool refused = written < 0 && errno != EAGAIN && errno != EINTR;  // it need not read
    if (refused || given_ == input_.size()) in_.reset();
  }

  // All is taken, so that it is not held up by a full pipe; the first part is kept. One read takes all that a pipe
  // holds, so whatever was written before its end was seen is taken.
  void take_output() {
    std::array<char, 65'536> text{};
    const ssize_t got = read(out_.get(), text.data(), text.size());
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (got <= 0) return out_.reset();
    output_.append(text.data(), std::min(static_cast<std::size_t>(got), kMaxHookOutput - output_.size()));
  }

  void finish(bool in_time) {
    // Before its remains are taken: until then the number of its group is not given to anybody else.
    kill_group();
    siginfo_t end{};
    if (!take_remains(end)) {
      result_.trouble = name_ + " did not end within " + limit_text() + ", and SIGKILL does not end it: process " +
                        std::to_string(child_) + " is left behind";
      return;
    }
    int code = 0;
    if (read(error_.get(), &code, sizeof code) == sizeof code) {
      result_.trouble = name_ + " could not be run: " + describe_errno(code);
    } else if (!in_time) {
      result_.trouble = name_ + " did not end within " + limit_text() + " and was killed";
    } else if (end.si_pid == 0) {
      result_.trouble = "how " + name_ + " ended is not known";
    } else if (end.si_code == CLD_EXITED) {
      result_.exit_code = end.si_status;
    } else {
      const char* const signal_name = sigabbrev_np(end.si_status);
      result_.trouble = name_ + " was ended by signal " + std::to_string(end.si_status) +
                        (signal_name == nullptr ? "" : std::string(" (SIG") + signal_name + ")");
    }
  }

  void kill_group() const { kill(-child_, SIGKILL); }

  [[nodiscard]] bool take_remains(siginfo_t& end) const {
    const Stopwatch watch;
    while (true) {
      end = siginfo_t{};
      const int failed = waitid(P_PIDFD, static_cast<id_t>(pidfd_.get()), &end, WEXITED | WNOHANG);
      if (failed == 0 && end.si_pid != 0) return true;
      if (failed != 0 && errno != EINTR) return true;  // somebody else took them (SIGCHLD may be ignored)
      if (watch.elapsed() >= kDying) return false;
      pollfd ended{pidfd_.get(), POLLIN, 0};
      poll(&ended, 1, static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(kDying).count()));
    }
  }

  [[nodiscard]] std::string limit_text() const {
    return std::to_string(std::chrono::ceil<std::chrono::milliseconds>(limit_).count()) + " ms";
  }

  std::string name_;
  std::string input_;
  Nanoseconds limit_;
  pid_t child_ = -1;
  UniqueFd pidfd_;
  UniqueFd in_;
  UniqueFd out_;
  UniqueFd error_;
  std::size_t given_ = 0;  // bytes of input_
  std::string output_;
  HookResult result_;
};

}  // namespace

HookResult run_hook(const std::vector<std::string>& argv, const std::string& name, const std::string& input,
                    Nanoseconds limit) {
  if (argv.empty()) return {};
  const Command command{
      Pointers(argv), Pointers({kPath, "LANG=C", "DEFUSED_HOOK=" + name, std::string("DEFUSED_VERSION=") + kVersion})};
  return HookRun(sanitize(argv.front()), input + "\n", limit).run(command);
}

}  // namespace defused
