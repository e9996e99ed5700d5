// SPDX-License-Identifier: Apache-2.0
#include "exporters/http/service.h"

#include <microhttpd.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <string_view>
#include <utility>

#include "exporters/http/request_line.h"
#include "exporters/http/tls.h"

namespace defused {

namespace {

using State = HttpClient::State;

SteadyTime now() { return std::chrono::steady_clock::now(); }

struct FreeResponse {
  void operator()(MHD_Response* response) const { MHD_destroy_response(response); }
};
using ResponsePtr = std::unique_ptr<MHD_Response, FreeResponse>;

// Who is slower than this goes first where too much is being sent.
constexpr std::chrono::milliseconds kSlowReader{1'000};
// Of the kernel's memory for each client; by itself it would give one that does not read megabytes.
constexpr int kSendBuffer = 128 << 10;
constexpr std::chrono::milliseconds kLongestTurn{1'000};

void free_body(void* body) { delete static_cast<BodyInUse*>(body); }  // NOLINT(cppcoreguidelines-owning-memory)

const char* value_of(MHD_Connection* connection, const char* header) {
  return MHD_lookup_connection_value(connection, MHD_HEADER_KIND, header);
}

// A request that says that a body follows. The library has refused lengths that are no numbers.
bool announces_body(MHD_Connection* connection) {
  if (value_of(connection, "Transfer-Encoding") != nullptr) return true;
  const char* length = value_of(connection, "Content-Length");
  return length != nullptr && std::string_view(length).find_first_not_of('0') != std::string_view::npos;
}

std::size_t header_bytes(MHD_Connection* connection) {
  const MHD_ConnectionInfo* info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
  return info == nullptr ? 0 : info->header_size;
}

const char* sentence_of(int status) {
  switch (status) {
    case MHD_HTTP_BAD_REQUEST: return "the request is not well formed.\n";
    case MHD_HTTP_METHOD_NOT_ALLOWED: return "only GET and HEAD are served.\n";
    case MHD_HTTP_CONTENT_TOO_LARGE: return "no request here has a body.\n";
    case MHD_HTTP_URI_TOO_LONG: return "no address here is that long.\n";
    case MHD_HTTP_REQUEST_HEADER_FIELDS_TOO_LARGE: return "the request header is too large.\n";
    case MHD_HTTP_UNAUTHORIZED: return "a name and a password are needed.\n";
    default: return "too much is going on at once; come again in a moment.\n";
  }
}

}  // namespace

class HttpService::Impl {
 public:
  explicit Impl(Parts parts) : parts_(std::move(parts)), clients_(parts_.limits) {}
  ~Impl() {
    if (daemon_ == nullptr) return;
    // The library ends the program if it is stopped with a suspended connection.
    clients_.for_each([](HttpClient& client) {
      if (client.state == State::suspended || client.awaits_bytes) MHD_resume_connection(client.connection);
    });
    MHD_stop_daemon(daemon_);
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  bool start(const TlsMaterial& material) {
    std::vector<MHD_OptionItem> options;
    unsigned int flags = MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET | MHD_ALLOW_SUSPEND_RESUME;
    std::string priorities;
    if (parts_.tls) {
      flags |= MHD_USE_TLS;
      priorities = tls_priorities(parts_.tls->min_version, parts_.tls->max_version);
      const auto add = [&](MHD_OPTION option, const std::string& text) {
        // The library only reads them, during the start.
        options.push_back({option, 0, const_cast<char*>(text.c_str())});  // NOLINT(*-const-cast)
      };
      add(MHD_OPTION_HTTPS_MEM_CERT, material.certificate);
      add(MHD_OPTION_HTTPS_MEM_KEY, material.key);
      add(MHD_OPTION_HTTPS_PRIORITIES, priorities);
      if (verifies_clients(parts_.tls->client_auth)) add(MHD_OPTION_HTTPS_MEM_TRUST, material.client_ca);
    }
    options.push_back({MHD_OPTION_END, 0, nullptr});
    awaited_.reset(epoll_create1(EPOLL_CLOEXEC));
    if (!awaited_) return false;
    const HttpLimits& limits = parts_.limits;
    // The library's time-out sees inactivity only; ours comes first. One connection more than our own limit: we make
    // room ourselves before the library would refuse.
    const auto patience = std::chrono::ceil<std::chrono::seconds>(limits.idle_time + limits.answer_time).count();
    daemon_ = MHD_start_daemon(
        flags, 0, nullptr, nullptr, &Impl::on_request, this,                                            //
        MHD_OPTION_CONNECTION_LIMIT, static_cast<unsigned int>(limits.max_connections + 1),             //
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, limits.memory_per_connection,                               //
        MHD_OPTION_CONNECTION_TIMEOUT, static_cast<unsigned int>(std::max<std::int64_t>(1, patience)),  //
        MHD_OPTION_NOTIFY_CONNECTION, &Impl::on_connection, this, MHD_OPTION_NOTIFY_COMPLETED,          //
        &Impl::on_completed, this, MHD_OPTION_URI_LOG_CALLBACK, &Impl::on_target, this,                 //
        MHD_OPTION_UNESCAPE_CALLBACK, &Impl::keep_escaped, nullptr, MHD_OPTION_STRICT_FOR_CLIENT, 1,    //
        MHD_OPTION_ARRAY, options.data(), MHD_OPTION_END);
    if (daemon_ == nullptr) return false;
    const MHD_DaemonInfo* info = MHD_get_daemon_info(daemon_, MHD_DAEMON_INFO_EPOLL_FD);
    epoll_ = info == nullptr ? -1 : info->epoll_fd;
    return epoll_ >= 0;
  }

  void add_client(UniqueFd socket, std::uint64_t source) {
    if (clients_.size() >= parts_.limits.max_connections) make_room(source);
    setsockopt(socket.get(), SOL_SOCKET, SO_SNDBUF, &kSendBuffer, sizeof kSendBuffer);
    arriving_source_ = source;
    // The library closes the socket, also where it refuses it.
    MHD_add_connection(daemon_, socket.release(), nullptr, 0);
  }

  void make_room(std::optional<std::uint64_t> newcomer) {
    HttpClient* client = clients_.find_dispensable(newcomer);
    if (client == nullptr) return;
    cut(*client);
    MHD_run(daemon_);
  }

  void take(const std::vector<Credentials::Verdict>& verdicts) {
    for (const Credentials::Verdict& verdict : verdicts) {
      HttpClient* client = clients_.find_ticket(verdict.ticket);
      if (client != nullptr) resume(*client, verdict.answer);
    }
  }

  void turn() {
    take_bytes();
    clients_.for_each_late(now(), [this](HttpClient& client) {
      if (client.state == State::suspended)
        resume(client, Credentials::Answer::busy);
      else
        cut(client);
    });
    if (parts_.answers->is_short()) {
      if (HttpClient* slow = clients_.find_slowest_reader(now(), kSlowReader)) cut(*slow);
    }
    MHD_run(daemon_);
    clients_.for_each([this](HttpClient& client) {
      if (std::exchange(client.may_have_left, false) && has_left(client)) cut(client);
    });
    if (parts_.tls) clients_.for_each([this](HttpClient& client) { await_bytes(client); });
  }

  void add_polls(std::vector<pollfd>& polls) const {
    polls.push_back({epoll_, POLLIN, 0});
    polls.push_back({awaited_.get(), POLLIN, 0});
  }

  [[nodiscard]] std::chrono::milliseconds next_turn() const {
    std::chrono::milliseconds next = kLongestTurn;
    MHD_UNSIGNED_LONG_LONG library = 0;
    if (MHD_get_timeout(daemon_, &library) == MHD_YES) {
      const auto most = static_cast<MHD_UNSIGNED_LONG_LONG>(next.count());
      next = std::chrono::milliseconds(static_cast<std::int64_t>(std::min(library, most)));
    }
    return clients_.next(now(), next);
  }

 private:
  void cut(HttpClient& client) {
    if (client.awaits_bytes) stop_awaiting(client);
    client.cut = true;
    // What the kernel still holds for it is dropped, not sent on for as long as it likes to read.
    const linger at_once{1, 0};
    if (client.state == State::answering) setsockopt(client.socket, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    shutdown(client.socket, SHUT_RDWR);  // the library sees the end and closes it
  }

  // While a handshake is half read, the library takes the connection for ready and runs round and round. So it does not
  // see such a one before there is something to read.
  void await_bytes(HttpClient& client) {
    if (client.state != State::first_header || client.cut || client.awaits_bytes) return;
    char byte = 0;
    if (recv(client.socket, &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0 || errno != EAGAIN) return;
    if (client.tls == nullptr || holds_bytes(client.tls)) return;
    epoll_event event{};
    event.events = EPOLLIN | EPOLLRDHUP;
    event.data.ptr = &client;
    if (epoll_ctl(awaited_.get(), EPOLL_CTL_ADD, client.socket, &event) < 0) return;
    client.awaits_bytes = true;
    MHD_suspend_connection(client.connection);
  }

  void stop_awaiting(HttpClient& client) {
    epoll_ctl(awaited_.get(), EPOLL_CTL_DEL, client.socket, nullptr);
    client.awaits_bytes = false;
    MHD_resume_connection(client.connection);
  }

  void take_bytes() {
    std::array<epoll_event, 64> events{};
    const int count = epoll_wait(awaited_.get(), events.data(), static_cast<int>(events.size()), 0);
    for (int i = 0; i < count; ++i)
      stop_awaiting(*static_cast<HttpClient*>(events.at(static_cast<std::size_t>(i)).data.ptr));
  }

  // An end that came together with a request is no news to epoll any more once the answer is sent, and the library
  // would keep the connection for as long as an idle one.
  static bool has_left(const HttpClient& client) {
    char byte = 0;
    return recv(client.socket, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
  }

  void resume(HttpClient& client, Credentials::Answer answer) {
    if (answer == Credentials::Answer::busy)
      client.request.told_to_wait = true;
    else
      client.request.admitted = answer == Credentials::Answer::right;
    clients_.enter(client, State::answering, now());
    MHD_resume_connection(client.connection);
  }

  static HttpClient* client_of(MHD_Connection* connection) {
    const MHD_ConnectionInfo* info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info == nullptr ? nullptr : static_cast<HttpClient*>(info->socket_context);
  }

  static void on_connection(void* self, MHD_Connection* connection, void** context,
                            MHD_ConnectionNotificationCode code) {
    auto* service = static_cast<Impl*>(self);
    if (code == MHD_CONNECTION_NOTIFY_CLOSED) {
      service->clients_.remove(static_cast<HttpClient*>(*context));
      *context = nullptr;
      return;
    }
    const MHD_ConnectionInfo* socket = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    HttpClient& client = service->clients_.add(socket == nullptr ? -1 : socket->connect_fd, connection,
                                               service->arriving_source_, now());
    *context = &client;
    if (!service->parts_.tls) return;
    const MHD_ConnectionInfo* tls = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_GNUTLS_SESSION);
    if (tls == nullptr || tls->tls_session == nullptr) return service->cut(client);
    client.tls = static_cast<gnutls_session_int*>(tls->tls_session);
    demand_client_certificate(client.tls, *service->parts_.tls);
  }

  // Called when the request line is read, with the target as it came. What it returns is the context of the request.
  static void* on_target(void* /*self*/, const char* target, MHD_Connection* connection) {
    HttpClient* client = client_of(connection);
    if (client == nullptr) return nullptr;
    client->request = RequestState{};
    const std::string_view whole(target);
    client->request.target = whole.substr(0, std::min(whole.find('?'), whole.size()));
    client->request.target_bytes = whole.size();
    client->request.target_begin = target;
    return client;
  }

  // Paths are compared as they came: no second spelling of a page.
  static std::size_t keep_escaped(void* /*self*/, MHD_Connection* /*connection*/, char* text) {
    return std::strlen(text);
  }

  static void on_completed(void* self, MHD_Connection* connection, void** /*context*/,
                           MHD_RequestTerminationCode /*code*/) {
    HttpClient* client = client_of(connection);
    if (client == nullptr) return;
    client->answer_bytes = 0;
    client->may_have_left = true;
    client->request = RequestState{};
    static_cast<Impl*>(self)->clients_.enter(*client, State::idle, now());
  }

  // Called first when the header is complete, again for the answer, and again after each suspension.
  static MHD_Result on_request(void* self, MHD_Connection* connection, const char* /*url*/, const char* method,
                               const char* version, const char* /*upload*/, std::size_t* upload_size,
                               void** /*context*/) {
    auto* service = static_cast<Impl*>(self);
    HttpClient* client = client_of(connection);
    if (client == nullptr) return MHD_NO;
    *upload_size = 0;
    if (!client->request.seen) {
      client->request.seen = true;
      service->clients_.enter(*client, State::answering, now());
      client->request.refusal = service->judge(*client, method, version);
      // The library wants the answer in the second call, unless the request is to be refused at once.
      if (client->request.refusal == 0) return MHD_YES;
    }
    return service->answer(*client);
  }

  // The status to refuse the request with, or 0.
  [[nodiscard]] int judge(const HttpClient& client, std::string_view method, const char* version) const {
    const RequestState& request = client.request;
    if (request.target_bytes > parts_.limits.max_target) return MHD_HTTP_URI_TOO_LONG;
    const std::size_t bytes = header_bytes(client.connection);
    if (bytes > parts_.limits.max_header) return MHD_HTTP_REQUEST_HEADER_FIELDS_TOO_LARGE;
    if (request.target_begin == nullptr) return MHD_HTTP_BAD_REQUEST;
    if (hides_bytes(request.target_begin, request.target_bytes, version, bytes)) return MHD_HTTP_BAD_REQUEST;
    if (method != "GET" && method != "HEAD") return MHD_HTTP_METHOD_NOT_ALLOWED;
    if (announces_body(client.connection)) return MHD_HTTP_CONTENT_TOO_LARGE;
    return 0;
  }

  MHD_Result answer(HttpClient& client) {
    switch (authenticate(client)) {
      case Credentials::Answer::pending:
        clients_.enter(client, State::suspended, now());
        MHD_suspend_connection(client.connection);
        return MHD_YES;
      case Credentials::Answer::wrong: return refuse(client, MHD_HTTP_UNAUTHORIZED);
      case Credentials::Answer::busy: return refuse(client, MHD_HTTP_SERVICE_UNAVAILABLE);
      case Credentials::Answer::right: break;
    }
    if (client.request.refusal != 0) return refuse(client, client.request.refusal);
    const char* accepted = value_of(client.connection, "Accept-Encoding");
    const bool gzip = accepted != nullptr && accepts_gzip(accepted);
    Answer answer = parts_.answers->answer(HttpRequest{client.request.target}, gzip, now());
    if (!answer.body) return refuse(client, MHD_HTTP_SERVICE_UNAVAILABLE);
    return send(client, std::move(answer));
  }

  Credentials::Answer authenticate(HttpClient& client) {
    if (client.request.admitted) {
      return *client.request.admitted ? Credentials::Answer::right : Credentials::Answer::wrong;
    }
    if (client.request.told_to_wait) return Credentials::Answer::busy;
    if (!parts_.credentials->required()) return Credentials::Answer::right;
    const char* authorization = value_of(client.connection, "Authorization");
    client.ticket = ++last_ticket_;
    const auto answer =
        parts_.credentials->ask(authorization == nullptr ? "" : authorization, client.ticket, client.source);
    if (answer == Credentials::Answer::right) client.request.admitted = true;
    return answer;
  }

  MHD_Result refuse(HttpClient& client, int status) {
    return send(client, parts_.answers->say(status, sentence_of(status)));
  }

  MHD_Result send(HttpClient& client, Answer answer) {
    BodyInUse* body = answer.body.release();  // from here on the library's
    const std::string& bytes = body->bytes();
    const ResponsePtr response(MHD_create_response_from_buffer_with_free_callback_cls(
        bytes.size(), const_cast<char*>(bytes.data()), &free_body, body));  // NOLINT(*-const-cast): only read
    if (!response) {
      free_body(body);
      return MHD_NO;
    }
    const auto add = [&](const char* name, const char* value) { MHD_add_response_header(response.get(), name, value); };
    add("Content-Type", answer.content_type.c_str());
    for (const auto& [name, value] : parts_.headers) add(name.c_str(), value.c_str());
    add("Vary", "Accept-Encoding");
    if (answer.compressed) add("Content-Encoding", "gzip");
    if (answer.status == MHD_HTTP_METHOD_NOT_ALLOWED) add("Allow", "GET, HEAD");
    if (answer.status == MHD_HTTP_UNAUTHORIZED) add("WWW-Authenticate", R"(Basic realm="defused", charset="UTF-8")");
    if (answer.status == MHD_HTTP_SERVICE_UNAVAILABLE) add("Retry-After", "1");
    if (client.request.refusal != 0) add("Connection", "close");
    client.answer_bytes = bytes.size();
    return MHD_queue_response(client.connection, static_cast<unsigned int>(answer.status), response.get());
  }

  Parts parts_;
  HttpClients clients_;
  MHD_Daemon* daemon_ = nullptr;
  int epoll_ = -1;
  UniqueFd awaited_;  ///< an epoll of clients that the library does not see for now
  std::uint64_t arriving_source_ = 0;
  std::uint64_t last_ticket_ = 0;
};

HttpService::HttpService(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
HttpService::~HttpService() = default;

Result<std::unique_ptr<HttpService>> HttpService::start(Parts parts, const TlsMaterial& material) {
  auto impl = std::make_unique<Impl>(std::move(parts));
  if (!impl->start(material)) return fail(ErrorKind::io, "the HTTP server cannot be started");
  return std::unique_ptr<HttpService>(new HttpService(std::move(impl)));
}

void HttpService::add_client(UniqueFd socket, std::uint64_t source) { impl_->add_client(std::move(socket), source); }
void HttpService::make_room() { impl_->make_room(std::nullopt); }
void HttpService::take(const std::vector<Credentials::Verdict>& verdicts) { impl_->take(verdicts); }
void HttpService::turn() { impl_->turn(); }
void HttpService::add_polls(std::vector<pollfd>& polls) const { impl_->add_polls(polls); }
std::chrono::milliseconds HttpService::next_turn() const { return impl_->next_turn(); }

}  // namespace defused
