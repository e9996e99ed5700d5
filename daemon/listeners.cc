// SPDX-License-Identifier: Apache-2.0
#include "daemon/listeners.h"

#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include "base/text.h"

namespace defused {

namespace {

constexpr int kBacklog = 64;

struct Address {
  std::string host;
  std::string port;
};

using Resolved = std::unique_ptr<addrinfo, decltype(&freeaddrinfo)>;

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

// "[::1]:80"
std::string name_of(const sockaddr* address, socklen_t length) {
  std::array<char, NI_MAXHOST> host{};
  std::array<char, NI_MAXSERV> port{};
  if (getnameinfo(address, length, host.data(), host.size(), port.data(), port.size(),
                  NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
    return {};
  }
  const std::string name = address->sa_family == AF_INET6 ? "[" + std::string(host.data()) + "]" : host.data();
  return name + ":" + port.data();
}

std::string bound_address(int socket, const std::string& asked) {
  sockaddr_storage bound{};
  socklen_t length = sizeof bound;
  if (getsockname(socket, reinterpret_cast<sockaddr*>(&bound), &length) < 0) return asked;
  std::string name = name_of(reinterpret_cast<sockaddr*>(&bound), length);
  return name.empty() ? asked : name;
}

Result<Resolved> resolve(const std::string& host, const Address& address, const std::string& text) {
  addrinfo hints{};
  hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (const int error = getaddrinfo(host.c_str(), address.port.c_str(), &hints, &found); error != 0) {
    return fail(ErrorKind::malformed, "cannot listen on " + text + ": " + gai_strerror(error));
  }
  return Resolved(found, &freeaddrinfo);
}

// `both`: of IPv6 and IPv4, whatever the host's default is.
Result<UniqueFd> bind_socket(const addrinfo& found, bool both, const std::string& text) {
  UniqueFd socket(::socket(found.ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) return fail_errno(errno, "cannot listen on " + text);
  const int on = 1;
  const int off = 0;
  setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if ((both && setsockopt(socket.get(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off) < 0) ||
      bind(socket.get(), found.ai_addr, found.ai_addrlen) < 0 || listen(socket.get(), kBacklog) < 0) {
    return fail_errno(errno, "cannot listen on " + text);
  }
  return socket;
}

bool is_without_ipv6(const Error& error) { return error.code == EAFNOSUPPORT || error.code == EADDRNOTAVAIL; }

// "127.0.0.1:80" of "localhost:80"; ":80" means what it says.
std::string meaning_of(const std::string& text) {
  const auto address = split_address(text);
  if (!address || address->host.empty()) return text;
  const auto found = resolve(address->host, *address, text);
  return found ? name_of((*found)->ai_addr, (*found)->ai_addrlen) : text;
}

Result<Listener> open_listener(const std::string& text) {
  const auto address = split_address(text);
  if (!address) return Failure(address.error());
  const bool all = address->host.empty();
  auto found = resolve(all ? "::" : address->host, *address, text);
  if (!found) return Failure(found.error());
  auto socket = bind_socket(**found, all, text);
  if (all && !socket && is_without_ipv6(socket.error())) {
    found = resolve("0.0.0.0", *address, text);
    if (!found) return Failure(found.error());
    socket = bind_socket(**found, false, text);
  }
  if (!socket) return Failure(socket.error());
  std::string address_of_it = bound_address(socket->get(), text);
  return Listener{*std::move(socket), text, meaning_of(text), std::move(address_of_it)};
}

std::string_view port_of(std::string_view address) { return address.substr(address.rfind(':') + 1); }

// The listeners that are to be, put together from those that are. What was stopped goes on where that fails.
class Change {
 public:
  explicit Change(std::vector<Listener>& old) : old_(old), kept_(old.size(), false) {}

  Result<void> run(const std::vector<std::string>& addresses) {
    std::vector<std::size_t> places(addresses.size(), kNone);
    keep(addresses, places, [](const Listener& it, const std::string& address) { return it.asked == address; });
    keep(addresses, places,
         [](const Listener& it, const std::string& address) { return it.bound == meaning_of(address); });
    std::vector<std::optional<Listener>> opened(addresses.size());
    for (std::size_t i = 0; i < addresses.size(); ++i) {
      if (places[i] != kNone) continue;
      auto listener = open(addresses[i]);
      if (!listener) {
        opened.clear();
        return undo(listener.error());
      }
      opened[i] = *std::move(listener);
    }
    // At once, also where the front is behind with closing its own.
    for (std::size_t k = 0; k < old_.size(); ++k) {
      if (!kept_[k]) shutdown(old_[k].socket.get(), SHUT_RDWR);
    }
    std::vector<Listener> all;
    for (std::size_t i = 0; i < addresses.size(); ++i) {
      all.push_back(opened[i] ? *std::move(opened[i]) : std::move(old_[places[i]]));
      all.back().asked = addresses[i];
    }
    old_ = std::move(all);
    return {};
  }

 private:
  static constexpr std::size_t kNone = static_cast<std::size_t>(-1);

  template <typename IsSame>
  void keep(const std::vector<std::string>& addresses, std::vector<std::size_t>& places, IsSame is_same) {
    for (std::size_t i = 0; i < addresses.size(); ++i) {
      for (std::size_t k = 0; k < old_.size() && places[i] == kNone; ++k) {
        if (kept_[k] || !is_same(old_[k], addresses[i])) continue;
        kept_[k] = true;
        places[i] = k;
      }
    }
  }

  Result<Listener> open(const std::string& address) {
    auto listener = open_listener(address);
    if (listener || listener.error().code != EADDRINUSE || !stop_those_at(port_of(address))) return listener;
    return open_listener(address);
  }

  // Not closed: the front has them too. One that is shut down is in nobody's way, and can listen again - but not where
  // the kernel chose its port, which is given away then.
  bool stop_those_at(std::string_view port) {
    bool any = false;
    for (std::size_t k = 0; k < old_.size(); ++k) {
      if (kept_[k] || parse_u64(port_of(old_[k].bound)) != parse_u64(port)) continue;
      if (shutdown(old_[k].socket.get(), SHUT_RDWR) < 0) continue;
      stopped_.push_back(k);
      any = true;
    }
    return any;
  }

  Failure undo(Error error) {
    for (const std::size_t k : stopped_) {
      if (listen(old_[k].socket.get(), kBacklog) == 0) continue;
      error.message += "; and " + fail_errno(errno, old_[k].address + " is lost").value().message;
    }
    return Failure(std::move(error));
  }

  std::vector<Listener>& old_;
  std::vector<bool> kept_;
  std::vector<std::size_t> stopped_;
};

}  // namespace

std::string url_of(const Listener& listener, bool tls) {
  return (tls ? "https://" : "http://") + listener.address + "/";
}

Result<std::vector<Listener>> open_listeners(const std::vector<std::string>& addresses) {
  std::vector<Listener> listeners;
  for (const std::string& address : addresses) {
    auto listener = open_listener(address);
    if (!listener) return Failure(listener.error());
    listeners.push_back(*std::move(listener));
  }
  return listeners;
}

Result<void> change_listeners(std::vector<Listener>& listeners, const std::vector<std::string>& addresses) {
  return Change(listeners).run(addresses);
}

}  // namespace defused
