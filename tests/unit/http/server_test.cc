// SPDX-License-Identifier: Apache-2.0
#include "exporters/http/server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zlib.h>

#include <array>
#include <atomic>
#include <catch2/catch.hpp>
#include <cerrno>
#include <thread>

using namespace defused;
using namespace std::chrono_literals;

namespace {

UniqueFd listen_on_loopback(std::uint16_t& port) {
  UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  REQUIRE(bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  REQUIRE(listen(socket.get(), 512) == 0);
  socklen_t length = sizeof address;
  REQUIRE(getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &length) == 0);
  port = ntohs(address.sin_port);
  return socket;
}

// The server in a thread of its own, as the front's loop drives it.
class Running {
 public:
  explicit Running(HttpLimits limits) {
    auto server = HttpServer::create(limits, [](const HttpRequest& request) {
      HttpResponse response;
      if (request.path == "/large")
        response.body = std::string(20'000, 'x');
      else if (request.path == "/")
        response.body = "hello\n";
      else
        response.status = 404;
      return response;
    });
    REQUIRE(server);
    server_ = *std::move(server);
    std::vector<UniqueFd> listeners;
    listeners.push_back(listen_on_loopback(port_));
    server_->set_listeners(std::move(listeners));
    thread_ = std::thread([this] {
      while (!stop_) {
        std::vector<pollfd> polls;
        server_->add_polls(polls);
        poll(polls.data(), polls.size(), static_cast<int>(std::min(20ms, server_->next_turn()).count()));
        server_->turn();
      }
    });
  }
  ~Running() {
    stop_ = true;
    thread_.join();
  }
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;

  [[nodiscard]] UniqueFd connect_to() const {
    UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port_);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const timeval patience{5, 0};
    setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    REQUIRE(connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    return socket;
  }

  // Everything until the server closes, or until `bytes_after_header` have come.
  [[nodiscard]] std::string exchange(const std::string& request) const {
    const UniqueFd socket = connect_to();
    [[maybe_unused]] const auto sent = send(socket.get(), request.data(), request.size(), MSG_NOSIGNAL);
    return read_all(socket.get());
  }

  static std::string read_all(int socket) {
    std::string text;
    std::array<char, 4096> buffer{};
    ssize_t got = 0;
    while ((got = recv(socket, buffer.data(), buffer.size(), 0)) > 0)
      text.append(buffer.data(), static_cast<std::size_t>(got));
    return text;
  }

 private:
  std::unique_ptr<HttpServer> server_;
  std::uint16_t port_ = 0;
  std::atomic<bool> stop_ = false;
  std::thread thread_;
};

std::string request(const std::string& line, const std::string& headers = {}) {
  return line + " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n" + headers + "\r\n";
}

bool starts(const std::string& text, const std::string& with) { return text.compare(0, with.size(), with) == 0; }

std::string header(const std::string& response, const std::string& name) {
  const std::size_t at = response.find("\r\n" + name + ": ");
  if (at == std::string::npos) return {};
  const std::size_t begin = at + name.size() + 4;
  return response.substr(begin, response.find("\r\n", begin) - begin);
}

std::string body(const std::string& response) { return response.substr(response.find("\r\n\r\n") + 4); }

std::string gunzip(const std::string& data) {
  z_stream stream{};
  REQUIRE(inflateInit2(&stream, 15 + 16) == Z_OK);
  std::string out(1 << 16, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(data.data()));
  stream.avail_in = static_cast<uInt>(data.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  CHECK(inflate(&stream, Z_FINISH) == Z_STREAM_END);
  out.resize(stream.total_out);
  inflateEnd(&stream);
  return out;
}

}  // namespace

TEST_CASE("GET, HEAD and nothing else") {
  const Running server{HttpLimits{}};
  const std::string got = server.exchange(request("GET /"));
  CHECK(starts(got, "HTTP/1.1 200"));
  CHECK(body(got) == "hello\n");
  CHECK(header(got, "X-Content-Type-Options") == "nosniff");
  const std::string head = server.exchange(request("HEAD /"));
  CHECK(starts(head, "HTTP/1.1 200"));
  CHECK(header(head, "Content-Length") == "6");
  CHECK(body(head).empty());
  for (const char* method : {"POST", "PUT", "DELETE", "OPTIONS", "TRACE", "X"}) {
    const std::string refused = server.exchange(request(std::string(method) + " /"));
    CHECK(starts(refused, "HTTP/1.1 405"));
    CHECK(header(refused, "Allow") == "GET, HEAD");
  }
  CHECK(starts(server.exchange(request("GET /other")), "HTTP/1.1 404"));
  CHECK(starts(server.exchange(request("POST /", "Content-Length: 5\r\n") + "abcde"), "HTTP/1.1 405"));
}

TEST_CASE("gzip where it is accepted and worth it") {
  const Running server{HttpLimits{}};
  const std::string zipped = server.exchange(request("GET /large", "Accept-Encoding: br, gzip;q=0.8\r\n"));
  CHECK(header(zipped, "Content-Encoding") == "gzip");
  CHECK(header(zipped, "Vary") == "Accept-Encoding");
  CHECK(gunzip(body(zipped)) == std::string(20'000, 'x'));
  CHECK(header(server.exchange(request("GET /large")), "Content-Encoding").empty());
  CHECK(header(server.exchange(request("GET /large", "Accept-Encoding: gzip;q=0\r\n")), "Content-Encoding").empty());
  CHECK(header(server.exchange(request("GET /", "Accept-Encoding: gzip\r\n")), "Content-Encoding").empty());
  CHECK(accepts_gzip("gzip"));
  CHECK_FALSE(accepts_gzip("gzip;q=0.0"));
  CHECK_FALSE(accepts_gzip("xgzip"));
}

TEST_CASE("a header that does not end is cut off, also when it trickles") {
  HttpLimits limits;
  limits.header_time = 300ms;
  const Running server(limits);
  const auto begin = std::chrono::steady_clock::now();
  const UniqueFd silent = server.connect_to();
  const UniqueFd trickling = server.connect_to();
  std::atomic<bool> done = false;
  std::thread trickle([&] {
    while (!done && send(trickling.get(), "X", 1, MSG_NOSIGNAL) == 1) std::this_thread::sleep_for(20ms);
  });
  Running::read_all(silent.get());
  Running::read_all(trickling.get());
  const auto took = std::chrono::steady_clock::now() - begin;
  done = true;
  trickle.join();
  CHECK(took >= 250ms);
  CHECK(took < 4s);
}

TEST_CASE("idle connections starve nobody") {
  HttpLimits limits;
  limits.max_connections = 32;
  const Running server(limits);
  std::vector<UniqueFd> idle;
  for (int i = 0; i < 200; ++i) idle.push_back(server.connect_to());
  for (int i = 0; i < 20; ++i) CHECK(body(server.exchange(request("GET /"))) == "hello\n");
}

TEST_CASE("garbage is answered or cut off, and it goes on serving") {
  HttpLimits limits;
  limits.header_time = 200ms;
  const Running server(limits);
  for (const std::string& garbage :
       {std::string("\0\1\2\3\r\n\r\n", 8), std::string("GET\r\n\r\n"), std::string("GET / HTTP/9.9\r\n\r\n"),
        "GET /" + std::string(100'000, 'a') + " HTTP/1.1\r\n\r\n",
        request("GET /", "X: " + std::string(60'000, 'b') + "\r\n"), std::string("\r\n\r\n\r\n"),
        std::string("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n")}) {
    [[maybe_unused]] const std::string answer = server.exchange(garbage);
    CHECK_FALSE(starts(answer, "HTTP/1.1 200 OK\r\nX"));
  }
  CHECK(body(server.exchange(request("GET /"))) == "hello\n");
}
