// SPDX-License-Identifier: Apache-2.0
#include "exporters/http/server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "exporters/http/answers.h"
#include "exporters/http/credentials.h"
#include "exporters/http/response_headers.h"
#include "exporters/http/service.h"
#include "exporters/http/tls.h"

namespace defused {

namespace {

// Of one listener in one turn, so that a flood of connections cannot keep the loop.
constexpr int kMostAccepted = 64;
// Without a descriptor left a listener would wake the loop again and again.
constexpr std::chrono::milliseconds kAcceptPause{100};

// Who counts as one: an IPv4 address, or what one customer gets of IPv6, 64 bits.
std::uint64_t source_of(const sockaddr_storage& address) {
  std::uint64_t source = 0;
  if (address.ss_family == AF_INET) {
    source = reinterpret_cast<const sockaddr_in&>(address).sin_addr.s_addr;
  } else if (address.ss_family == AF_INET6) {
    const in6_addr& ip = reinterpret_cast<const sockaddr_in6&>(address).sin6_addr;
    if (IN6_IS_ADDR_V4MAPPED(&ip)) return ip.s6_addr32[3];
    std::memcpy(&source, ip.s6_addr, sizeof source);
  }
  return source;
}

bool is_exhausted(int error) { return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM; }

}  // namespace

class HttpServer::Impl {
 public:
  Impl(const HttpLimits& limits, Handler handler, std::unique_ptr<Credentials> credentials)
      : limits_(limits),
        credentials_(std::move(credentials)),
        answers_(limits.max_bytes_in_flight, std::move(handler)) {}

  Result<void> set_web_config(const WebConfig& config, const TlsMaterial& material) {
    if (service_ && config == config_ && material == material_) return {};
    if (config.tls) {
      if (auto checked = check_tls(*config.tls, material); !checked) return checked;
    }
    auto headers = make_response_headers(config.headers);
    if (!headers) return Failure(headers.error());
    HttpService::Parts parts{limits_, credentials_.get(), &answers_, *std::move(headers), config.tls};
    auto service = HttpService::start(std::move(parts), material);
    if (!service) return Failure(service.error());
    credentials_->set_users(config.users);
    credentials_->take_verdicts();  // of clients that go now
    service_ = *std::move(service);
    config_ = config;
    material_ = material;
    return {};
  }

  void forget_answers() { answers_.forget(); }
  void set_listeners(std::vector<UniqueFd> listeners) { listeners_ = std::move(listeners); }

  void add_polls(std::vector<pollfd>& polls) const {
    service_->add_polls(polls);
    polls.push_back({credentials_->descriptor(), POLLIN, 0});
    if (std::chrono::steady_clock::now() < accept_again_) return;
    for (const UniqueFd& listener : listeners_) polls.push_back({listener.get(), POLLIN, 0});
  }

  void turn() {
    const SteadyTime now = std::chrono::steady_clock::now();
    if (now >= accept_again_) {
      for (const UniqueFd& listener : listeners_) accept_all(listener.get());
    }
    service_->take(credentials_->take_verdicts());
    service_->turn();
    answers_.forget_old(now);
  }

  [[nodiscard]] std::chrono::milliseconds next_turn() const {
    const auto next = service_->next_turn();
    const auto pause = std::chrono::ceil<std::chrono::milliseconds>(accept_again_ - std::chrono::steady_clock::now());
    return pause.count() > 0 ? std::min(next, pause) : next;
  }

 private:
  void accept_all(int listener) {
    for (int accepted = 0; accepted < kMostAccepted; ++accepted) {
      sockaddr_storage address{};
      socklen_t length = sizeof address;
      UniqueFd socket(accept4(listener, reinterpret_cast<sockaddr*>(&address), &length, SOCK_NONBLOCK | SOCK_CLOEXEC));
      if (!socket) {
        if (!is_exhausted(errno)) return;
        // The kernel says so even where nobody is waiting.
        pollfd waiting{listener, POLLIN, 0};
        if (poll(&waiting, 1, 0) <= 0) return;
        service_->make_room();
        accept_again_ = std::chrono::steady_clock::now() + kAcceptPause;
        return;
      }
      service_->add_client(std::move(socket), source_of(address));
    }
  }

  HttpLimits limits_;
  std::unique_ptr<Credentials> credentials_;
  Answers answers_;
  std::unique_ptr<HttpService> service_;  ///< before what it uses
  WebConfig config_;
  TlsMaterial material_;
  std::vector<UniqueFd> listeners_;
  SteadyTime accept_again_;
};

HttpServer::HttpServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
HttpServer::~HttpServer() = default;

Result<std::unique_ptr<HttpServer>> HttpServer::create(const HttpLimits& limits, Handler handler) {
  auto credentials = Credentials::create();
  if (!credentials) return Failure(credentials.error());
  auto impl = std::make_unique<Impl>(limits, std::move(handler), *std::move(credentials));
  if (auto started = impl->set_web_config({}, {}); !started) return Failure(started.error());
  return std::unique_ptr<HttpServer>(new HttpServer(std::move(impl)));
}

Result<void> HttpServer::set_web_config(const WebConfig& config, const TlsMaterial& material) {
  return impl_->set_web_config(config, material);
}
void HttpServer::forget_answers() { impl_->forget_answers(); }
void HttpServer::set_listeners(std::vector<UniqueFd> listeners) { impl_->set_listeners(std::move(listeners)); }
void HttpServer::add_polls(std::vector<pollfd>& polls) const { impl_->add_polls(polls); }
void HttpServer::turn() { impl_->turn(); }
std::chrono::milliseconds HttpServer::next_turn() const { return impl_->next_turn(); }

}  // namespace defused
