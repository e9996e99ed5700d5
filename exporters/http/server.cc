// SPDX-License-Identifier: Apache-2.0
#include "exporters/http/server.h"

#include <microhttpd.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <string_view>

namespace defused {

namespace {

using SteadyTime = std::chrono::steady_clock::time_point;

SteadyTime now() { return std::chrono::steady_clock::now(); }

struct FreeResponse {
  void operator()(MHD_Response* response) const { MHD_destroy_response(response); }
};
using ResponsePtr = std::unique_ptr<MHD_Response, FreeResponse>;

constexpr std::size_t kSmallestCompressed = 512;

}  // namespace

class HttpServer::Impl {
 public:
  Impl(const HttpLimits& limits, Handler handler) : limits_(limits), handler_(std::move(handler)) {}
  ~Impl() {
    if (daemon_ != nullptr) MHD_stop_daemon(daemon_);
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  bool start() {
    // One more than our own limit: we make room ourselves before the library would refuse.
    daemon_ = MHD_start_daemon(MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET, 0, nullptr, nullptr, &Impl::answer, this,
                               MHD_OPTION_CONNECTION_LIMIT, static_cast<unsigned int>(limits_.max_connections + 1),
                               MHD_OPTION_CONNECTION_MEMORY_LIMIT, limits_.memory_per_connection,
                               MHD_OPTION_CONNECTION_TIMEOUT,
                               static_cast<unsigned int>(std::max<std::int64_t>(
                                   1, std::chrono::ceil<std::chrono::seconds>(limits_.idle_time).count())),
                               MHD_OPTION_NOTIFY_CONNECTION, &Impl::notice, this, MHD_OPTION_NOTIFY_COMPLETED,
                               &Impl::complete, this, MHD_OPTION_END);
    if (daemon_ == nullptr) return false;
    const MHD_DaemonInfo* info = MHD_get_daemon_info(daemon_, MHD_DAEMON_INFO_EPOLL_FD);
    epoll_ = info == nullptr ? -1 : info->epoll_fd;
    return epoll_ >= 0;
  }

  void set_listeners(std::vector<UniqueFd> listeners) { listeners_ = std::move(listeners); }

  void add_polls(std::vector<pollfd>& polls) const {
    polls.push_back({epoll_, POLLIN, 0});
    for (const UniqueFd& listener : listeners_) polls.push_back({listener.get(), POLLIN, 0});
  }

  void turn() {
    for (const UniqueFd& listener : listeners_) accept_all(listener.get());
    MHD_run(daemon_);
    cut_off_late();
  }

  [[nodiscard]] std::chrono::milliseconds next_turn() const {
    std::chrono::milliseconds next{1000};
    MHD_UNSIGNED_LONG_LONG library = 0;
    if (MHD_get_timeout(daemon_, &library) == MHD_YES) {
      next = std::min(next, std::chrono::milliseconds(static_cast<std::int64_t>(std::min(library, 1000ULL))));
    }
    for (const auto& [socket, client] : clients_) {
      if (!client.waiting_for_header) continue;
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(client.since + limits_.header_time - now());
      next = std::clamp(left, std::chrono::milliseconds(0), next);
    }
    return next;
  }

 private:
  struct Client {
    SteadyTime since;                ///< accepted, or its last answer was sent
    bool waiting_for_header = true;  ///< of the first request; later ones are bounded by the idle time
  };

  void accept_all(int listener) {
    // Bounded, so that a flood of connections cannot keep the loop here.
    for (int accepted = 0; accepted < 64; ++accepted) {
      UniqueFd socket(accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
      if (!socket) return;
      if (clients_.size() >= limits_.max_connections) make_room();
      // The library closes the socket, also where it refuses it.
      MHD_add_connection(daemon_, socket.release(), nullptr, 0);
    }
  }

  // The client that has kept us waiting longest goes: one that never finished its header before one that is merely
  // idle.
  void make_room() {
    const auto worst = std::min_element(clients_.begin(), clients_.end(), [](const auto& a, const auto& b) {
      if (a.second.waiting_for_header != b.second.waiting_for_header) return a.second.waiting_for_header;
      return a.second.since < b.second.since;
    });
    if (worst == clients_.end()) return;
    shutdown(worst->first, SHUT_RDWR);
    MHD_run(daemon_);
  }

  void cut_off_late() {
    for (auto& [socket, client] : clients_) {
      if (!client.waiting_for_header || now() - client.since < limits_.header_time) continue;
      shutdown(socket, SHUT_RDWR);
      client.since = now();  // once is enough; the library sees the end and closes it
    }
  }

  static int socket_of(MHD_Connection* connection) {
    const MHD_ConnectionInfo* info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    return info == nullptr ? -1 : info->connect_fd;
  }

  static void notice(void* self, MHD_Connection* connection, void** /*context*/, MHD_ConnectionNotificationCode code) {
    auto* server = static_cast<Impl*>(self);
    const int socket = socket_of(connection);
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
      server->clients_[socket] = Client{now(), true};
    } else {
      server->clients_.erase(socket);
    }
  }

  static void complete(void* self, MHD_Connection* connection, void** /*context*/,
                       MHD_RequestTerminationCode /*code*/) {
    auto* server = static_cast<Impl*>(self);
    const auto client = server->clients_.find(socket_of(connection));
    if (client != server->clients_.end()) client->second.since = now();
  }

  // Called first when the header is complete; no other call is needed, since a request with a body is refused.
  static MHD_Result answer(void* self, MHD_Connection* connection, const char* url, const char* method,
                           const char* /*version*/, const char* /*upload*/, std::size_t* upload_size, void** context) {
    auto* server = static_cast<Impl*>(self);
    const auto client = server->clients_.find(socket_of(connection));
    if (client != server->clients_.end()) client->second.waiting_for_header = false;
    // The library wants the answer in the second call, unless the request is to be refused at once.
    static const int kSeen = 0;
    const bool allowed = std::string_view(method) == "GET" || std::string_view(method) == "HEAD";
    if (!allowed) return server->refuse(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "only GET and HEAD\n");
    if (*context == nullptr) {
      *context = const_cast<int*>(&kSeen);  // NOLINT(cppcoreguidelines-pro-type-const-cast): only compared
      return MHD_YES;
    }
    if (*upload_size > 0) {
      *upload_size = 0;
      return server->refuse(connection, MHD_HTTP_CONTENT_TOO_LARGE, "no request here has a body\n");
    }
    return server->send(connection, server->handler_(HttpRequest{url}));
  }

  MHD_Result refuse(MHD_Connection* connection, unsigned int status, const char* sentence) const {
    const ResponsePtr response(MHD_create_response_from_buffer(std::char_traits<char>::length(sentence),
                                                               const_cast<char*>(sentence), MHD_RESPMEM_PERSISTENT));
    if (!response) return MHD_NO;
    add_headers(response.get(), "text/plain; charset=utf-8");
    if (status == MHD_HTTP_METHOD_NOT_ALLOWED) MHD_add_response_header(response.get(), "Allow", "GET, HEAD");
    MHD_add_response_header(response.get(), "Connection", "close");
    return MHD_queue_response(connection, status, response.get());
  }

  MHD_Result send(MHD_Connection* connection, HttpResponse answer) const {
    const char* accepted = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Accept-Encoding");
    bool compressed = false;
    if (accepted != nullptr && answer.body.size() >= kSmallestCompressed && accepts_gzip(accepted)) {
      if (auto body = compress_gzip(answer.body)) {
        answer.body = *std::move(body);
        compressed = true;
      }
    }
    const ResponsePtr response(
        MHD_create_response_from_buffer(answer.body.size(), answer.body.data(), MHD_RESPMEM_MUST_COPY));
    if (!response) return MHD_NO;
    add_headers(response.get(), answer.content_type.c_str());
    MHD_add_response_header(response.get(), "Vary", "Accept-Encoding");
    if (compressed) MHD_add_response_header(response.get(), "Content-Encoding", "gzip");
    return MHD_queue_response(connection, static_cast<unsigned int>(answer.status), response.get());
  }

  static void add_headers(MHD_Response* response, const char* content_type) {
    MHD_add_response_header(response, "Content-Type", content_type);
    MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    MHD_add_response_header(response, "Content-Security-Policy",
                            "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'");
    MHD_add_response_header(response, "Referrer-Policy", "no-referrer");
    MHD_add_response_header(response, "Cache-Control", "no-store");
  }

  HttpLimits limits_;
  Handler handler_;
  MHD_Daemon* daemon_ = nullptr;
  int epoll_ = -1;
  std::vector<UniqueFd> listeners_;
  std::map<int, Client> clients_;  ///< by socket
};

HttpServer::HttpServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
HttpServer::~HttpServer() = default;

Result<std::unique_ptr<HttpServer>> HttpServer::create(const HttpLimits& limits, Handler handler) {
  auto impl = std::make_unique<Impl>(limits, std::move(handler));
  if (!impl->start()) return fail(ErrorKind::io, "the HTTP server cannot be started");
  return std::unique_ptr<HttpServer>(new HttpServer(std::move(impl)));
}

void HttpServer::set_listeners(std::vector<UniqueFd> listeners) { impl_->set_listeners(std::move(listeners)); }
void HttpServer::add_polls(std::vector<pollfd>& polls) const { impl_->add_polls(polls); }
void HttpServer::turn() { impl_->turn(); }
std::chrono::milliseconds HttpServer::next_turn() const { return impl_->next_turn(); }

}  // namespace defused
