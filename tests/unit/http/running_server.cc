// SPDX-License-Identifier: Apache-2.0
#include "running_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <zlib.h>

#include <array>
#include <catch2/catch.hpp>
#include <cerrno>
#include <system_error>

namespace defused {

namespace {

// Clients are made by several threads at once, which Catch's assertions do not bear.
void must(bool done, const char* what) {
  if (!done) throw std::system_error(errno, std::generic_category(), what);
}

}  // namespace

using namespace std::chrono_literals;

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

RunningServer::RunningServer(HttpLimits limits, WebConfig config, TlsMaterial material, HttpServer::Handler handler) {
  if (!handler) handler = [this](const HttpRequest& asked) { return answer(asked); };
  auto server = HttpServer::create(limits, std::move(handler));
  REQUIRE(server);
  server_ = *std::move(server);
  const auto set = server_->set_web_config(config, material);
  INFO((set ? std::string() : set.error().message));
  REQUIRE(set);
  std::vector<UniqueFd> listeners;
  listeners.push_back(listen_on_loopback(port_));
  server_->set_listeners(std::move(listeners));
  thread_ = std::thread([this] { loop(); });
}

RunningServer::~RunningServer() {
  stop_ = true;
  thread_.join();
}

HttpResponse RunningServer::answer(const HttpRequest& asked) {
  HttpResponse response;
  if (asked.path == "/large") {
    response.body = std::string(20'000, 'x');
  } else if (asked.path == "/huge") {
    response.body = std::string(8U << 20U, 'h');
  } else if (asked.path == "/kept") {
    response.body = "made " + std::to_string(++made_) + std::string(1'000, ' ') + "\n";
    response.keep_for = 1s;
  } else if (asked.path == "/") {
    response.body = "hello\n";
  } else {
    response.status = 404;
    response.body = "no such page\n";
  }
  return response;
}

void RunningServer::loop() {
  while (!stop_) {
    std::vector<pollfd> polls;
    server_->add_polls(polls);
    poll(polls.data(), polls.size(), static_cast<int>(std::min(20ms, server_->next_turn()).count()));
    server_->turn();
    ++turns_;
    const std::lock_guard lock(mutex_);
    if (task_ != nullptr) (*task_)(*server_);
    task_ = nullptr;
    done_.notify_all();
  }
}

void RunningServer::run(const std::function<void(HttpServer&)>& what) {
  std::unique_lock lock(mutex_);
  task_ = &what;
  done_.wait(lock, [this] { return task_ == nullptr; });
}

Result<void> RunningServer::set_web_config(const WebConfig& config, const TlsMaterial& material) {
  Result<void> set;
  run([&](HttpServer& server) { set = server.set_web_config(config, material); });
  return set;
}

PlainClient::PlainClient(std::uint16_t port, int receive_buffer, const char* from)
    : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const timeval patience{10, 0};
  setsockopt(socket_.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  setsockopt(socket_.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  sockaddr_in own{};
  own.sin_family = AF_INET;
  must(inet_pton(AF_INET, from, &own.sin_addr) == 1, "inet_pton");
  must(bind(socket_.get(), reinterpret_cast<sockaddr*>(&own), sizeof own) == 0, "bind");
  if (receive_buffer > 0) setsockopt(socket_.get(), SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
  must(connect(socket_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0, "connect");
}

bool PlainClient::send(const std::string& text) const {
  return ::send(socket_.get(), text.data(), text.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(text.size());
}

std::string PlainClient::read_all() const {
  std::string text = rest_;
  std::array<char, 65536> buffer{};
  ssize_t got = 0;
  while ((got = recv(socket_.get(), buffer.data(), buffer.size(), 0)) > 0)
    text.append(buffer.data(), static_cast<std::size_t>(got));
  return text;
}

std::string PlainClient::read_response(bool head) {
  std::array<char, 65536> buffer{};
  while (true) {
    const std::size_t end = rest_.find("\r\n\r\n");
    if (end != std::string::npos) {
      const std::string length = header(rest_, "Content-Length");
      const std::size_t whole = end + 4 + (head || length.empty() ? 0 : std::stoul(length));
      if (rest_.size() >= whole) {
        std::string response = rest_.substr(0, whole);
        rest_.erase(0, whole);
        return response;
      }
    }
    const ssize_t got = recv(socket_.get(), buffer.data(), buffer.size(), 0);
    if (got <= 0) return {};
    rest_.append(buffer.data(), static_cast<std::size_t>(got));
  }
}

bool PlainClient::is_closed_within(std::chrono::milliseconds time) const {
  const auto deadline = std::chrono::steady_clock::now() + time;
  std::array<char, 65536> buffer{};
  while (true) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    pollfd one{socket_.get(), POLLIN, 0};
    if (left.count() <= 0 || poll(&one, 1, static_cast<int>(left.count())) <= 0) return false;
    if (recv(socket_.get(), buffer.data(), buffer.size(), 0) <= 0) return true;
  }
}

void PlainClient::reset() {
  const linger at_once{1, 0};
  setsockopt(socket_.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  socket_.reset();
}

std::string exchange_plain(const RunningServer& server, const std::string& request) {
  const PlainClient client(server.port());
  client.send(request);
  return client.read_all();
}

std::string kept_request(const std::string& line, const std::string& headers) {
  return line + " HTTP/1.1\r\nHost: localhost\r\n" + headers + "\r\n";
}

std::string request(const std::string& line, const std::string& headers) {
  return kept_request(line, "Connection: close\r\n" + headers);
}

bool starts(const std::string& text, const std::string& with) { return text.compare(0, with.size(), with) == 0; }

int status_of(const std::string& response) {
  return response.size() < 12 || !starts(response, "HTTP/1.") ? 0 : std::stoi(response.substr(9, 3));
}

std::string header(const std::string& response, const std::string& name) {
  const std::size_t at = response.find("\r\n" + name + ": ");
  if (at == std::string::npos) return {};
  const std::size_t begin = at + name.size() + 4;
  return response.substr(begin, response.find("\r\n", begin) - begin);
}

std::size_t count_headers(const std::string& response, const std::string& name) {
  const std::string head = response.substr(0, response.find("\r\n\r\n"));
  const auto lower = [](std::string text) {
    for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    return text;
  };
  const std::string wanted = lower("\r\n" + name + ": ");
  const std::string all = lower(head);
  std::size_t count = 0;
  for (auto at = all.find(wanted); at != std::string::npos; at = all.find(wanted, at + 1)) ++count;
  return count;
}

std::string body(const std::string& response) {
  const std::size_t end = response.find("\r\n\r\n");
  return end == std::string::npos ? std::string() : response.substr(end + 4);
}

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

std::string basic(const std::string& name, const std::string& password) {
  constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const std::string text = name + ":" + password;
  std::string out;
  for (std::size_t i = 0; i < text.size(); i += 3) {
    std::uint32_t bits = 0;
    for (std::size_t j = 0; j < 3; ++j)
      bits = (bits << 8U) | (i + j < text.size() ? static_cast<unsigned char>(text[i + j]) : 0U);
    for (std::size_t j = 0; j < 4; ++j) out += i + j > text.size() ? '=' : kAlphabet[(bits >> (18U - 6U * j)) & 63U];
  }
  return "Authorization: Basic " + out + "\r\n";
}

}  // namespace defused
