// SPDX-License-Identifier: Apache-2.0
// Both ends of <runtime_directory>/report.sock: what a client gets, and what no client can do to the supervisor's loop.
#include "daemon/report_socket.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <catch2/catch.hpp>
#include <cstring>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "daemon/ask_daemon.h"
#include "daemon/build_identity.h"
#include "model/codec.h"
#include "temporary_directory.h"

using namespace defused;
using namespace std::chrono_literals;

namespace {

// NOLINTBEGIN(cppcoreguidelines-pro-type-reinterpret-cast): the socket calls want it so
UniqueFd raw_socket(const std::string& path, int type, bool connected) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  REQUIRE(path.size() < sizeof address.sun_path);
  std::memcpy(static_cast<char*>(address.sun_path), path.c_str(), path.size() + 1);
  UniqueFd made(socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const auto* target = reinterpret_cast<const sockaddr*>(&address);
  const int failed = connected ? connect(made.get(), target, sizeof address) : bind(made.get(), target, sizeof address);
  return failed == 0 ? std::move(made) : UniqueFd();
}
// NOLINTEND(cppcoreguidelines-pro-type-reinterpret-cast)

UniqueFd connect_to(const TemporaryDirectory& directory) {
  return raw_socket(directory.file("report.sock"), SOCK_SEQPACKET, true);
}

Message make_view() {
  Message view;
  view.type = MessageType::view;
  view.status.probers_lost = 3;
  view.status.interval = 7s;
  view.max_ms = 250;
  return view;
}

UniqueFd make_report() {
  PassResult pass;
  pass.report.host = "here";
  return *make_sealed_memfd("report", encode_pass(pass));
}

// What came as one packet; "" at the end.
std::string receive_packet(const UniqueFd& client) {
  std::array<char, 1024> packet{};
  const ssize_t got = recv(client.get(), packet.data(), packet.size(), MSG_DONTWAIT);
  return got > 0 ? std::string(packet.data(), static_cast<std::size_t>(got)) : "";
}

// A supervisor's loop of its own, as long as it lives.
class Serving {
 public:
  Serving(const TemporaryDirectory& directory, int memfd) : memfd_(memfd) {
    REQUIRE(socket_.open(directory.path().string()));
    thread_ = std::thread([this] { serve(); });
  }
  ~Serving() {
    stop_ = true;
    thread_.join();
  }
  Serving(const Serving&) = delete;
  Serving& operator=(const Serving&) = delete;

 private:
  void serve() {
    while (!stop_) {
      std::vector<pollfd> polls;
      socket_.add_polls(polls);
      poll(polls.data(), polls.size(), 20);
      socket_.turn(SystemClock().now().boottime, memfd_, &make_view);
    }
  }
  ReportSocket socket_;
  int memfd_;
  std::atomic<bool> stop_ = false;
  std::thread thread_;
};

int turn(ReportSocket& socket, Nanoseconds now = 0s, int memfd = -1) {
  int asked = 0;
  socket.turn(now, memfd, [&] {
    ++asked;
    return make_view();
  });
  return asked;
}

}  // namespace

TEST_CASE("a client gets the report and what the supervisor knows") {
  const TemporaryDirectory directory;
  const UniqueFd report = make_report();
  const Serving serving(directory, report.get());
  const auto answer = ask_daemon(directory.path().string());
  INFO((answer ? "" : answer.error().message));
  REQUIRE(answer);
  REQUIRE(answer->pass);
  CHECK(answer->pass->report.host == "here");
  CHECK(answer->status.probers_lost == 3);
  CHECK(answer->status.interval == Nanoseconds(7s));
  CHECK(answer->report_age == Nanoseconds(250ms));
}

TEST_CASE("before the first report there is none") {
  const TemporaryDirectory directory;
  const Serving serving(directory, -1);
  const auto answer = ask_daemon(directory.path().string());
  REQUIRE(answer);
  CHECK_FALSE(answer->pass);
}

TEST_CASE("the socket is root's alone, closed on exec, and gone at the end") {
  const TemporaryDirectory directory;
  ReportSocket socket;
  REQUIRE(socket.open(directory.path().string()));
  struct stat status {};
  REQUIRE(lstat(directory.file("report.sock").c_str(), &status) == 0);
  CHECK(S_ISSOCK(status.st_mode));
  CHECK((status.st_mode & 07777U) == 0600U);
  std::vector<pollfd> polls;
  socket.add_polls(polls);
  REQUIRE(polls.size() == 1);
  CHECK((fcntl(polls[0].fd, F_GETFD) & FD_CLOEXEC) != 0);
  CHECK((fcntl(polls[0].fd, F_GETFL) & O_NONBLOCK) != 0);
  socket.close();
  CHECK(lstat(directory.file("report.sock").c_str(), &status) < 0);
  CHECK(turn(socket) == 0);
}

TEST_CASE("a stale socket is replaced, anything else is not") {
  const TemporaryDirectory directory;
  REQUIRE(raw_socket(directory.file("report.sock"), SOCK_SEQPACKET, false));
  CHECK(ask_daemon(directory.path().string()).error().kind == ErrorKind::gone);  // as after SIGKILL
  ReportSocket socket;
  REQUIRE(socket.open(directory.path().string()));
  CHECK(connect_to(directory));
  CHECK(turn(socket) == 1);
  socket.close();

  directory.write("report.sock", "a file");
  const auto refused = socket.open(directory.path().string());
  REQUIRE_FALSE(refused);
  CHECK(refused.error().message == directory.file("report.sock") + " is there and is not a socket");
  CHECK(directory.text("report.sock") == "a file");
  CHECK_FALSE(socket.open(directory.file("none")));
  const auto too_long = socket.open(directory.file(std::string(120, 'x')));
  REQUIRE_FALSE(too_long);
  CHECK(too_long.error().message.find("longer than the path of a socket may be") != std::string::npos);
  CHECK(ask_daemon(directory.file(std::string(120, 'x'))).error().kind == ErrorKind::gone);
}

TEST_CASE("another one in its place is not removed") {
  const TemporaryDirectory directory;
  ReportSocket socket;
  REQUIRE(socket.open(directory.path().string()));
  REQUIRE(unlink(directory.file("report.sock").c_str()) == 0);
  const UniqueFd other = raw_socket(directory.file("report.sock"), SOCK_SEQPACKET, false);
  REQUIRE(other);
  socket.close();
  struct stat status {};
  CHECK(lstat(directory.file("report.sock").c_str(), &status) == 0);
}

TEST_CASE("clients that are gone, do not read, or write") {
  const TemporaryDirectory directory;
  const UniqueFd report = make_report();
  ReportSocket socket;
  REQUIRE(socket.open(directory.path().string()));
  connect_to(directory);                           // gone before it is accepted
  const UniqueFd silent = connect_to(directory);   // never reads
  const UniqueFd talking = connect_to(directory);  // writes, which nobody reads
  REQUIRE(send(talking.get(), "hello", 5, MSG_NOSIGNAL) == 5);
  const Stopwatch watch;
  CHECK(turn(socket, 0s, report.get()) == 3);
  CHECK(turn(socket, 0s, report.get()) == 0);
  CHECK(watch.elapsed() < Nanoseconds(1s));
  CHECK(receive_packet(silent) == build_identity());
  CHECK(receive_packet(silent).size() == sizeof(Message));
  CHECK(receive_packet(silent).empty());  // closed
}

TEST_CASE("a thousand clients are answered a few at a time, and cost no descriptors") {
  const TemporaryDirectory directory;
  const UniqueFd report = make_report();
  ReportSocket socket;
  REQUIRE(socket.open(directory.path().string()));
  int answered = 0;
  for (int client = 0; client < 1000; ++client) {
    const UniqueFd connected = connect_to(directory);
    if (connected && client % 50 != 0) continue;  // most are gone at once
    answered += turn(socket, 0s, report.get());
  }
  for (int more = 1; more > 0; answered += more) {
    more = turn(socket, 0s, report.get());
    CHECK(more <= ReportSocket::kClientsPerTurn);
  }
  CHECK(answered > 64);  // the backlog, at least once

  std::vector<UniqueFd> waiting;
  for (int i = 0; i < 20; ++i) waiting.push_back(connect_to(directory));
  CHECK(turn(socket, 0s, report.get()) == ReportSocket::kClientsPerTurn);
  CHECK(turn(socket, 0s, report.get()) == ReportSocket::kClientsPerTurn);
  CHECK(turn(socket, 0s, report.get()) == 4);
  for (const UniqueFd& client : waiting) CHECK(receive_packet(client) == build_identity());
}

TEST_CASE("a thousand real clients at once all get their answer or a refusal in time") {
  const TemporaryDirectory directory;
  const UniqueFd report = make_report();
  const Serving serving(directory, report.get());
  std::atomic<int> good = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 20; ++i) {
    threads.emplace_back([&] {
      for (int j = 0; j < 50; ++j) {
        if (ask_daemon(directory.path().string(), 20s)) ++good;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(good == 1000);
}

TEST_CASE("without a free descriptor it rests instead of spinning") {
  const TemporaryDirectory directory;
  ReportSocket socket;
  REQUIRE(socket.open(directory.path().string()));
  const UniqueFd client = connect_to(directory);
  rlimit limit{};
  REQUIRE(getrlimit(RLIMIT_NOFILE, &limit) == 0);
  const rlimit none{3, limit.rlim_max};
  REQUIRE(setrlimit(RLIMIT_NOFILE, &none) == 0);
  const int answered = turn(socket, 10s);
  REQUIRE(setrlimit(RLIMIT_NOFILE, &limit) == 0);
  CHECK(answered == 0);
  std::vector<pollfd> polls;
  socket.add_polls(polls);
  CHECK(polls.empty());
  CHECK(turn(socket, 10s + 999ms) == 0);
  CHECK(turn(socket, 11s) == 1);
  socket.add_polls(polls);
  CHECK(polls.size() == 1);
}

TEST_CASE("who is not root gets nothing") {
  if (geteuid() != 0) {
    WARN("only root can be somebody else");
    return;
  }
  const TemporaryDirectory directory;
  ReportSocket socket;
  REQUIRE(socket.open(directory.path().string()));
  // As an operator might leave them: without these the file system refuses first.
  REQUIRE(chmod(directory.path().c_str(), 0755) == 0);
  REQUIRE(chmod(directory.file("report.sock").c_str(), 0666) == 0);
  std::array<int, 2> done{};
  REQUIRE(pipe2(done.data(), O_CLOEXEC) == 0);
  const pid_t pid = fork();
  REQUIRE(pid >= 0);
  if (pid == 0) {
    constexpr uid_t kNobody = 65534;
    if (setresuid(kNobody, kNobody, kNobody) != 0) _exit(2);
    const UniqueFd client = connect_to(directory);
    if (!client || write(done[1], "c", 1) != 1) _exit(3);
    pollfd ready{client.get(), POLLIN, 0};
    poll(&ready, 1, 5000);
    _exit(receive_packet(client).empty() ? 0 : 4);
  }
  char connected = 0;
  close(done[1]);
  CHECK(read(done[0], &connected, 1) == 1);
  close(done[0]);
  CHECK(turn(socket) == 0);
  int status = 0;
  REQUIRE(waitpid(pid, &status, 0) == pid);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
}

TEST_CASE("a daemon that does not answer is waited for so long and no longer") {
  const TemporaryDirectory directory;
  ReportSocket socket;
  REQUIRE(socket.open(directory.path().string()));  // nobody turns it: as when it is stopped
  const Stopwatch watch;
  const auto answer = ask_daemon(directory.path().string(), 200ms);
  REQUIRE_FALSE(answer);
  CHECK(answer.error().kind == ErrorKind::timeout);
  CHECK(watch.elapsed() >= Nanoseconds(150ms));
  CHECK(watch.elapsed() < Nanoseconds(2s));
  std::vector<UniqueFd> full;
  for (UniqueFd client = connect_to(directory); client; client = connect_to(directory))
    full.push_back(std::move(client));
  CHECK(full.size() >= 10);
  CHECK(ask_daemon(directory.path().string(), 200ms).error().kind == ErrorKind::timeout);
}

TEST_CASE("a daemon that ends before it accepts is gone, and does not hang") {
  const TemporaryDirectory directory;
  UniqueFd listener = raw_socket(directory.file("report.sock"), SOCK_SEQPACKET, false);
  REQUIRE(listen(listener.get(), 4) == 0);
  std::thread end([&] {
    pollfd ready{listener.get(), POLLIN, 0};
    poll(&ready, 1, 5000);
    listener.reset();  // the client gets ECONNRESET
  });
  const auto answer = ask_daemon(directory.path().string(), 10s);
  end.join();
  REQUIRE_FALSE(answer);
  CHECK(answer.error().kind == ErrorKind::gone);
}

TEST_CASE("another build, nonsense, an answer that is cut off, a report that is not sealed") {
  const TemporaryDirectory directory;
  const UniqueFd listener = raw_socket(directory.file("report.sock"), SOCK_SEQPACKET, false);
  REQUIRE(listen(listener.get(), 4) == 0);
  const auto ask_and_say = [&](const std::string& greeting, const std::string& rest, int memfd = -1) {
    std::thread server([&] {
      pollfd ready{listener.get(), POLLIN, 0};
      poll(&ready, 1, 5000);
      const UniqueFd client(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (!greeting.empty()) send(client.get(), greeting.data(), greeting.size(), MSG_NOSIGNAL);
      if (!rest.empty()) send(client.get(), rest.data(), rest.size(), MSG_NOSIGNAL);
      if (memfd >= 0) [[maybe_unused]]
        const auto sent = send_message(client.get(), make_view(), memfd);
    });
    auto answer = ask_daemon(directory.path().string());
    server.join();
    REQUIRE_FALSE(answer);
    return answer.error();
  };
  const Error other = ask_and_say("defused 0.1.0 abcdef\x1b 00 200", "");
  CHECK(other.kind == ErrorKind::unsupported);
  CHECK(other.message == "the daemon is another build: defused 0.1.0 abcdef\\x1b 00 200");
  const Error closed = ask_and_say("", "");
  CHECK(closed.kind == ErrorKind::gone);
  CHECK(closed.message == "the daemon closed its socket without an answer");
  CHECK(ask_and_say(build_identity(), "").kind == ErrorKind::gone);
  CHECK(ask_and_say(build_identity(), "short").kind == ErrorKind::malformed);
  CHECK(ask_and_say(build_identity(), std::string(sizeof(Message), '\0')).kind == ErrorKind::malformed);
  CHECK(ask_and_say(build_identity(), std::string(2 * sizeof(Message), '\0')).kind == ErrorKind::malformed);
  const UniqueFd open_memfd(memfd_create("open", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  CHECK(ask_and_say(build_identity(), "", open_memfd.get()).message == "the report of the daemon: it is not sealed");
  const auto garbage = make_sealed_memfd("garbage", {1, 2, 3});
  CHECK(ask_and_say(build_identity(), "", garbage->get()).kind == ErrorKind::malformed);
}

TEST_CASE("the identity of a build has its build id and the size of a message") {
  CHECK(read_build_id().size() >= 16);
  CHECK(build_identity().find(read_build_id()) != std::string::npos);
  CHECK(build_identity().size() < 200);
  const std::string size = " " + std::to_string(sizeof(Message));
  CHECK(build_identity().substr(build_identity().size() - size.size()) == size);
}
