// SPDX-License-Identifier: Apache-2.0
// The keeper with children that behave as a test wants: real processes and pidfds, short deadlines.
#include "daemon/prober_keeper.h"

#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "daemon/lost_probers.h"
#include "temporary_directory.h"

using namespace defused;

namespace {

enum class Behaviour { good, hangs_in_pass, dies_in_pass, never_ready, leaves_reader, does_not_leave };

void send_phase(int channel, std::uint64_t pass, std::uint64_t max_ms, const char* name) {
  Message message;
  message.type = MessageType::phase;
  message.pass = pass;
  message.max_ms = max_ms;
  std::strcpy(message.phase, name);
  [[maybe_unused]] const auto sent = send_message(channel, message);
}

pid_t fork_sleeper() {
  const pid_t pid = fork();
  if (pid != 0) return pid;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  while (true) pause();
}

std::uint64_t inode_of(const UniqueFd& pidfd) {
  struct stat status {};
  REQUIRE(fstat(pidfd.get(), &status) == 0);
  return status.st_ino;
}

// A child that stands for one which cannot be killed, until end().
class Sleeper {
 public:
  Sleeper() : pid(fork_sleeper()) {}
  ~Sleeper() { end(); }
  Sleeper(const Sleeper&) = delete;
  Sleeper& operator=(const Sleeper&) = delete;
  void end() {
    if (pid <= 0) return;
    kill(pid, SIGKILL);
    waitpid(pid, nullptr, 0);
    pid = -1;
  }
  pid_t pid;
};

void send_reader(int channel, pid_t reader) {
  Message message;
  message.type = MessageType::left_behind;
  message.process = {reader, 1};
  [[maybe_unused]] const auto sent = send_message(channel, message, open_pidfd(reader).get());
}

[[noreturn]] void behave(int channel, Behaviour behaviour) {
  while (true) {
    auto received = receive_message(channel, true);
    if (!received) _exit(0);
    while ((*received)->message.type == MessageType::stop) {
      if (behaviour != Behaviour::does_not_leave) _exit(0);
      pause();
    }
    const Message& order = (*received)->message;
    if (order.type == MessageType::seed && behaviour != Behaviour::never_ready) {
      Message message;
      message.type = MessageType::ready;
      [[maybe_unused]] const auto sent = send_message(channel, message);
    }
    if (order.type != MessageType::start_pass) continue;
    if (behaviour == Behaviour::dies_in_pass) _exit(1);
    if (behaviour == Behaviour::leaves_reader && order.pass == 1) send_reader(channel, fork_sleeper());
    send_phase(channel, order.pass, 100, "walk");
    if (behaviour == Behaviour::hangs_in_pass) {
      while (true) pause();
    }
    const auto memfd =
        make_sealed_memfd("report", {static_cast<std::uint8_t>(order.readers), static_cast<std::uint8_t>(order.bar)});
    Message message;
    message.type = MessageType::report;
    message.pass = order.pass;
    [[maybe_unused]] const auto sent = send_message(channel, message, memfd->get());
    send_phase(channel, order.pass, 0, "idle");
  }
}

Result<Child> fork_child(Behaviour behaviour) {
  auto channel = make_channel();
  if (!channel) return Failure(channel.error());
  const pid_t pid = fork();
  if (pid == 0) {
    channel->first.reset();
    behave(channel->second.get(), behaviour);
  }
  Child child;
  child.id = {pid, 1};
  child.channel = std::move(channel->first);
  child.pidfd = open_pidfd(pid);
  return child;
}

class ProberKeeping {
 public:
  explicit ProberKeeping(std::vector<Behaviour> behaviours, std::vector<LostProber> recorded = {},
                         std::uint32_t cap = 8)
      : is_recorded(write_lost_probers(record, recorded)), behaviours_(std::move(behaviours)) {
    set_cap(cap);
  }
  ~ProberKeeping() {
    keeper.begin_stop();
    keeper.force_stop();
    until([&] { return keeper.stopped(); });
  }
  ProberKeeping(const ProberKeeping&) = delete;
  ProberKeeping& operator=(const ProberKeeping&) = delete;

  void set_cap(std::uint32_t cap) {
    Settings settings;
    settings.interval = 50ms;
    settings.pass_deadline = 300ms;
    settings.max_lost_probers = cap;
    keeper.set_settings(settings);
  }

  void set_mode(Mode mode, std::uint32_t cap = 8) {
    Settings settings;
    settings.interval = 50ms;
    settings.pass_deadline = 300ms;
    settings.max_lost_probers = cap;
    settings.policy.mode = mode;
    keeper.set_settings(settings);
  }

  void turn_for(Nanoseconds time) {
    const Nanoseconds end = clock.now().boottime + time;
    until([&] { return clock.now().boottime > end; });
  }

  // Turns the loop until `done`; false after five seconds.
  template <typename Predicate>
  bool until(Predicate done) {
    const Nanoseconds end = clock.now().boottime + 5s;
    while (!done()) {
      if (clock.now().boottime > end) return false;
      std::vector<pollfd> polls;
      keeper.add_polls(polls);
      poll(polls.data(), polls.size(), 5);
      keeper.turn(clock.now().boottime);
    }
    return true;
  }

  [[nodiscard]] SupervisorStatus status() const {
    SupervisorStatus status;
    keeper.describe(status);
    return status;
  }

  TemporaryDirectory directory;
  std::string record = directory.file("lost-probers");
  SystemClock clock;
  LogSettings quiet{LogFormat::text, LogLevel::error};
  Logger log{quiet, "test"};
  int reports = 0;
  bool reads_hazards = true;  // the last prober that reported
  Bar bar = Bar::none;        // of the last pass that was reported
  Result<void> is_recorded;   // before the keeper reads it
  std::vector<std::vector<std::string>> spawned;
  ProberKeeper keeper{[this](const std::vector<std::string>& arguments) {
                        const std::size_t index = std::min(spawned.size(), behaviours_.size() - 1);
                        spawned.push_back(arguments);
                        return fork_child(behaviours_[index]);
                      },
                      log, record, ActorLock(directory.path()), ProberKeeperEvents{[this](UniqueFd memfd) {
                        ++reports;
                        const auto bytes = read_memfd(memfd.get());
                        reads_hazards = bytes->at(0) != 0;
                        bar = static_cast<Bar>(bytes->at(1));
                      }}};

 private:
  std::vector<Behaviour> behaviours_;
};

}  // namespace

TEST_CASE("passes are ordered at the interval and reports arrive") {
  ProberKeeping keeping({Behaviour::good});
  CHECK(keeping.status().prober_blind == 1);
  REQUIRE(keeping.until([&] { return keeping.reports >= 3; }));
  CHECK(keeping.spawned.size() == 1);
  CHECK(keeping.status().prober_blind == 0);
}

TEST_CASE("one that misses the deadline of its phase is killed and replaced") {
  ProberKeeping keeping({Behaviour::hangs_in_pass, Behaviour::good});
  REQUIRE(keeping.until([&] { return keeping.reports >= 1; }));
  CHECK(keeping.spawned.size() == 2);
  CHECK(keeping.status().probers_lost == 0);  // it did die of SIGKILL
}

TEST_CASE("one that was killed and dies is not taken for a lost one, at the lowest cap either") {
  ProberKeeping keeping({Behaviour::hangs_in_pass, Behaviour::good}, {}, 1);
  REQUIRE(keeping.until([&] { return keeping.reports >= 1; }));
  CHECK(keeping.spawned.size() == 2);
  CHECK(keeping.status().at_cap == 0);
  CHECK(keeping.reads_hazards);
}

TEST_CASE("one that never becomes ready is replaced too") {
  ProberKeeping keeping({Behaviour::never_ready, Behaviour::good});
  REQUIRE(keeping.until([&] { return keeping.reports >= 1; }));
  CHECK(keeping.spawned.size() == 2);
}

TEST_CASE("one that dies is replaced at once, one that keeps dying with a delay") {
  ProberKeeping keeping({Behaviour::dies_in_pass});
  REQUIRE(keeping.until([&] { return keeping.spawned.size() == 3; }));
  const Nanoseconds begin = keeping.clock.now().boottime;
  REQUIRE(keeping.until([&] { return keeping.spawned.size() == 4; }));
  CHECK(keeping.clock.now().boottime - begin > 500ms);
}

TEST_CASE("another mode is another prober, which is not counted and goes on at once") {
  ProberKeeping keeping({Behaviour::good});
  REQUIRE(keeping.until([&] { return keeping.reports >= 2; }));
  keeping.set_mode(Mode::dry_run);  // the sandbox is that of observe
  REQUIRE(keeping.until([&] { return keeping.reports >= 4; }));
  CHECK(keeping.spawned.size() == 1);
  for (const Mode mode : {Mode::enforce, Mode::observe}) {
    const std::size_t before = keeping.spawned.size();
    const int reports = keeping.reports;
    const Nanoseconds begin = keeping.clock.now().boottime;
    keeping.set_mode(mode);
    REQUIRE(keeping.until([&] {
      CHECK(keeping.status().prober_blind == 0);
      return keeping.spawned.size() > before && keeping.reports > reports + 1;
    }));
    CHECK(keeping.clock.now().boottime - begin < 500ms);  // without the delay of one that dies
    CHECK(keeping.spawned.size() == before + 1);
  }
  CHECK(keeping.status().probers_lost == 0);
  CHECK(keeping.status().lost_probers_left == 0);
}

TEST_CASE("at the cap one with another sandbox goes on until somebody may follow") {
  ProberKeeping keeping({Behaviour::leaves_reader, Behaviour::good}, {}, 1);
  REQUIRE(keeping.until([&] { return keeping.reports >= 2; }));
  REQUIRE(keeping.status().lost_probers_left == 1);
  keeping.set_mode(Mode::enforce, 1);
  const int reports = keeping.reports;
  REQUIRE(keeping.until([&] { return keeping.reports >= reports + 3; }));
  CHECK(keeping.spawned.size() == 1);
  CHECK(keeping.status().prober_blind == 0);
  keeping.set_mode(Mode::enforce, 2);
  CHECK(keeping.until([&] { return keeping.spawned.size() == 2; }));
}

TEST_CASE("one that does not leave is killed, and its successor comes") {
  ProberKeeping keeping({Behaviour::does_not_leave, Behaviour::good});
  REQUIRE(keeping.until([&] { return keeping.reports >= 1; }));
  keeping.set_mode(Mode::enforce);
  REQUIRE(keeping.until([&] { return keeping.spawned.size() == 2; }));
  const int reports = keeping.reports;
  CHECK(keeping.until([&] { return keeping.reports > reports; }));
  CHECK(keeping.status().probers_lost == 0);
}

TEST_CASE("a stop is obeyed") {
  ProberKeeping keeping({Behaviour::good});
  REQUIRE(keeping.until([&] { return keeping.reports >= 1; }));
  keeping.keeper.begin_stop();
  CHECK(keeping.until([&] { return keeping.keeper.stopped(); }));
  CHECK(keeping.keeper.abandon_all().empty());
}

TEST_CASE("the cap holds at a new start, and ends when one of those left ends") {
  Sleeper sleeper;
  const std::uint64_t inode = inode_of(open_pidfd(sleeper.pid));
  const bool unique = inode != inode_of(open_pidfd(getpid()));
  ProberKeeping keeping({Behaviour::good}, {{{sleeper.pid, 1}, unique ? inode : 0}}, 1);
  keeping.turn_for(200ms);
  CHECK(keeping.spawned.empty());
  CHECK(keeping.status().at_cap == 1);
  CHECK(keeping.status().lost_probers_left == 1);
  CHECK(keeping.status().prober_blind == 1);
  const Nanoseconds begin = keeping.clock.now().boottime;
  sleeper.end();
  REQUIRE(keeping.until([&] { return keeping.reports >= 1; }));
  CHECK(keeping.clock.now().boottime - begin < 1s);
  CHECK(keeping.status().at_cap == 0);
  CHECK(keeping.status().lost_probers_left == 0);
  REQUIRE(read_lost_probers(keeping.record)->size() == 1);  // the one that runs
  keeping.keeper.begin_stop();
  REQUIRE(keeping.until([&] { return keeping.keeper.stopped(); }));
  CHECK(keeping.keeper.abandon_all().empty());
  CHECK(read_lost_probers(keeping.record)->empty());
}

TEST_CASE("a recorded number that is another process by now does not count") {
  const Sleeper sleeper;
  const std::uint64_t inode = inode_of(open_pidfd(sleeper.pid));
  if (inode == inode_of(open_pidfd(getpid()))) return;  // before Linux 6.9 nobody can tell
  ProberKeeping keeping({Behaviour::good}, {{{sleeper.pid, 1}, inode + 1}}, 1);
  REQUIRE(keeping.until([&] { return keeping.reports >= 1; }));
  CHECK(keeping.status().lost_probers_left == 0);
}

TEST_CASE("a number that nobody has does not count") {
  Sleeper sleeper;
  const ProcessId id{sleeper.pid, 1};
  sleeper.end();
  ProberKeeping keeping({Behaviour::good}, {{id, 0}}, 1);
  REQUIRE(keeping.until([&] { return keeping.reports >= 1; }));
  CHECK(keeping.spawned.front() == std::vector<std::string>{"internal-prober", "--keep-records"});
}

TEST_CASE("what was recorded without inode counts until a prober knows better") {
  const Sleeper sleeper;
  ProberKeeping keeping({Behaviour::good}, {{{sleeper.pid, 77}, 0}}, 2);
  REQUIRE(keeping.until([&] { return keeping.reports >= 1; }));
  CHECK(keeping.status().lost_probers_left == 1);
  CHECK(keeping.spawned.front() ==
        std::vector<std::string>{"internal-prober", "--keep-records", "--lost", std::to_string(sleeper.pid) + ":77"});
  const std::string record = keeping.directory.file("another");
  REQUIRE(write_lost_probers(record, {{{sleeper.pid, 77}, 0}}));
  LostProcesses lost(record, keeping.log);
  lost.forget({sleeper.pid, 78});
  CHECK(lost.size() == 1);
  lost.forget({sleeper.pid, 77});
  CHECK(lost.size() == 0);
  CHECK(read_lost_probers(record)->empty());
}

TEST_CASE("a pass may act only with the lock, which is let go of between passes") {
  ProberKeeping keeping({Behaviour::good});
  REQUIRE(keeping.until([&] { return keeping.reports >= 1; }));
  CHECK(keeping.bar == Bar::none);
  ActorLock other(keeping.directory.path());
  REQUIRE(keeping.until([&] { return other.take().has_value(); }));
  const int before = keeping.reports;
  REQUIRE(keeping.until([&] { return keeping.reports >= before + 2; }));
  CHECK(keeping.bar == Bar::other_actor);
  other.release();
  REQUIRE(keeping.until([&] { return keeping.bar == Bar::none; }));
}

TEST_CASE("while a pass runs nobody else gets the lock, and a prober that was killed holds none") {
  ProberKeeping keeping({Behaviour::hangs_in_pass, Behaviour::good});
  ActorLock other(keeping.directory.path());
  REQUIRE(keeping.until([&] { return keeping.spawned.size() == 1; }));
  keeping.turn_for(50ms);
  const auto taken = other.take();
  REQUIRE_FALSE(taken);
  CHECK(taken.error().code == EWOULDBLOCK);
  CHECK_FALSE(take_patiently(other, 20ms, keeping.clock));
  REQUIRE(keeping.until([&] { return other.take().has_value(); }));
}

TEST_CASE("a lock that cannot be opened is a bar") {
  ProberKeeping keeping({Behaviour::good});
  std::filesystem::create_directory(keeping.directory.file("actor.lock"));
  REQUIRE(keeping.until([&] { return keeping.reports >= 1 && keeping.bar == Bar::no_lock; }));
}

TEST_CASE("a higher cap starts a prober at once") {
  const Sleeper sleeper;
  ProberKeeping keeping({Behaviour::good}, {{{sleeper.pid, 1}, 0}}, 1);
  keeping.turn_for(100ms);
  CHECK(keeping.spawned.empty());
  keeping.set_cap(2);
  REQUIRE(keeping.until([&] { return keeping.reports >= 1; }));
}

TEST_CASE("a reader left behind counts, and at the cap the prober is told to read no more of what hangs") {
  ProberKeeping keeping({Behaviour::leaves_reader}, {}, 1);
  REQUIRE(keeping.until([&] { return keeping.reports >= 3; }));
  CHECK(keeping.spawned.size() == 1);
  CHECK(keeping.status().lost_probers_left == 1);
  CHECK(keeping.status().probers_lost == 0);
  CHECK(keeping.status().at_cap == 0);
  CHECK_FALSE(keeping.reads_hazards);
  const auto recorded = read_lost_probers(keeping.record);
  REQUIRE(recorded->size() == 2);  // the prober that runs, and the reader
  kill(recorded->front().id.pid, SIGKILL);
  REQUIRE(keeping.until([&] { return keeping.reads_hazards; }));
  CHECK(keeping.status().lost_probers_left == 0);
}
