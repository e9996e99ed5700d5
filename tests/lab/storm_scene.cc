// SPDX-License-Identifier: Apache-2.0
#include "storm_scene.h"

#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <random>

#include "proc_files.h"
#include "storm_member.h"

namespace lab {

namespace {

using SteadyTime = std::chrono::steady_clock::time_point;

constexpr int kAnswerMs = 5000;  // for one order: forty times what it takes on a busy machine
constexpr int kEndMs = 5000;     // what does not end within will not

int ms_since(SteadyTime begin) {
  return static_cast<int>(
      std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - begin).count());
}

bool is_readable(int file, int milliseconds) {
  pollfd ready{file, POLLIN, 0};
  return poll(&ready, 1, milliseconds) > 0;
}

bool is_read(const std::string& text) { return text[0] == order::kRead || text[0] == order::kReadDirect; }

bool has_server_apart(Kind kind) { return kind != Kind::init_serves; }

class Scene {
 public:
  Scene(const Plan& plan, const std::string& directory, const Fusectl& fusectl, Guardian& guardian)
      : plan_(plan), name_("s" + std::to_string(plan.number)), fusectl_(fusectl), guardian_(guardian) {
    directory_ = directory + "/" + name_;
    place_.mount_point = directory_ + "/mnt";
    place_.writeback_cache = plan.writeback_cache;
    place_.has_flush = plan.kind != Kind::own_files && plan.kind != Kind::init_serves;
    members_.resize(1 + (has_server_apart(plan.kind) ? 1 : 0) + plan.orders.size());
    outcome_.number = plan.number;
    outcome_.kind = plan.kind;
  }

  Outcome play() {
    mkdir(directory_.c_str(), 0755);
    mkdir(place_.mount_point.c_str(), 0755);
    outcome_.made = raise() && mount() && furnish();
    if (outcome_.made) {
      bring_down();
    } else {
      std::fprintf(stderr, "defused-storm: namespace %u (%s): %s: %s\n", plan_.number,
                   kKindNames.at(static_cast<std::size_t>(plan_.kind)), trouble_, std::strerror(errno));
    }
    settle();
    rmdir(place_.mount_point.c_str());
    rmdir(directory_.c_str());
    return outcome_;
  }

 private:
  struct Member {
    int socket = -1;
    int theirs = -1;
    pid_t pid = 0;
    int pidfd = -1;
  };

  bool complain(const char* what) {
    trouble_ = what;
    return false;
  }

  Member& init() { return members_.front(); }
  Member& server() { return members_.at(has_server_apart(plan_.kind) ? 1 : 0); }
  Member& client(std::size_t index) { return members_.at((has_server_apart(plan_.kind) ? 2 : 1) + index); }
  [[nodiscard]] bool is_outside(std::size_t member) const { return member == 1 && plan_.kind == Kind::outside; }

  // All processes are there before anything is mounted, so none has /dev/fuse but the one that opens it.
  bool raise() {
    for (Member& member : members_) {
      std::array<int, 2> ends{};
      if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) < 0) return complain("socketpair");
      member.socket = ends[0];
      member.theirs = ends[1];
      const int yes = 1;
      setsockopt(member.socket, SOL_SOCKET, SO_PASSCRED, &yes, sizeof yes);
    }
    const long child = syscall(SYS_clone, CLONE_NEWPID | CLONE_NEWNS | SIGCHLD, nullptr, nullptr, nullptr, 0);
    if (child < 0) return complain("clone");
    if (child == 0) be_init();
    outcome_.init = static_cast<pid_t>(child);
    if (plan_.kind == Kind::outside) {
      place_.inside = outcome_.init;
      outside_ = fork();
      if (outside_ == 0) run_member(server().theirs, place_);
    }
    for (Member& member : members_) close(member.theirs);
    for (Member& member : members_) {
      if (!greet(member)) return complain("a member that is there");
    }
    guardian_.watch(outcome_.init);
    if (outside_ > 0) guardian_.watch(outside_);
    outcome_.pid_namespace = namespace_inode(outcome_.init, "pid");
    return true;
  }

  [[noreturn]] void be_init() {
    signal(SIGCHLD, SIG_IGN);  // children are reaped by themselves
    for (std::size_t i = 1; i < members_.size(); ++i) {
      if (!is_outside(i) && fork() == 0) run_member(members_[i].theirs, place_);
    }
    run_member(init().theirs, place_);
  }

  // Its first word, which the kernel signs with its PID as we see it.
  static bool greet(Member& member) {
    char word = 0;
    iovec part{&word, 1};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(ucred))> control{};
    msghdr packet{};
    packet.msg_iov = &part;
    packet.msg_iovlen = 1;
    packet.msg_control = control.data();
    packet.msg_controllen = control.size();
    if (!is_readable(member.socket, kAnswerMs) || recvmsg(member.socket, &packet, 0) != 1) return false;
    const cmsghdr* header = CMSG_FIRSTHDR(&packet);
    if (header == nullptr || header->cmsg_type != SCM_CREDENTIALS) return false;
    ucred sender{};
    std::memcpy(&sender, CMSG_DATA(header), sizeof sender);
    member.pid = sender.pid;
    member.pidfd = static_cast<int>(syscall(SYS_pidfd_open, member.pid, 0));
    return member.pidfd >= 0;
  }

  static bool tell(const Member& member, const std::string& text) {
    return send(member.socket, text.data(), text.size(), MSG_NOSIGNAL) > 0;
  }

  bool ask(const Member& member, const std::string& text, const char* what) {
    std::array<char, 128> word{};
    errno = ETIMEDOUT;
    if (!tell(member, text) || !is_readable(member.socket, kAnswerMs)) return complain(what);
    const ssize_t got = recv(member.socket, word.data(), word.size() - 1, 0);
    if (got == 1 && word[0] == 'k') return true;
    std::fprintf(stderr, "defused-storm: '%s' was answered by '%s'\n", text.c_str(), word.data());
    return complain(what);
  }

  bool mount() {
    if (!ask(server(), {order::kMount}, "mount")) return false;
    std::string where;
    outcome_.connection = fuse_minor(outcome_.init, name_, &where);
    if (outcome_.connection < 0) return complain("a mount that can be seen");
    abort_ = fusectl_.open_abort(outcome_.connection);
    // Numbers are used again at once: only a mount that is still there says whose file this is.
    if (abort_ < 0 || fuse_minor(outcome_.init, name_, &where) != outcome_.connection) return complain("fusectl");
    guardian_.arm(dup(abort_));
    return true;
  }

  bool furnish() {
    if (plan_.kind == Kind::own_closed && !ask(server(), {order::kOwnOnce}, "a file of its own, closed")) return false;
    if (!place_.has_flush) {
      if (!ask(client(0), {order::kTeach}, "FLUSH to be refused")) return false;
      if (!ask(server(), {order::kOwn}, "a file of its own")) return false;
    }
    bool reads = false;
    for (std::size_t i = 0; i < plan_.orders.size(); ++i) {
      reads = reads || is_read(plan_.orders[i]);
      if (!is_read(plan_.orders[i]) && !ask(client(i), plan_.orders[i], "a client")) return false;
    }
    if (!reads) return true;
    if (!ask(server(), {order::kMute}, "no answer any more")) return false;
    for (std::size_t i = 0; i < plan_.orders.size(); ++i) {
      if (is_read(plan_.orders[i])) tell(client(i), plan_.orders[i]);
    }
    const int waiting = fusectl_.open_waiting(outcome_.connection);
    const bool flies = wait_until([&] { return read_waiting(waiting) > 0; }, kAnswerMs / 1000.0);
    close(waiting);
    return flies || complain("a read in flight");
  }

  void bring_down() {
    for (const Plan::Act& act : plan_.ending) {
      const SteadyTime before = std::chrono::steady_clock::now();
      note_end(act.after_ms);
      if (const int left = act.after_ms - ms_since(before); left > 0) usleep(static_cast<useconds_t>(left) * 1000);
      if (begun_ == SteadyTime{}) begun_ = std::chrono::steady_clock::now();
      const Member& member = members_.at(act.member);
      if (act.killed) {
        syscall(SYS_pidfd_send_signal, member.pidfd, SIGKILL, nullptr, 0);
      } else {
        tell(member, {order::kExit});
      }
    }
  }

  void note_end(int milliseconds) {
    if (begun_ == SteadyTime{} || outcome_.ended || !is_readable(init().pidfd, milliseconds)) return;
    outcome_.ended = true;
    outcome_.ms = ms_since(begun_);
  }

  // Whatever stands now has to go.
  void settle() {
    if (begun_ == SteadyTime{}) begun_ = std::chrono::steady_clock::now();
    if (!outcome_.made) kill_all();
    if (init().pidfd < 0) return;
    note_end(kEndMs);
    if (outside_ > 0 && !is_gone(outside_)) outcome_.ended = false;
    if (!outcome_.ended) outcome_.ms = ms_since(begun_);
    if (!outcome_.ended) force();
    waitpid(outcome_.init, nullptr, WNOHANG);
  }

  static bool is_gone(pid_t child) {
    return wait_until([child] { return waitpid(child, nullptr, WNOHANG) != 0; }, kEndMs / 1000.0);
  }

  void kill_all() {
    if (outcome_.init > 0) kill(outcome_.init, SIGKILL);
    if (outside_ > 0) kill(outside_, SIGKILL);
  }

  void force() {
    std::string stacks;
    for (const Member& member : members_) {
      if (member.pidfd >= 0 && !is_readable(member.pidfd, 0)) stacks += stacks_of(member.pid);
    }
    std::fprintf(stderr, "defused-storm: namespace %u (%s) did not end by itself:\n%s", plan_.number,
                 kKindNames.at(static_cast<std::size_t>(plan_.kind)), stacks.c_str());
    kill_all();
    if (abort_ >= 0 && write(abort_, "1", 1) < 0) std::perror("defused-storm: abort");
    is_readable(init().pidfd, kEndMs);
    if (outside_ > 0) is_gone(outside_);
  }

  const Plan& plan_;
  const std::string name_;
  const Fusectl& fusectl_;
  Guardian& guardian_;
  std::string directory_;
  Place place_;
  std::vector<Member> members_;
  pid_t outside_ = 0;
  int abort_ = -1;
  const char* trouble_ = "";
  SteadyTime begun_{};
  Outcome outcome_;
};

int draw(std::mt19937_64& source, int from, int to) { return std::uniform_int_distribution<int>(from, to)(source); }

}  // namespace

Plan draw_plan(std::uint64_t seed, std::uint32_t number) {
  std::seed_seq mixed{seed & 0xffffffffU, seed >> 32U, std::uint64_t{number}};
  std::mt19937_64 source(mixed);
  Plan plan;
  plan.number = number;
  plan.kind = static_cast<Kind>(draw(source, 0, static_cast<int>(kKindNames.size()) - 1));
  plan.writeback_cache = draw(source, 0, 1) == 1;
  constexpr std::array<char, 6> kOrders = {order::kHold,      order::kWrite, order::kMap,
                                           order::kMapClosed, order::kRead,  order::kReadDirect};
  for (int clients = draw(source, 1, 3); clients > 0; --clients) {
    const char letter = kOrders.at(static_cast<std::size_t>(draw(source, 0, kOrders.size() - 1)));
    plan.orders.push_back({letter, static_cast<char>('0' + draw(source, 0, 1))});
  }
  const std::size_t others = has_server_apart(plan.kind) ? 2 : 1;
  for (std::size_t member = 0; member < others + plan.orders.size(); ++member) {
    // One that reads takes no order.
    const bool reads = member >= others && is_read(plan.orders[member - others]);
    plan.ending.push_back({member, reads || draw(source, 0, 2) > 0, draw(source, 0, 30)});
  }
  std::shuffle(plan.ending.begin(), plan.ending.end(), source);
  return plan;
}

Outcome play_scene(const Plan& plan, const std::string& directory, const Fusectl& fusectl, Guardian& guardian) {
  return Scene(plan, directory, fusectl, guardian).play();
}

}  // namespace lab
