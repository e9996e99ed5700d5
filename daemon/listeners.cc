// SPDX-License-Identifier: Apache-2.0
#include "daemon/listeners.h"

#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <memory>

namespace defused {

namespace {

constexpr int kBacklog = 64;

struct Address {
  std::string host;
  std::string port;
};

// "[::1]:80" -> ::1, 80; ":80" -> "", 80
Result<Address> split_address(const std::string& text) {
  const std::size_t colon = text.rfind(':');
  if (colon == std::string::npos) return fail(ErrorKind::malformed, "expected HOST:PORT, got '" + text + "'");
  Address address{text.substr(0, colon), text.substr(colon + 1)};
  std::string& host = address.host;
  if (host.size() >= 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  if (host == "localhost") host = "127.0.0.1";
  return address;
}

std::string url_of(int socket, const std::string& asked_host) {
  sockaddr_storage bound{};
  socklen_t length = sizeof bound;
  std::array<char, NI_MAXHOST> host{};
  std::array<char, NI_MAXSERV> port{};
  if (getsockname(socket, reinterpret_cast<sockaddr*>(&bound), &length) < 0 ||
      getnameinfo(reinterpret_cast<sockaddr*>(&bound), length, host.data(), host.size(), port.data(), port.size(),
                  NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
    return "http://" + asked_host + "/";
  }
  const std::string name = bound.ss_family == AF_INET6 ? "[" + std::string(host.data()) + "]" : host.data();
  return "http://" + name + ":" + port.data() + "/";
}

Result<Listener> open_listener(const std::string& text) {
  const auto address = split_address(text);
  if (!address) return Failure(address.error());
  addrinfo hints{};
  hints.ai_flags = AI_PASSIVE | AI_NUMERICHOST | AI_NUMERICSERV;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const char* host = address->host.empty() ? nullptr : address->host.c_str();
  if (const int error = getaddrinfo(host, address->port.c_str(), &hints, &found); error != 0) {
    return fail(ErrorKind::malformed, "cannot listen on " + text + ": " + gai_strerror(error));
  }
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owner(found, &freeaddrinfo);
  UniqueFd socket(::socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) return fail_errno(errno, "cannot listen on " + text);
  const int on = 1;
  setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(socket.get(), found->ai_addr, found->ai_addrlen) < 0 || listen(socket.get(), kBacklog) < 0) {
    return fail_errno(errno, "cannot listen on " + text);
  }
  std::string url = url_of(socket.get(), text);
  return Listener{std::move(socket), std::move(url)};
}

}  // namespace

Result<std::vector<Listener>> open_listeners(const std::vector<std::string>& addresses) {
  std::vector<Listener> listeners;
  for (const std::string& address : addresses) {
    auto listener = open_listener(address);
    if (!listener) return Failure(listener.error());
    listeners.push_back(*std::move(listener));
  }
  return listeners;
}

}  // namespace defused
