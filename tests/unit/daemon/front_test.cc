// SPDX-License-Identifier: Apache-2.0
// A whole front, in its sandbox: what it is sent over the channel, and what it serves then.
#include "daemon/front.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <catch2/catch.hpp>
#include <chrono>
#include <functional>
#include <string>
#include <thread>

#include "daemon/channel.h"
#include "daemon/spawn.h"
#include "model/codec.h"

using namespace defused;
using namespace std::chrono_literals;

namespace {

class RunningFront {
 public:
  explicit RunningFront(const Settings& settings)
      : listener_(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)) {
    address_.sin_family = AF_INET;
    address_.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address_);
    REQUIRE(bind(listener_.get(), reinterpret_cast<sockaddr*>(&address_), size) == 0);
    REQUIRE(listen(listener_.get(), 16) == 0);
    REQUIRE(getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&address_), &size) == 0);
    auto ends = make_channel();
    REQUIRE(ends);
    pid_ = fork();
    REQUIRE(pid_ >= 0);
    if (pid_ == 0) {
      // As a child that was spawned: the channel is 3, and nothing else is open.
      const int channel = dup2(ends->second.release(), kChannelDescriptor);
      if (channel < 0 || close_range(kChannelDescriptor + 1, ~0U, 0) < 0) _exit(1);
      _exit(run_front(UniqueFd(channel)));
    }
    channel_ = std::move(ends->first);
    give(MessageType::settings, encode_settings(settings));
    send(MessageType::textfile, -1);
    give(MessageType::web, encode_web_config({}));
    send(MessageType::listener, listener_.get());
  }
  ~RunningFront() {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  RunningFront(const RunningFront&) = delete;
  RunningFront& operator=(const RunningFront&) = delete;

  void show(const PassResult& pass) { give(MessageType::view, encode_pass(pass)); }

  // Status line, headers and text; "" where it does not answer.
  [[nodiscard]] std::string get(const std::string& path) const {
    const UniqueFd client(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const timeval limit{5, 0};
    setsockopt(client.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    if (connect(client.get(), reinterpret_cast<const sockaddr*>(&address_), sizeof(address_)) != 0) return "";
    const std::string request = "GET " + path + " HTTP/1.0\r\n\r\n";
    if (::send(client.get(), request.data(), request.size(), MSG_NOSIGNAL) < 0) return "";
    std::string answer;
    std::array<char, 4096> bytes{};
    for (ssize_t got = 0; (got = recv(client.get(), bytes.data(), bytes.size(), 0)) > 0;)
      answer.append(bytes.data(), static_cast<std::size_t>(got));
    return answer;
  }

 private:
  void send(MessageType type, int descriptor) {
    Message message;
    message.type = type;
    message.count = 1;
    message.status.interval = 500ms;
    REQUIRE(send_message(channel_.get(), message, descriptor));
  }
  void give(MessageType type, const std::vector<std::uint8_t>& bytes) {
    const auto memfd = make_sealed_memfd("test", bytes);
    REQUIRE(memfd);
    send(type, memfd->get());
  }

  UniqueFd listener_;
  sockaddr_in address_{};
  UniqueFd channel_;
  pid_t pid_ = -1;
};

bool becomes_true(const std::function<bool()>& what) {
  const auto end = std::chrono::steady_clock::now() + 30s;
  while (!what()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(20ms);
  }
  return true;
}

}  // namespace

TEST_CASE("a front tells that reports stay away although the wall clock was set back since") {
  if (geteuid() != 0) {
    WARN("needs root");
    return;
  }
  Settings settings;
  settings.interval = 500ms;
  settings.pass_deadline = 500ms;
  RunningFront front(settings);
  PassResult pass;
  pass.report.host = "h";
  pass.report.scanned_at = SystemClock().now().wall + 1h;
  front.show(pass);
  const auto has = [&](const std::string& path, const char* text) {
    return front.get(path).find(text) != std::string::npos;
  };
  CHECK(becomes_true([&] { return has("/-/ready", "503 ") && has("/-/ready", "the last pass began"); }));
  CHECK(becomes_true([&] { return has("/", "Not known: this is not fresh"); }));
  // The same one again is not news; another one is, by the same clock.
  front.show(pass);
  CHECK(has("/-/ready", "503 "));
  CHECK(becomes_true([&] {
    pass.report.scanned_at += 1s;
    front.show(pass);
    return has("/-/ready", "200 ");
  }));
}
