// SPDX-License-Identifier: Apache-2.0
// Answers: what the handler says, kept for as long as it says, so that many clients cost one rendering and share one
// body, plain and compressed; and how many bytes of bodies are being sent. One thread. Knows no library.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <string>

#include "exporters/http/clients.h"
#include "exporters/http/server.h"

namespace defused {

/// Bytes that are sent to one or more clients; counted in a total while somebody is sent them.
class SharedBody {
 public:
  explicit SharedBody(std::string bytes) : bytes_(std::move(bytes)) {}
  [[nodiscard]] const std::string& bytes() const { return bytes_; }
  [[nodiscard]] bool in_use() const { return users_ > 0; }

 private:
  friend class BodyInUse;
  std::string bytes_;
  std::size_t users_ = 0;
};

/// Holds a body for one client. `total` must outlive it.
class BodyInUse {
 public:
  BodyInUse(std::shared_ptr<SharedBody> body, std::size_t& total);
  ~BodyInUse();
  BodyInUse(const BodyInUse&) = delete;
  BodyInUse& operator=(const BodyInUse&) = delete;
  [[nodiscard]] const std::string& bytes() const { return body_->bytes(); }

 private:
  std::shared_ptr<SharedBody> body_;
  std::size_t& total_;
};

struct Answer {
  int status = 200;
  std::string content_type;
  bool compressed = false;
  std::unique_ptr<BodyInUse> body;  ///< null: too many bytes are being sent already
};

class Answers {
 public:
  Answers(std::size_t max_bytes_in_flight, HttpServer::Handler handler)
      : max_bytes_(max_bytes_in_flight), handler_(std::move(handler)) {}

  /// `gzip`: the client takes it compressed.
  Answer answer(const HttpRequest& request, bool gzip, SteadyTime now);
  /// A sentence of our own, always.
  Answer say(int status, const std::string& sentence);

  /// Drops what was kept; the next request is rendered again.
  void forget() { kept_.clear(); }
  /// Drops what is too old to be used.
  void forget_old(SteadyTime now);
  [[nodiscard]] std::size_t bytes_in_flight() const { return in_flight_; }
  /// More than half of what may be sent at once is: slow readers should go.
  [[nodiscard]] bool is_short() const { return in_flight_ > max_bytes_ / 2; }

 private:
  struct Kept {
    int status = 200;
    std::string content_type;
    std::shared_ptr<SharedBody> plain;
    std::shared_ptr<SharedBody> compressed;  ///< null: not asked for yet, or not worth it
    SteadyTime until;
  };

  Kept render(const HttpRequest& request, SteadyTime now);
  Answer use(Kept& kept, bool gzip);

  std::size_t max_bytes_;
  HttpServer::Handler handler_;
  std::map<std::string, Kept> kept_;  ///< by path; as many as the handler has pages that it lets us keep
  std::size_t in_flight_ = 0;
};

}  // namespace defused
