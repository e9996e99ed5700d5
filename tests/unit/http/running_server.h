// SPDX-License-Identifier: Apache-2.0
// A HttpServer in a thread of its own, driven as the front's loop drives it, and a client for it over real sockets.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "exporters/http/server.h"

namespace defused {

UniqueFd listen_on_loopback(std::uint16_t& port);

class RunningServer {
 public:
  /// Without a handler: "/" is short, "/large" is large, "/huge" does not fit a socket, "/kept" is kept for a second
  /// and says how often it was made; the rest is 404.
  explicit RunningServer(HttpLimits limits = {}, WebConfig config = {}, TlsMaterial material = {},
                         HttpServer::Handler handler = {});
  ~RunningServer();
  RunningServer(const RunningServer&) = delete;
  RunningServer& operator=(const RunningServer&) = delete;

  [[nodiscard]] std::uint16_t port() const { return port_; }
  /// In the thread of the server; waits for it.
  void run(const std::function<void(HttpServer&)>& what);
  Result<void> set_web_config(const WebConfig& config, const TlsMaterial& material);
  /// How often its loop has gone round.
  [[nodiscard]] std::uint64_t turns() const { return turns_; }

 private:
  HttpResponse answer(const HttpRequest& request);
  void loop();

  std::unique_ptr<HttpServer> server_;
  std::uint16_t port_ = 0;
  std::atomic<bool> stop_ = false;
  std::atomic<std::uint64_t> turns_ = 0;
  int made_ = 0;
  std::mutex mutex_;
  std::condition_variable done_;
  const std::function<void(HttpServer&)>* task_ = nullptr;
  std::thread thread_;
};

/// One plain connection, from that address. Reads give up after ten seconds.
class PlainClient {
 public:
  explicit PlainClient(std::uint16_t port, int receive_buffer = 0, const char* from = "127.0.0.1");
  [[nodiscard]] int socket() const { return socket_.get(); }
  /// Whether all went out.
  bool send(const std::string& text) const;
  /// Everything until the server closes.
  [[nodiscard]] std::string read_all() const;
  /// One response with its body, by its Content-Length; "" where the server closed first. `head`: it has no body.
  std::string read_response(bool head = false);
  /// Whether the server closes within the time; what comes meanwhile is dropped.
  [[nodiscard]] bool is_closed_within(std::chrono::milliseconds time) const;
  void reset();  ///< closes with a RST

 private:
  UniqueFd socket_;
  std::string rest_;
};

/// `request` on a connection of its own, and everything that comes back.
std::string exchange_plain(const RunningServer& server, const std::string& request);

/// "GET /" -> a whole request that closes the connection; `headers` with their line ends.
std::string request(const std::string& line, const std::string& headers = {});
/// The same that keeps it open.
std::string kept_request(const std::string& line, const std::string& headers = {});

bool starts(const std::string& text, const std::string& with);
int status_of(const std::string& response);
std::string header(const std::string& response, const std::string& name);
std::size_t count_headers(const std::string& response, const std::string& name);
std::string body(const std::string& response);
std::string gunzip(const std::string& data);
/// "Authorization: Basic ...\r\n".
std::string basic(const std::string& name, const std::string& password);

}  // namespace defused
