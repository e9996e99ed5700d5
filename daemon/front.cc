// SPDX-License-Identifier: Apache-2.0
#include "daemon/front.h"

#include <poll.h>

#include <algorithm>
#include <memory>
#include <optional>

#include "daemon/channel.h"
#include "daemon/exit_codes.h"
#include "daemon/front_sandbox.h"
#include "daemon/log.h"
#include "daemon/process_usage.h"
#include "exporters/http/pages.h"
#include "exporters/http/server.h"
#include "exporters/prometheus/metrics.h"
#include "model/codec.h"

namespace defused {

namespace {

constexpr Nanoseconds kSignOfLife = std::chrono::seconds(1);

class Front {
 public:
  Front(UniqueFd channel, Settings settings, Logger& log)
      : channel_(std::move(channel)), settings_(std::move(settings)), log_(log) {}

  Result<void> start() {
    const FrontAccount account = find_front_account(settings_.front_user);
    if (auto entered = enter_sandbox(account); !entered) return entered;
    if (!account.named) {
      log_.info("there is no account '" + settings_.front_user + "'; uid " + std::to_string(account.uid) + " is used");
    }
    auto server = HttpServer::create(HttpLimits{}, [this](const HttpRequest& request) { return answer(request); });
    if (!server) return Failure(server.error());
    server_ = *std::move(server);
    return {};
  }

  int run() {
    while (true) {
      const Instant now = clock_.now();
      if (now.boottime >= next_sign_) {
        next_sign_ = now.boottime + kSignOfLife;
        Message message;
        message.type = MessageType::alive;
        const auto sent = send_message(channel_.get(), message);
        if (!sent && sent.error().kind == ErrorKind::gone) return kExitOk;
      }
      std::vector<pollfd> polls = {{channel_.get(), POLLIN, 0}};
      server_->add_polls(polls);
      const auto until_sign = std::chrono::ceil<std::chrono::milliseconds>(next_sign_ - now.boottime);
      poll(polls.data(), polls.size(), static_cast<int>(std::min(until_sign, server_->next_turn()).count()));
      if (polls[0].revents != 0 && !take_messages()) return kExitOk;
      server_->turn();
    }
  }

 private:
  bool take_messages() {
    std::optional<UniqueFd> report;
    while (true) {
      auto received = receive_message(channel_.get(), false);
      if (!received) return false;
      if (!*received) break;
      switch ((*received)->message.type) {
        case MessageType::stop: return false;
        case MessageType::settings: take_settings((*received)->descriptor.get()); break;
        case MessageType::listener: take_listener(**received); break;
        case MessageType::view:
          supervisor_ = (*received)->message.status;
          report = std::move((*received)->descriptor);
          break;
        default: break;
      }
    }
    if (report && report->valid()) take_report(report->get());
    return true;
  }

  void take_settings(int descriptor) {
    const auto bytes = read_memfd(descriptor);
    auto settings = bytes ? decode_settings(*bytes) : Result<Settings>(Failure(bytes.error()));
    if (settings)
      settings_ = *std::move(settings);
    else
      log_.error("settings: " + settings.error().message);
  }

  // They come one by one; the last of `count` puts them all into service.
  void take_listener(Received& received) {
    arriving_.push_back(std::move(received.descriptor));
    if (arriving_.size() < received.message.count) return;
    server_->set_listeners(std::move(arriving_));
    arriving_.clear();
  }

  // Each status comes with the last report again: decoded only when it is another one.
  void take_report(int descriptor) {
    const std::uint64_t identity = identify_memfd(descriptor);
    if (pass_ && identity != 0 && identity == report_identity_) return;
    const auto bytes = read_memfd(descriptor);
    auto pass = bytes ? decode_pass(*bytes) : Result<PassResult>(Failure(bytes.error()));
    if (!pass) return log_.error("report: " + pass.error().message);
    pass_ = std::make_shared<const PassResult>(*std::move(pass));
    report_identity_ = identity;
  }

  HttpResponse answer(const HttpRequest& request) {
    const View view{pass_, supervisor_, usage_.read(), settings_, clock_.now()};
    return respond(request, view, [&] { return metrics_.render(view); });
  }

  UniqueFd channel_;
  Settings settings_;
  Logger& log_;
  SystemClock clock_;
  UsageReader usage_;
  std::unique_ptr<HttpServer> server_;
  MetricsRenderer metrics_;
  std::vector<UniqueFd> arriving_;
  std::shared_ptr<const PassResult> pass_;
  std::uint64_t report_identity_ = 0;
  SupervisorStatus supervisor_;
  Nanoseconds next_sign_{0};
};

// The first message says which account and which log.
std::optional<Settings> receive_settings(int channel) {
  auto received = receive_message(channel, true);
  if (!received || !*received || (*received)->message.type != MessageType::settings) return std::nullopt;
  const auto bytes = read_memfd((*received)->descriptor.get());
  auto settings = bytes ? decode_settings(*bytes) : Result<Settings>(Failure(bytes.error()));
  if (!settings) return std::nullopt;
  return *std::move(settings);
}

}  // namespace

int run_front(UniqueFd channel) {
  auto settings = receive_settings(channel.get());
  if (!settings) return kExitFailure;
  Logger log(settings->log, "front");
  Front front(std::move(channel), *std::move(settings), log);
  if (const auto started = front.start(); !started) {
    log.error("it does not serve without its sandbox: " + started.error().message);
    return kExitNotPermitted;
  }
  return front.run();
}

}  // namespace defused
