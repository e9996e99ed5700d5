// SPDX-License-Identifier: Apache-2.0
// defused-storm DIRECTORY SEED SECONDS EMPTY_PER_SECOND FUSE_PER_SECOND: a storm of short-lived PID namespaces that all
// end by themselves, to be told from those that do not. Most of them are empty, as those of `unshare -pf true`; the
// others mount FUSE below DIRECTORY, which is made, lies on a tmpfs that only the storm sees, and is removed
// (storm_scene.h). Which is made how, and what dies first, SEED decides. It ends after SECONDS or on SIGTERM, when all
// are gone, and then prints one line of JSON about what it made. Exit: 0 all ended by themselves, 1 not all did, 2 bad
// usage, 77 not permitted here.
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <iostream>
#include <map>
#include <random>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "guardian.h"
#include "storm_scene.h"

namespace {

using SteadyClock = std::chrono::steady_clock;

constexpr std::size_t kMostAlive = 64;  // of each sort; more only make each other wait
constexpr int kLateMs = 5000;           // an empty namespace that has not ended by then will not
constexpr int kDirectorMs = 60'000;     // a director has bounds of its own, far below
constexpr int kSlowMs = 500;            // told one by one: who takes a second for stuck has to look here

struct Arguments {
  std::string directory;
  std::uint64_t seed = 0;
  std::uint32_t seconds = 0;
  std::uint32_t empty_per_second = 0;
  std::uint32_t fuse_per_second = 0;
};

template <typename Number>
bool parse(std::string_view text, Number& out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc() && end == text.data() + text.size();
}

double seconds_since(SteadyClock::time_point begin) {
  return std::chrono::duration<double>(SteadyClock::now() - begin).count();
}

int ms_since(SteadyClock::time_point begin) { return static_cast<int>(seconds_since(begin) * 1000); }

// What is asked for is even over time: what is late is made up for.
class Pace {
 public:
  explicit Pace(std::uint32_t per_second) : per_second_(per_second) {}
  [[nodiscard]] bool is_due(SteadyClock::time_point begin) const {
    return started_ < seconds_since(begin) * per_second_;
  }
  std::uint32_t start() { return started_++; }
  [[nodiscard]] std::uint32_t started() const { return started_; }

 private:
  std::uint32_t per_second_;
  std::uint32_t started_ = 0;
};

[[noreturn]] void run_true() {
  execl("/bin/true", "true", nullptr);
  _exit(127);
}

// PID 1 of an empty namespace: `true` itself; its parent; or one that leaves a child behind.
[[noreturn]] void be_empty(std::uint32_t number) {
  constexpr std::uint32_t kForms = 3;
  const std::uint32_t form = number % kForms;
  if (form == 0) run_true();
  const pid_t child = fork();
  if (child == 0 && form == 1) run_true();
  if (child == 0) {
    while (true) pause();
  }
  if (form == 1) waitpid(child, nullptr, 0);
  _exit(0);
}

class Storm {
 public:
  Storm(const Arguments& arguments, const lab::Fusectl& fusectl, lab::Guardian& guardian)
      : arguments_(arguments),
        fusectl_(fusectl),
        guardian_(guardian),
        empty_pace_(arguments.empty_per_second),
        fuse_pace_(arguments.fuse_per_second) {
    sigemptyset(&signals_);
    for (const int number : {SIGTERM, SIGINT, SIGCHLD}) sigaddset(&signals_, number);
  }

  int run() {
    sigprocmask(SIG_BLOCK, &signals_, nullptr);
    if (pipe2(outcomes_.data(), O_CLOEXEC | O_NONBLOCK) < 0) return 1;
    begin_ = SteadyClock::now();
    while (!stopped_ && seconds_since(begin_) < arguments_.seconds) {
      while (empty_.size() < kMostAlive && empty_pace_.is_due(begin_)) start_empty();
      while (directors_.size() < kMostAlive && fuse_pace_.is_due(begin_)) start_fuse();
      look();
    }
    blew_ = seconds_since(begin_);
    while (!empty_.empty() || !directors_.empty()) look();
    print();
    return bad() ? 1 : 0;
  }

 private:
  struct Started {
    SteadyClock::time_point at;
    std::uint32_t number = 0;
  };

  void start_empty() {
    const std::uint32_t number = empty_pace_.start();
    const long child = syscall(SYS_clone, CLONE_NEWPID | CLONE_NEWNS | SIGCHLD, nullptr, nullptr, nullptr, 0);
    if (child == 0) be_empty(number);
    if (child < 0) {
      std::perror("defused-storm: clone");
      ++empty_lost_;
      return;
    }
    empty_[static_cast<pid_t>(child)] = {SteadyClock::now(), number};
  }

  void start_fuse() {
    const lab::Plan plan = lab::draw_plan(arguments_.seed, fuse_pace_.start());
    const pid_t storm = getpid();
    const pid_t child = fork();
    if (child < 0) {
      std::perror("defused-storm: fork");
      ++broken_;
      return;
    }
    if (child == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      if (getppid() != storm) _exit(1);
      sigprocmask(SIG_UNBLOCK, &signals_, nullptr);
      for (const int number : {SIGTERM, SIGINT})
        signal(number, SIG_IGN);  // told to all of a terminal, but for the storm
      const lab::Outcome outcome = lab::play_scene(plan, arguments_.directory, fusectl_, guardian_);
      _exit(write(outcomes_[1], &outcome, sizeof outcome) == sizeof outcome ? 0 : 1);
    }
    directors_[child] = {SteadyClock::now(), plan.number};
  }

  // Waits a little for something to happen, and takes note of it.
  void look() {
    constexpr timespec kPause{0, 2'000'000};
    const int number = sigtimedwait(&signals_, nullptr, &kPause);
    if (number == SIGTERM || number == SIGINT) stopped_ = true;
    int status = 0;
    for (pid_t child = 0; (child = waitpid(-1, &status, WNOHANG)) > 0;) take_end(child, status);
    lab::Outcome outcome;
    while (read(outcomes_[0], &outcome, sizeof outcome) == sizeof outcome) take(outcome);
    drop_late(empty_, kLateMs, empty_lost_);
    drop_late(directors_, kDirectorMs, broken_);
  }

  void take_end(pid_t child, int status) {
    if (const auto found = empty_.find(child); found != empty_.end()) {
      empty_slowest_ = std::max(empty_slowest_, ms_since(found->second.at));
      ++empty_ended_;
      empty_.erase(found);
    } else if (directors_.erase(child) > 0 && status != 0) {
      std::fprintf(stderr, "defused-storm: a director ended with status %d\n", status);
      ++broken_;
    }
  }

  void take(const lab::Outcome& outcome) {
    if (!outcome.made) {
      ++broken_;
      return;
    }
    ++made_.at(static_cast<std::size_t>(outcome.kind));
    if (!outcome.ended) ++not_ended_;
    fuse_slowest_ = std::max(fuse_slowest_, outcome.ms);
    if (outcome.ms >= kSlowMs || !outcome.ended) slow_.push_back(outcome);
  }

  static void drop_late(std::map<pid_t, Started>& children, int after_ms, std::uint32_t& count) {
    for (auto at = children.begin(); at != children.end();) {
      if (ms_since(at->second.at) < after_ms) {
        ++at;
        continue;
      }
      std::fprintf(stderr, "defused-storm: %d is late (number %u)\n", at->first, at->second.number);
      kill(at->first, SIGKILL);
      ++count;
      at = children.erase(at);
    }
  }

  [[nodiscard]] bool bad() const { return empty_lost_ > 0 || not_ended_ > 0 || broken_ > 0; }

  void print() const {
    std::ostringstream out;
    const auto rate = [&](std::uint32_t count) { return static_cast<double>(count) / std::max(blew_, 0.001); };
    out << R"({"seed": )" << arguments_.seed << R"(, "seconds": )" << blew_ << R"(, "empty": {"made": )"
        << empty_pace_.started() << R"(, "not_ended": )" << empty_lost_ << R"(, "slowest_ms": )" << empty_slowest_
        << R"(, "per_second": )" << rate(empty_ended_) << R"(}, "fuse": {"made": {)";
    std::uint32_t sum = 0;
    for (std::size_t kind = 0; kind < made_.size(); ++kind) {
      out << (kind > 0 ? ", " : "") << '"' << lab::kKindNames.at(kind) << R"(": )" << made_.at(kind);
      sum += made_.at(kind);
    }
    out << R"(}, "not_made": )" << broken_ << R"(, "not_ended": )" << not_ended_ << R"(, "slowest_ms": )"
        << fuse_slowest_ << R"(, "per_second": )" << rate(sum) << R"(}, "slow": [)";
    const char* separator = "";
    for (const lab::Outcome& outcome : slow_) {
      out << separator << R"({"number": )" << outcome.number << R"(, "init_pid": )" << outcome.init
          << R"(, "pid_namespace": )" << outcome.pid_namespace << R"(, "connection": )" << outcome.connection
          << R"(, "ended": )" << (outcome.ended ? "true" : "false") << R"(, "ms": )" << outcome.ms << "}";
      separator = ", ";
    }
    std::cout << out.str() << "]}" << std::endl;
  }

  const Arguments& arguments_;
  const lab::Fusectl& fusectl_;
  lab::Guardian& guardian_;
  sigset_t signals_{};
  std::array<int, 2> outcomes_{};
  bool stopped_ = false;
  SteadyClock::time_point begin_;
  double blew_ = 0;
  Pace empty_pace_;
  Pace fuse_pace_;
  std::map<pid_t, Started> empty_;
  std::map<pid_t, Started> directors_;
  std::array<std::uint32_t, lab::kKindNames.size()> made_{};
  std::uint32_t empty_ended_ = 0;
  std::uint32_t empty_lost_ = 0;
  std::uint32_t broken_ = 0;
  std::uint32_t not_ended_ = 0;
  int empty_slowest_ = 0;
  int fuse_slowest_ = 0;
  std::vector<lab::Outcome> slow_;
};

// Nothing of the host is touched: what is mounted from here on is seen by the storm alone.
bool move_away(const std::string& directory) {
  if (unshare(CLONE_NEWNS) < 0 || mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) < 0) return false;
  return mkdir(directory.c_str(), 0755) == 0 && mount("storm", directory.c_str(), "tmpfs", 0, nullptr) == 0;
}

}  // namespace

int main(int argc, char** argv) {
  Arguments arguments;
  if (argc == 6) arguments.directory = argv[1];
  if (argc != 6 || !parse(argv[2], arguments.seed) || !parse(argv[3], arguments.seconds) ||
      !parse(argv[4], arguments.empty_per_second) || !parse(argv[5], arguments.fuse_per_second)) {
    std::cerr << "usage: defused-storm DIRECTORY SEED SECONDS EMPTY_PER_SECOND FUSE_PER_SECOND\n";
    return 2;
  }
  signal(SIGPIPE, SIG_IGN);
  const lab::Fusectl fusectl;
  if (!fusectl.usable() || access("/dev/fuse", R_OK | W_OK) < 0 || !move_away(arguments.directory)) {
    std::cerr << "defused-storm: not permitted here: " << std::strerror(errno) << "\n";
    return 77;
  }
  std::cerr << "defused-storm: seed " << arguments.seed << std::endl;
  constexpr int kSpare = 90;
  lab::Guardian guardian(arguments.directory, arguments.directory, static_cast<int>(arguments.seconds) + kSpare);
  return Storm(arguments, fusectl, guardian).run();
}
