// SPDX-License-Identifier: Apache-2.0
// What a front is handed, and when it is replaced. The test holds the front's end of the channel; a process that only
// sleeps stands for the front itself.
#include "daemon/front_keeper.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <catch2/catch.hpp>
#include <map>
#include <string>
#include <utility>

#include "daemon/spawn.h"
#include "model/codec.h"

using namespace defused;
using namespace std::chrono_literals;

namespace {

using Types = std::vector<MessageType>;

WebService make_service(const char* content, const char* directory) {
  WebService service;
  service.web = *make_sealed_memfd("web", {static_cast<std::uint8_t>(content[0])});
  if (directory == nullptr) return service;
  service.textfile.reset(open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC));
  struct stat status {};
  REQUIRE(fstat(service.textfile.get(), &status) == 0);
  service.directory = {status.st_dev, status.st_ino};
  return service;
}

std::vector<Listener> make_listeners(std::size_t count) {
  std::vector<Listener> listeners;
  for (std::size_t i = 0; i < count; ++i) {
    listeners.push_back(
        {UniqueFd(open("/dev/null", O_RDONLY | O_CLOEXEC)), "127.0.0.1:1", "127.0.0.1:1", "127.0.0.1:1"});
  }
  return listeners;
}

class Keeping {
 public:
  Keeping()
      : log_(LogSettings{LogFormat::text, LogLevel::error}, "test"),
        keeper([this](const auto&) { return spawn(); }, log_) {}
  ~Keeping() {
    end();
    release();
  }
  Keeping(const Keeping&) = delete;
  Keeping& operator=(const Keeping&) = delete;

  // What has come to the front, and what came with it.
  Types received() {
    Types types;
    while (true) {
      auto one = receive_message(channel.get(), false);
      if (!one || !*one) return types;
      types.push_back((*one)->message.type);
      last[(*one)->message.type] = std::move(**one);
    }
  }
  // The front ends, as its process would.
  void end() {
    if (pid_ <= 0) return;
    kill(pid_, SIGKILL);
    siginfo_t info{};
    if (holders_.empty()) waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOWAIT);
    pid_ = -1;
  }
  // The front cannot end, whatever it is sent, until release(): its remains are kept by who traces it. False where
  // tracing is not allowed.
  bool hold() {
    std::array<int, 2> done{};
    REQUIRE(pipe2(done.data(), O_CLOEXEC) == 0);
    const UniqueFd out(done[0]);
    UniqueFd in(done[1]);
    holders_.push_back(fork());
    if (holders_.back() == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      channel.reset();
      const bool traced = ptrace(PTRACE_SEIZE, pid_, nullptr, nullptr) == 0;
      if (write(in.get(), traced ? "y" : "n", 1) != 1) _exit(1);
      while (true) pause();
    }
    in.reset();
    char answer = 'n';
    const bool held = read(out.get(), &answer, 1) == 1 && answer == 'y';
    if (!held) WARN("tracing is not allowed here");
    return held;
  }
  void release() {
    for (const pid_t holder : std::exchange(holders_, {})) {
      kill(holder, SIGKILL);
      waitpid(holder, nullptr, 0);
    }
  }
  [[nodiscard]] bool is_killed() const {
    siginfo_t info{};
    return waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOWAIT | WNOHANG) == 0 && info.si_pid == pid_;
  }

  // The keeper's turn, at the same `now`, until `done` or for ten seconds.
  template <typename Done>
  void turn_until(Nanoseconds now, Done done) {
    for (int i = 0; i < 1000 && !done(); ++i) {
      usleep(10'000);
      keeper.turn(now);
    }
  }

  Result<Child> spawn() {
    auto ends = make_channel();
    REQUIRE(ends);
    const pid_t pid = fork();
    if (pid == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      *ends = {};
      channel.reset();
      while (true) pause();
    }
    pid_ = pid;
    ++started;
    channel = std::move(ends->second);
    Child child;
    child.id = {pid, 1};
    child.channel = std::move(ends->first);
    child.pidfd = open_pidfd(pid);
    return child;
  }

  int started = 0;
  UniqueFd channel;
  std::map<MessageType, Received> last;

 private:
  pid_t pid_ = -1;
  std::vector<pid_t> holders_;
  Logger log_;

 public:
  FrontKeeper keeper;
};

const Types kWhole = {MessageType::settings, MessageType::textfile, MessageType::web,
                      MessageType::listener, MessageType::listener, MessageType::view};

}  // namespace

TEST_CASE("a front gets the whole service in order, and so does each successor") {
  Keeping keeping;
  const auto listeners = make_listeners(2);
  const WebService service = make_service("a", "/tmp");
  Settings settings;
  settings.web.telemetry_path = "/m";
  keeping.keeper.set_service(settings, listeners, service);
  CHECK(keeping.started == 0);
  Nanoseconds now = 1s;
  for (int round = 1; round <= 3; ++round) {
    keeping.keeper.turn(now);
    REQUIRE(keeping.started == round);
    CHECK(keeping.received() == kWhole);
    CHECK(keeping.last[MessageType::listener].message.count == 2);
    CHECK(keeping.last[MessageType::textfile].descriptor);
    const auto web = read_memfd(keeping.last[MessageType::web].descriptor.get());
    CHECK(web.value() == std::vector<std::uint8_t>{'a'});
    const auto bytes = read_memfd(keeping.last[MessageType::settings].descriptor.get());
    CHECK(decode_settings(bytes.value()).value().web.telemetry_path == "/m");
    keeping.end();
    keeping.keeper.turn(now);
    now += 9s;  // less than the silence after which the next one, which says nothing, would be killed
  }
}

TEST_CASE("without a textfile a message says so") {
  Keeping keeping;
  const auto listeners = make_listeners(2);
  const WebService service = make_service("a", nullptr);
  keeping.keeper.set_service({}, listeners, service);
  keeping.keeper.turn(1s);
  CHECK(keeping.received() == kWhole);
  CHECK_FALSE(keeping.last[MessageType::textfile].descriptor);
}

TEST_CASE("another service goes to the same front, and what did not fit comes again as a whole") {
  Keeping keeping;
  const auto listeners = make_listeners(2);
  const WebService first = make_service("a", "/tmp");
  const WebService second = make_service("b", "/tmp");
  keeping.keeper.set_service({}, listeners, first);
  keeping.keeper.turn(1s);
  keeping.received();
  for (int i = 0; i < 100'000 && send_message(keeping.channel.get(), Message{}); ++i) {
  }  // towards the keeper: not what it sends by
  const SupervisorStatus status;
  for (int i = 0; i < 2000; ++i) keeping.keeper.show(-1, status);  // the front is behind
  keeping.keeper.set_service({}, listeners, second);
  const Types behind = keeping.received();
  CHECK(behind.back() == MessageType::view);  // nothing of it fitted
  keeping.keeper.turn(1s + 1ms);
  CHECK(keeping.received() == kWhole);
  CHECK(read_memfd(keeping.last[MessageType::web].descriptor.get()).value() == std::vector<std::uint8_t>{'b'});
  keeping.keeper.turn(1s + 2ms);
  CHECK(keeping.received().empty());
  CHECK(keeping.started == 1);
}

TEST_CASE("another directory of the textfile takes another front, at once") {
  Keeping keeping;
  const auto listeners = make_listeners(2);
  const WebService first = make_service("a", "/tmp");
  const WebService second = make_service("b", "/usr");
  keeping.keeper.set_service({}, listeners, first);
  keeping.keeper.turn(1s);
  keeping.received();
  keeping.keeper.set_service({}, listeners, second);
  CHECK(keeping.received() == Types{MessageType::stop});
  keeping.keeper.turn(1s + 1ms);
  CHECK(keeping.keeper.next_turn() <= 4s);
  CHECK(keeping.started == 1);
  keeping.end();
  keeping.keeper.turn(1s + 2ms);
  REQUIRE(keeping.started == 2);
  CHECK(keeping.received() == kWhole);
  CHECK(read_memfd(keeping.last[MessageType::web].descriptor.get()).value() == std::vector<std::uint8_t>{'b'});

  // One that does not end is ended.
  const WebService third = make_service("c", nullptr);
  keeping.keeper.set_service({}, listeners, third);
  keeping.keeper.turn(2s);
  keeping.keeper.turn(3s);
  CHECK_FALSE(keeping.is_killed());
  keeping.keeper.turn(4s);
  keeping.turn_until(4s + 1ms, [&] { return keeping.started != 2; });
  CHECK(keeping.started == 3);
  CHECK(keeping.received() == kWhole);
  CHECK_FALSE(keeping.last[MessageType::textfile].descriptor);
}

TEST_CASE("a front that is being replaced when the service stops has no successor") {
  Keeping keeping;
  const auto listeners = make_listeners(1);
  const WebService first = make_service("a", "/tmp");
  const WebService second = make_service("b", "/usr");
  keeping.keeper.set_service({}, listeners, first);
  keeping.keeper.turn(1s);
  keeping.keeper.set_service({}, listeners, second);
  keeping.keeper.begin_stop();
  keeping.end();
  keeping.keeper.turn(1s + 1ms);
  CHECK(keeping.keeper.stopped());
  keeping.keeper.turn(1min);
  CHECK(keeping.started == 1);
}

TEST_CASE("a front counts as alive for ten seconds after a sign of life, also before it is replaced") {
  Keeping keeping;
  const auto listeners = make_listeners(1);
  const WebService service = make_service("a", nullptr);
  keeping.keeper.set_service({}, listeners, service);
  keeping.keeper.turn(1s);
  CHECK_FALSE(keeping.keeper.alive());
  if (!keeping.hold()) return;
  Message sign;
  sign.type = MessageType::alive;
  REQUIRE(send_message(keeping.channel.get(), sign));
  keeping.keeper.turn(2s);
  CHECK(keeping.keeper.alive());
  keeping.keeper.turn(12s - 1ms);
  CHECK(keeping.keeper.alive());
  keeping.keeper.turn(12s);
  CHECK_FALSE(keeping.keeper.alive());
  CHECK(keeping.started == 1);
}

TEST_CASE("a front that does not die is left behind, and no other gets what it hangs in until it ends") {
  Keeping keeping;
  const auto listeners = make_listeners(2);
  const WebService service = make_service("a", "/tmp");
  keeping.keeper.set_service({}, listeners, service);
  keeping.keeper.turn(1s);
  if (!keeping.hold()) return;
  keeping.received();
  keeping.keeper.turn(11s);  // not a sign of life: it is killed
  CHECK(keeping.keeper.next_turn() == 12s);
  keeping.keeper.turn(12s - 1ms);
  CHECK(keeping.started == 1);
  keeping.keeper.turn(12s);
  REQUIRE(keeping.started == 2);
  CHECK(keeping.received() == kWhole);
  CHECK_FALSE(keeping.last[MessageType::textfile].descriptor);
  CHECK(keeping.keeper.names_of_left().size() == 2);  // with the one that runs
  // The same service again, by HUP: still not.
  keeping.keeper.set_service({}, listeners, service);
  CHECK(keeping.received() == kWhole);
  CHECK_FALSE(keeping.last[MessageType::textfile].descriptor);
  // Another directory: that one it gets, by a front of its own.
  const WebService other = make_service("b", "/usr");
  keeping.keeper.set_service({}, listeners, other);
  CHECK(keeping.received() == Types{MessageType::stop});
  keeping.end();
  for (Nanoseconds now = 13s; keeping.started == 2 && now < 23s; now += 10ms) {
    usleep(1000);
    keeping.keeper.turn(now);
  }
  REQUIRE(keeping.started == 3);
  CHECK(keeping.received() == kWhole);
  CHECK(keeping.last[MessageType::textfile].descriptor);
}

TEST_CASE("the textfile is written again when the front that hung in it has ended") {
  Keeping keeping;
  const auto listeners = make_listeners(2);
  const WebService service = make_service("a", "/tmp");
  keeping.keeper.set_service({}, listeners, service);
  keeping.keeper.turn(1s);
  if (!keeping.hold()) return;
  keeping.keeper.turn(11s);
  keeping.keeper.turn(12s);
  REQUIRE(keeping.started == 2);
  keeping.received();
  keeping.release();
  keeping.turn_until(12s + 1ms, [&] { return !keeping.received().empty(); });
  keeping.end();
  keeping.turn_until(12s + 2ms, [&] { return keeping.started != 2; });
  REQUIRE(keeping.started == 3);
  CHECK(keeping.received() == kWhole);
  CHECK(keeping.last[MessageType::textfile].descriptor);
}

TEST_CASE("a front of which a thread alone is left is noticed by its channel, not after ten seconds") {
  Keeping keeping;
  const auto listeners = make_listeners(1);
  const WebService service = make_service("a", "/tmp");
  keeping.keeper.set_service({}, listeners, service);
  keeping.keeper.turn(1s);
  if (!keeping.hold()) return;
  keeping.channel.reset();
  // Its process lets go of its copy in a moment.
  keeping.turn_until(2s, [&] { return keeping.keeper.next_turn() == 3s; });
  CHECK(keeping.keeper.next_turn() == 3s);
  keeping.keeper.turn(3s);
  CHECK(keeping.started == 2);
}

TEST_CASE("with eight fronts left behind no other is started until one of them ends") {
  Keeping keeping;
  const auto listeners = make_listeners(1);
  const WebService service = make_service("a", nullptr);
  keeping.keeper.set_service({}, listeners, service);
  Nanoseconds now = 1s;
  for (int round = 1; round <= 8; ++round) {
    keeping.keeper.turn(now);
    REQUIRE(keeping.started == round);
    if (!keeping.hold()) return;
    now += 10s;
    keeping.keeper.turn(now);
    now += 1s;
    keeping.keeper.turn(now);
  }
  CHECK(keeping.started == 8);
  keeping.keeper.turn(now + 10min);
  CHECK(keeping.started == 8);
  CHECK(keeping.keeper.names_of_left().size() == 8);
  keeping.release();
  keeping.turn_until(now + 10min, [&] { return keeping.started != 8; });
  CHECK(keeping.started == 9);
}
