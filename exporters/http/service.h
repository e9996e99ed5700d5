// SPDX-License-Identifier: Apache-2.0
// HttpService: one libmicrohttpd daemon with its TLS, its headers and its clients; HttpServer replaces it where one of
// the first two changes. Driven by its owner; no thread of its own.
#pragma once

#include <poll.h>

#include <memory>
#include <optional>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "exporters/http/answers.h"
#include "exporters/http/clients.h"
#include "exporters/http/credentials.h"
#include "exporters/http/response_headers.h"
#include "exporters/http/server.h"

namespace defused {

class HttpService {
 public:
  struct Parts {
    HttpLimits limits;
    Credentials* credentials = nullptr;
    Answers* answers = nullptr;
    HeaderList headers;
    std::optional<TlsSettings> tls;
  };

  /// `credentials` and `answers` outlive it. Errors: io.
  static Result<std::unique_ptr<HttpService>> start(Parts parts, const TlsMaterial& material);
  /// Lets all clients go.
  ~HttpService();
  HttpService(const HttpService&) = delete;
  HttpService& operator=(const HttpService&) = delete;

  /// `source`: whose the connection is, for fairness. One of the source that has the most gives way where there are
  /// too many.
  void add_client(UniqueFd socket, std::uint64_t source);
  /// One connection less, where that is possible.
  void make_room();
  void take(const std::vector<Credentials::Verdict>& verdicts);
  /// Reads, answers, cuts off. Never blocks.
  void turn();

  void add_polls(std::vector<pollfd>& polls) const;
  [[nodiscard]] std::chrono::milliseconds next_turn() const;

 private:
  class Impl;
  explicit HttpService(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace defused
