// SPDX-License-Identifier: Apache-2.0
// The keeper with children that behave as a test wants: real processes and pidfds, short deadlines.
#include "daemon/prober_keeper.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstring>
#include <filesystem>

using namespace defused;

namespace {

enum class Behaviour { good, hangs_in_pass, dies_in_pass, never_ready };

void send_phase(int channel, std::uint64_t pass, std::uint64_t max_ms, const char* name) {
  Message message;
  message.type = MessageType::phase;
  message.pass = pass;
  message.max_ms = max_ms;
  std::strcpy(message.phase, name);
  [[maybe_unused]] const auto sent = send_message(channel, message);
}

[[noreturn]] void behave(int channel, Behaviour behaviour) {
  while (true) {
    auto received = receive_message(channel, true);
    if (!received || (*received)->message.type == MessageType::stop) _exit(0);
    const Message& order = (*received)->message;
    if (order.type == MessageType::seed && behaviour != Behaviour::never_ready) {
      Message message;
      message.type = MessageType::ready;
      [[maybe_unused]] const auto sent = send_message(channel, message);
    }
    if (order.type != MessageType::start_pass) continue;
    if (behaviour == Behaviour::dies_in_pass) _exit(1);
    send_phase(channel, order.pass, 100, "walk");
    if (behaviour == Behaviour::hangs_in_pass) {
      while (true) pause();
    }
    const auto memfd = make_sealed_memfd("report", {static_cast<std::uint8_t>(order.pass)});
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
  child.pidfd.reset(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  return child;
}

class Keeping {
 public:
  explicit Keeping(std::vector<Behaviour> behaviours) : behaviours_(std::move(behaviours)) {
    Settings settings;
    settings.interval = 50ms;
    settings.pass_deadline = 300ms;
    keeper.set_settings(settings);
  }
  ~Keeping() {
    keeper.begin_stop();
    keeper.force_stop();
    until([&] { return keeper.stopped(); });
    std::filesystem::remove_all(directory);
  }
  Keeping(const Keeping&) = delete;
  Keeping& operator=(const Keeping&) = delete;

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

  static std::string make_directory() {
    std::string path = "/tmp/defused-keeper-XXXXXX";
    REQUIRE(mkdtemp(path.data()) != nullptr);
    return path;
  }

  std::string directory = make_directory();
  SystemClock clock;
  LogSettings quiet{LogFormat::text, LogLevel::error};
  Logger log{quiet, "test"};
  int reports = 0;
  std::vector<std::vector<std::string>> spawned;
  ProberKeeper keeper{[this](const std::vector<std::string>& arguments) {
                        const std::size_t index = std::min(spawned.size(), behaviours_.size() - 1);
                        spawned.push_back(arguments);
                        return fork_child(behaviours_[index]);
                      },
                      log, directory + "/lost-probers", ProberKeeperEvents{[this](UniqueFd) { ++reports; }}};

 private:
  std::vector<Behaviour> behaviours_;
};

}  // namespace

TEST_CASE("passes are ordered at the interval and reports arrive") {
  Keeping keeping({Behaviour::good});
  CHECK(keeping.status().prober_blind == 1);
  REQUIRE(keeping.until([&] { return keeping.reports >= 3; }));
  CHECK(keeping.spawned.size() == 1);
  CHECK(keeping.status().prober_blind == 0);
}

TEST_CASE("one that misses the deadline of its phase is killed and replaced") {
  Keeping keeping({Behaviour::hangs_in_pass, Behaviour::good});
  REQUIRE(keeping.until([&] { return keeping.reports >= 1; }));
  CHECK(keeping.spawned.size() == 2);
  CHECK(keeping.status().probers_lost == 0);  // it did die of SIGKILL
}

TEST_CASE("one that never becomes ready is replaced too") {
  Keeping keeping({Behaviour::never_ready, Behaviour::good});
  REQUIRE(keeping.until([&] { return keeping.reports >= 1; }));
  CHECK(keeping.spawned.size() == 2);
}

TEST_CASE("one that dies is replaced at once, one that keeps dying with a delay") {
  Keeping keeping({Behaviour::dies_in_pass});
  REQUIRE(keeping.until([&] { return keeping.spawned.size() == 3; }));
  const Nanoseconds begin = keeping.clock.now().boottime;
  REQUIRE(keeping.until([&] { return keeping.spawned.size() == 4; }));
  CHECK(keeping.clock.now().boottime - begin > 500ms);
}

TEST_CASE("a stop is obeyed") {
  Keeping keeping({Behaviour::good});
  REQUIRE(keeping.until([&] { return keeping.reports >= 1; }));
  keeping.keeper.begin_stop();
  CHECK(keeping.until([&] { return keeping.keeper.stopped(); }));
  CHECK(keeping.keeper.abandon_all().empty());
}
