// SPDX-License-Identifier: Apache-2.0
// HttpServer: libmicrohttpd without a thread of its own, driven by the front's poll loop. It accepts connections
// itself, so that a client that does not finish its header is cut off (the library's time-out sees inactivity only).
// Only GET and HEAD. Bounded: connections, memory of each, time of each. One thread.
#pragma once

#include <poll.h>

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace defused {

struct HttpRequest {
  std::string path;
};

struct HttpResponse {
  int status = 200;
  std::string content_type = "text/plain; charset=utf-8";
  std::string body;
};

struct HttpLimits {
  std::size_t max_connections = 256;            ///< the oldest idle one gives way to a new one
  std::size_t memory_per_connection = 32'768;   ///< header and buffers, bytes
  std::chrono::milliseconds header_time{5000};  ///< from accept to a whole request header
  std::chrono::milliseconds idle_time{15000};   ///< of a kept-alive connection
};

class HttpServer {
 public:
  using Handler = std::function<HttpResponse(const HttpRequest&)>;

  /// Errors: io.
  static Result<std::unique_ptr<HttpServer>> create(const HttpLimits& limits, Handler handler);
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

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
