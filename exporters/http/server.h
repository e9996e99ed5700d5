// SPDX-License-Identifier: Apache-2.0
// HttpServer: libmicrohttpd without a thread of its own, driven by the front's poll loop. It accepts connections
// itself, so that a client that does not finish its header is cut off (the library's time-out sees inactivity only).
// Only GET and HEAD. Bounded: connections, memory of each, time of each state of each, bytes being sent. One thread,
// and one that computes password hashes.
#pragma once

#include <poll.h>

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "model/web_config.h"

namespace defused {

struct HttpRequest {
  std::string path;  ///< as the client wrote it, up to the query: nothing is decoded or made simpler
};

struct HttpResponse {
  int status = 200;
  std::string content_type = "text/plain; charset=utf-8";
  std::string body;
  /// For how long all who ask for the path may be given this same answer (forget_answers() ends it); a body of many MiB
  /// longer, so that rendering it does not keep the loop. 0: each its own.
  std::chrono::milliseconds keep_for{0};
};

struct HttpLimits {
  std::size_t max_connections = 256;                ///< beyond it one of the source that has the most gives way
  std::size_t memory_per_connection = 32'768;       ///< header and buffers, bytes
  std::size_t max_target = 2'048;                   ///< bytes of a request target; more: 414
  std::size_t max_header = 16'384;                  ///< bytes of a whole request header; more: 431
  std::size_t max_bytes_in_flight = 32U << 20U;     ///< bodies being sent, each counted once; more: 503
  std::chrono::milliseconds header_time{5'000};     ///< from accept to a whole request header, TLS handshake included
  std::chrono::milliseconds idle_time{130'000};     ///< from an answer to the next whole header: scrapes once a minute
  std::chrono::milliseconds answer_time{30'000};    ///< to take an answer
  std::chrono::milliseconds password_time{10'000};  ///< to wait for the verdict about a password; then 503
};

class HttpServer {
 public:
  using Handler = std::function<HttpResponse(const HttpRequest&)>;

  /// Starts the thread for passwords (credentials.h): before a sandbox that forbids threads. Serves plain HTTP to
  /// everybody until it is told otherwise. Errors: io.
  static Result<std::unique_ptr<HttpServer>> create(const HttpLimits& limits, Handler handler);
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  /// Serves over TLS or not, to whom, with which headers, from now on; where that is something else than before,
  /// clients are let go. Errors: malformed, io; then it serves as before.
  Result<void> set_web_config(const WebConfig& config, const TlsMaterial& material);

  /// What is served has changed: the next request for each page is answered anew.
  void forget_answers();

  /// Serves on these listening sockets instead of those before.
  void set_listeners(std::vector<UniqueFd> listeners);

  void add_polls(std::vector<pollfd>& polls) const;
  /// Accepts, reads, answers and cuts off whatever is due; never blocks.
  void turn();
  /// Until turn() is due even if nothing is ready.
  [[nodiscard]] std::chrono::milliseconds next_turn() const;

 private:
  class Impl;
  explicit HttpServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

/// Whether an Accept-Encoding header allows gzip (RFC 9110 12.5.3; q=0 forbids).
bool accepts_gzip(std::string_view accept_encoding);

/// `text` as a gzip stream.
Result<std::string> compress_gzip(const std::string& text);

}  // namespace defused
