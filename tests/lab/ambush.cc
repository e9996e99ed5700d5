// SPDX-License-Identifier: Apache-2.0
#include "ambush.h"

#include <signal.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <optional>

#include "daemon/channel.h"

namespace lab {

#if defined(__x86_64__)

namespace {

constexpr int kSyscallStop = SIGTRAP | 0x80;

bool read_there(pid_t pid, const void* address, void* ours, std::size_t size) {
  iovec local{ours, size};
  iovec remote{const_cast<void*>(address), size};  // NOLINT(cppcoreguidelines-pro-type-const-cast): only read
  return process_vm_readv(pid, &local, 1, &remote, 1, 0) == static_cast<ssize_t>(size);
}

const void* pointer(unsigned long value) {
  return reinterpret_cast<const void*>(value);  // NOLINT(performance-no-int-to-ptr): an address over there
}

// The message that the process is about to send with sendmsg(_, `packet`, _).
std::optional<defused::Message> read_message(pid_t pid, unsigned long packet) {
  msghdr header{};
  iovec part{};
  defused::Message message;
  if (!read_there(pid, pointer(packet), &header, sizeof header) || header.msg_iovlen != 1) return std::nullopt;
  if (!read_there(pid, header.msg_iov, &part, sizeof part) || part.iov_len != sizeof message) return std::nullopt;
  if (!read_there(pid, part.iov_base, &message, sizeof message)) return std::nullopt;
  return message;
}

class Waiting {
 public:
  Waiting(pid_t pid, const std::string& path, const Ambush& ambush) : pid_(pid), path_(path), ambush_(ambush) {}

  InjectResult run() {
    const long options = ambush_.of_child ? PTRACE_O_TRACEFORK : PTRACE_O_TRACESYSGOOD;
    if (ptrace(PTRACE_SEIZE, pid_, nullptr, options) < 0) return failed("attaching");
    if (!ambush_.of_child && ptrace(PTRACE_INTERRUPT, pid_, nullptr, nullptr) < 0) return failed("stopping it");
    std::printf("waiting\n");
    std::fflush(stdout);
    if (ambush_.of_child && !follow_fork(PTRACE_CONT)) return failed("waiting for a child");
    if (!(ambush_.phase == "start" ? run_to_start() : run_to_phase())) {
      InjectResult result = failed("waiting for the phase");
      forget_breakpoint();
      return result;
    }
    if (!break_at(0)) return failed("removing the breakpoint");
    if (ambush_.of_reader && !wait_for_reader()) return failed("waiting for a reader");
    if (!ambush_.kill.empty()) return kill_them();
    InjectResult result = let_go_into_open(pid_, path_);
    ptrace(PTRACE_DETACH, pid_, nullptr, nullptr);
    return result;
  }

 private:
  // It is not let go of before it is dead: it dies with its supervisor, but not in the same moment.
  [[nodiscard]] InjectResult kill_them() const {
    for (const pid_t victim : ambush_.kill) {
      if (kill(victim, SIGKILL) < 0) return failed("killing");
    }
    int status = 0;
    while (waitpid(pid_, &status, __WALL) == pid_) {
      if (!WIFSTOPPED(status)) return {true, "", std::nullopt, pid_};
    }
    return failed("waiting for its end");
  }

  [[nodiscard]] InjectResult failed(const char* what) const {
    const std::string phase = last_ ? last_->phase : "none";
    return {true, std::string(what) + ": " + std::strerror(errno) + " (last phase: " + phase + ")", std::nullopt, 0};
  }

  // The next stop of pid_; false at its end, and when time is up (SIGALRM).
  bool wait_for_stop(int& status) const {
    if (waitpid(pid_, &status, __WALL) != pid_) return false;
    errno = ESRCH;
    return WIFSTOPPED(status);
  }

  // Lets it go on from a stop that is not what is waited for.
  bool go_on(int status, __ptrace_request how) const {
    const int signal = WSTOPSIG(status);
    const int event = status >> 16;
    const bool is_group_stop = event == PTRACE_EVENT_STOP && signal != SIGTRAP;
    if (is_group_stop) return ptrace(PTRACE_LISTEN, pid_, nullptr, nullptr) == 0;
    const bool is_delivery = event == 0 && signal != kSyscallStop && signal != SIGTRAP;  // that one is ours
    return ptrace(how, pid_, nullptr, is_delivery ? static_cast<long>(signal) : 0L) == 0;
  }

  // To the end of a system call that `is_wanted` (asked at its beginning and its end).
  template <typename Predicate>
  bool run_to(Predicate is_wanted) {
    int status = 0;
    while (wait_for_stop(status)) {
      if (WSTOPSIG(status) == kSyscallStop) {
        __ptrace_syscall_info call{};
        if (ptrace(PTRACE_GET_SYSCALL_INFO, pid_, sizeof call, &call) < 0) return false;
        if (call.op == PTRACE_SYSCALL_INFO_ENTRY) number_ = static_cast<long>(call.entry.nr);
        if (is_wanted(call)) return true;
      }
      if (!go_on(status, PTRACE_SYSCALL)) return false;
    }
    return false;
  }

  bool run_to_start() {
    return run_to([this](const __ptrace_syscall_info& call) {
      return call.op == PTRACE_SYSCALL_INFO_EXIT && number_ == SYS_recvmsg && call.exit.rval > 0;
    });
  }

  // A prober that stops at each of its system calls is slow enough to miss its deadline. So that is done up to its
  // first message alone: the others leave by the same instruction, and a breakpoint of the CPU behind it costs nothing.
  bool run_to_phase() {
    unsigned long packet = 0;
    unsigned long behind = 0;
    const bool sent = run_to([&](const __ptrace_syscall_info& call) {
      if (call.op == PTRACE_SYSCALL_INFO_ENTRY) packet = call.entry.args[1];
      behind = call.instruction_pointer;
      return call.op == PTRACE_SYSCALL_INFO_EXIT && number_ == SYS_sendmsg;
    });
    if (!sent) return false;
    if (is_awaited(packet)) return true;
    if (!break_at(behind) || ptrace(PTRACE_CONT, pid_, nullptr, nullptr) < 0) return false;
    int status = 0;
    while (wait_for_stop(status)) {
      user_regs_struct regs{};
      if (ptrace(PTRACE_GETREGS, pid_, nullptr, &regs) < 0) return false;
      const bool is_there = status >> 16 == 0 && WSTOPSIG(status) == SIGTRAP && regs.rip == behind;
      if (is_there && is_awaited(regs.rsi)) return true;
      if (!go_on(status, PTRACE_CONT)) return false;
    }
    return false;
  }

  // Whether the message that was sent with `packet` is the announcement that is waited for.
  bool is_awaited(unsigned long packet) {
    const auto message = read_message(pid_, packet);
    if (!message || message->type != defused::MessageType::phase) return false;
    last_ = message;
    return ambush_.phase == message->phase && ++seen_ == ambush_.nth;
  }

  // For one that is let go uncaught, and is running where time was up: at a breakpoint that nobody waits at it would
  // die.
  void forget_breakpoint() const {
    int status = 0;
    alarm(2);
    if (ptrace(PTRACE_INTERRUPT, pid_, nullptr, nullptr) < 0 || !wait_for_stop(status) || !break_at(0)) return;
    go_on(status, PTRACE_CONT);
  }

  // By the first debug register; 0: no more.
  [[nodiscard]] bool break_at(unsigned long address) const {
    constexpr std::size_t kFirst = offsetof(struct user, u_debugreg);
    constexpr std::size_t kControl = kFirst + 7 * sizeof(unsigned long);
    const auto set = [this](std::size_t where, unsigned long value) {
      return ptrace(PTRACE_POKEUSER, pid_, where, value) == 0;
    };
    return set(kControl, 0) && (address == 0 || (set(kFirst, address) && set(kControl, 1)));
  }

  // Lets pid_ go once it has forked, and goes on with its child.
  bool follow_fork(__ptrace_request how) {
    int status = 0;
    while (wait_for_stop(status)) {
      if (status >> 16 == PTRACE_EVENT_FORK) {
        unsigned long child = 0;
        if (ptrace(PTRACE_GETEVENTMSG, pid_, nullptr, &child) < 0) return false;
        ptrace(PTRACE_DETACH, pid_, nullptr, nullptr);
        pid_ = static_cast<pid_t>(child);
        return wait_for_stop(status) && ptrace(PTRACE_SETOPTIONS, pid_, nullptr, PTRACE_O_TRACESYSGOOD) == 0 &&
               ptrace(PTRACE_SYSCALL, pid_, nullptr, nullptr) == 0;
      }
      if (!go_on(status, how)) return false;
    }
    return false;
  }

  bool wait_for_reader() {
    if (ptrace(PTRACE_SETOPTIONS, pid_, nullptr, PTRACE_O_TRACEFORK) < 0) return false;
    if (ptrace(PTRACE_CONT, pid_, nullptr, nullptr) < 0 || !follow_fork(PTRACE_CONT)) return false;
    return run_to([this](const __ptrace_syscall_info& call) {
      return call.op == PTRACE_SYSCALL_INFO_EXIT && number_ == SYS_openat2;
    });
  }

  pid_t pid_;
  const std::string& path_;
  const Ambush& ambush_;
  long number_ = -1;
  unsigned seen_ = 0;
  std::optional<defused::Message> last_;
};

}  // namespace

InjectResult inject_open_in_phase(pid_t pid, const std::string& path, const Ambush& ambush) {
  struct sigaction interrupt {};
  interrupt.sa_handler = [](int) {};
  sigaction(SIGALRM, &interrupt, nullptr);
  alarm(ambush.seconds);
  return Waiting(pid, path, ambush).run();
}

#else

InjectResult inject_open_in_phase(pid_t, const std::string&, const Ambush&) {
  return {false, "only on x86-64", std::nullopt, 0};
}

#endif

}  // namespace lab
