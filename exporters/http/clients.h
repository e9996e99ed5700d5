// SPDX-License-Identifier: Apache-2.0
// HttpClients: who is connected, in what state and until when, and who goes first where there is no room. Knows no
// library and does no I/O; time comes as a value.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "exporters/http/server.h"

struct MHD_Connection;
struct gnutls_session_int;

namespace defused {

using SteadyTime = std::chrono::steady_clock::time_point;

/// Of the request at hand; a kept-alive connection gets a new one each time.
struct RequestState {
  std::string target;                  ///< as it came, without the query
  bool seen = false;                   ///< the header is complete
  std::size_t target_bytes = 0;        ///< with the query
  const char* target_begin = nullptr;  ///< in the library's buffer, to compare with where the version begins
  int refusal = 0;                     ///< the status to refuse it with, once it is clear who asks; 0: none
  std::optional<bool> admitted;        ///< by the verdict; nothing: not asked yet
  bool told_to_wait = false;           ///< no verdict could be had: busy
};

struct HttpClient {
  enum class State : std::uint8_t {
    first_header,  ///< accepted; no whole header has come yet
    idle,          ///< answered at least once, waiting for the next header
    answering,     ///< the header is there, the answer is not sent yet
    suspended      ///< waiting for the verdict about its password
  };
  State state = State::first_header;
  SteadyTime since;            ///< when the state began
  SteadyTime deadline;         ///< when the client is cut off, or its wait for the verdict is given up
  bool cut = false;            ///< its socket is shut down, the library will notice
  bool may_have_left = false;  ///< an answer has been sent; whether anybody is still there is to be looked at once
  int socket = -1;
  std::uint64_t source = 0;  ///< its address
  std::uint64_t ticket = 0;  ///< of the question about its password, while suspended
  MHD_Connection* connection = nullptr;
  gnutls_session_int* tls = nullptr;  ///< null: plain HTTP
  bool awaits_bytes = false;          ///< kept from the library until something can be read
  std::size_t answer_bytes = 0;       ///< of the body being sent
  RequestState request;
};

class HttpClients {
 public:
  explicit HttpClients(const HttpLimits& limits) : limits_(limits) {}

  HttpClient& add(int socket, MHD_Connection* connection, std::uint64_t source, SteadyTime now);
  void remove(HttpClient* client);
  [[nodiscard]] std::size_t size() const { return clients_.size(); }

  /// Sets since and deadline too.
  void enter(HttpClient& client, HttpClient::State state, SteadyTime now) const;

  /// Whose time is over, each once; those that wait for a verdict too.
  void for_each_late(SteadyTime now, const std::function<void(HttpClient&)>& act);
  void for_each(const std::function<void(HttpClient&)>& act);
  /// Until the first deadline, at most `most`.
  [[nodiscard]] std::chrono::milliseconds next(SteadyTime now, std::chrono::milliseconds most) const;

  /// Who gives way to a newcomer from that source, which counts as one of its connections: one of the source that has
  /// the most, so that no source keeps another one out. Of these the oldest that never finished a header, else the one
  /// idle for longest, else the one answered for longest. Null: only those that wait for a verdict are left.
  HttpClient* find_dispensable(std::optional<std::uint64_t> newcomer);
  /// Who has been sent a body for longest and for at least `least`; null: nobody.
  HttpClient* find_slowest_reader(SteadyTime now, std::chrono::milliseconds least);
  HttpClient* find_ticket(std::uint64_t ticket);

 private:
  HttpLimits limits_;
  std::map<std::uint64_t, HttpClient> clients_;  ///< in the order they came
  std::uint64_t last_ = 0;
};

}  // namespace defused
