// SPDX-License-Identifier: Apache-2.0
#include "daemon/front.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <optional>
#include <tuple>
#include <utility>

#include "daemon/channel.h"
#include "daemon/exit_codes.h"
#include "daemon/front_sandbox.h"
#include "daemon/front_textfile.h"
#include "daemon/log.h"
#include "daemon/process_usage.h"
#include "exporters/http/pages.h"
#include "exporters/http/server.h"
#include "exporters/prometheus/metrics.h"
#include "model/codec.h"

namespace defused {

namespace {

constexpr Nanoseconds kSignOfLife = std::chrono::seconds(1);

// What a front needs before it gives up what it could get more with.
struct Beginning {
  Settings settings;
  Textfile textfile = Textfile::none;  ///< its directory is kTextfileDescriptor then
};

// What the supervisor says is still incomplete: the last listener puts it all into effect.
struct Arriving {
  std::optional<Settings> settings;
  std::optional<CheckedWebConfig> web;
  std::vector<UniqueFd> listeners;
};

template <typename T>
std::optional<T> take_memfd(int descriptor, Result<T> (*decode)(const std::vector<std::uint8_t>&), Logger& log) {
  auto value = decode_memfd(descriptor, decode);
  if (value) return *std::move(value);
  log.error("what the supervisor sent: " + value.error().message);
  return std::nullopt;
}

class Front {
 public:
  Front(UniqueFd channel, Beginning beginning, Logger& log)
      : channel_(std::move(channel)),
        settings_(std::move(beginning.settings)),
        textfile_descriptor_(beginning.textfile == Textfile::written ? kTextfileDescriptor : -1),
        log_(log) {
    arriving_.settings = settings_;
  }

  // The order is the point: threads start without privileges, and none starts after the filter, which is for all.
  Result<void> start() {
    const FrontAccount account = find_front_account(settings_.front_user);
    const Textfile textfile = textfile_descriptor_ ? Textfile::written : Textfile::none;
    if (auto given_up = give_up_privileges(account, textfile); !given_up) return given_up;
    auto server = HttpServer::create(HttpLimits{}, [this](const HttpRequest& request) { return answer(request); });
    if (!server) return Failure(server.error());
    server_ = *std::move(server);
    if (textfile == Textfile::written) {
      textfile_.emplace(textfile_descriptor_.get(), settings_.textfile.directory, account, log_);
    }
    if (auto loaded = load_front_filter(textfile); !loaded) return loaded;
    if (!account.named) {
      log_.info("there is no account '" + settings_.front_user + "'; uid " + std::to_string(account.uid) + " is used");
    }
    return {};
  }

  int run() {
    while (!exit_code_) {
      const Instant now = clock_.now();
      if (now.boottime >= next_sign_) {
        next_sign_ = now.boottime + kSignOfLife;
        Message message;
        message.type = MessageType::alive;
        const auto sent = send_message(channel_.get(), message);
        if (!sent && sent.error().kind == ErrorKind::gone) return kExitOk;
      }
      keep_textfile(now);
      std::vector<pollfd> polls = {{channel_.get(), POLLIN, 0}};
      server_->add_polls(polls);
      poll(polls.data(), polls.size(), static_cast<int>(std::min(until_own_turn(now), server_->next_turn()).count()));
      if (polls[0].revents != 0) take_messages();
      server_->turn();
    }
    if (textfile_) textfile_->remove();
    return *exit_code_;
  }

 private:
  [[nodiscard]] std::chrono::milliseconds until_own_turn(const Instant& now) const {
    const Nanoseconds next = textfile_ ? std::min(next_sign_, textfile_->next_turn()) : next_sign_;
    return std::chrono::ceil<std::chrono::milliseconds>(std::max(next - now.boottime, Nanoseconds(0)));
  }

  void keep_textfile(const Instant& now) {
    if (!textfile_) return;
    textfile_->tell();
    // Before the supervisor has said anything, nothing is known.
    if (!told_ || !textfile_->due(now.boottime)) return;
    textfile_->write(metrics_.render(view()), now.boottime);
  }

  void take_messages() {
    std::optional<UniqueFd> report;
    while (!exit_code_) {
      auto received = receive_message(channel_.get(), false);
      if (!received) exit_code_ = kExitOk;
      if (!received || !*received) break;
      const int descriptor = (*received)->descriptor.get();
      switch ((*received)->message.type) {
        case MessageType::stop: exit_code_ = kExitOk; break;
        case MessageType::settings: arriving_ = {take_memfd(descriptor, &decode_settings, log_), {}, {}}; break;
        case MessageType::web: arriving_.web = take_memfd(descriptor, &decode_web_config, log_); break;
        case MessageType::listener: take_listener(**received); break;
        case MessageType::view:
          take_status((*received)->message.status);
          report = std::move((*received)->descriptor);
          break;
        default: break;
      }
    }
    if (report && report->valid()) take_report(report->get());
  }

  // They come one by one; the last of `count` puts all that has come into effect.
  void take_listener(Received& received) {
    arriving_.listeners.push_back(std::move(received.descriptor));
    if (arriving_.listeners.size() < received.message.count) return;
    Arriving fresh = std::exchange(arriving_, {});
    if (serve(fresh)) {
      serving_ = true;
    } else if (!serving_) {
      // Never without the TLS and the passwords that were asked for: rather not at all.
      exit_code_ = kExitFailure;
    }
  }

  bool serve(Arriving& fresh) {
    if (!fresh.settings || !fresh.web) return false;  // said when it came
    if (const auto set = server_->set_web_config(fresh.web->config, fresh.web->material); !set) {
      log_.error("the web configuration is not taken: " + set.error().message);
      return false;
    }
    settings_ = *std::move(fresh.settings);
    log_.set_settings(settings_.log);
    server_->set_listeners(std::move(fresh.listeners));
    note_change();
    return true;
  }

  void note_change() {
    server_->forget_answers();
    if (textfile_) textfile_->mark_changed();
  }

  // It comes each second, with the usage of the others: that alone is no reason to write a file, nor to render a large
  // report again.
  void take_status(const SupervisorStatus& status) {
    const auto facts = [](const SupervisorStatus& it) {
      return std::tuple(it.probers_lost, it.lost_probers_left, it.prober_blind, it.at_cap, it.interval);
    };
    const bool changed = !told_ || facts(status) != facts(supervisor_);
    supervisor_ = status;
    told_ = true;
    if (changed) note_change();
  }

  // Each status comes with the last report again: decoded only when it is another one.
  void take_report(int descriptor) {
    const std::uint64_t identity = identify_memfd(descriptor);
    if (pass_ && identity != 0 && identity == report_identity_) return;
    auto pass = take_memfd(descriptor, &decode_pass, log_);
    if (!pass) return;
    // Where memfds cannot be told apart it may be the same one again.
    const bool fresh = !pass_ || pass_->report.scanned_at != pass->report.scanned_at;
    if (fresh) arrived_ = clock_.now().boottime;
    pass_ = std::make_shared<const PassResult>(*std::move(pass));
    report_identity_ = identity;
    note_change();
  }

  View view() { return {pass_, supervisor_, usage_.read(), settings_, clock_.now(), arrived_}; }

  HttpResponse answer(const HttpRequest& request) {
    const View now = view();
    return respond(request, now, [&] { return metrics_.render(now); });
  }

  UniqueFd channel_;
  Settings settings_;
  UniqueFd textfile_descriptor_;
  Logger& log_;
  SystemClock clock_;
  UsageReader usage_;
  std::unique_ptr<HttpServer> server_;
  std::optional<FrontTextfile> textfile_;
  MetricsRenderer metrics_;
  Arriving arriving_;
  bool serving_ = false;
  std::shared_ptr<const PassResult> pass_;
  std::uint64_t report_identity_ = 0;
  Nanoseconds arrived_{0};  ///< boot time
  SupervisorStatus supervisor_;
  bool told_ = false;  ///< the supervisor has said how it is
  Nanoseconds next_sign_{0};
  std::optional<int> exit_code_;
};

// One of the two messages that a service begins with.
Result<Received> receive_first(int channel, MessageType type, const char* what) {
  auto received = receive_message(channel, true);
  if (!received) return prepend(std::string("waiting for ") + what, received.error());
  if (!*received || (*received)->message.type != type)
    return fail(ErrorKind::malformed, std::string("another message came than ") + what);
  return std::move(**received);
}

// The first message says which account and which log, the second gives the directory of the textfile, or none. Nothing
// else may get the number of that one, so it is taken first.
Result<Beginning> receive_beginning(int channel) {
  UniqueFd reserved(fcntl(channel, F_DUPFD_CLOEXEC, kTextfileDescriptor));
  if (!reserved) return fail_errno(errno, "reserving a descriptor for the textfile");
  if (reserved.get() != kTextfileDescriptor)
    return fail(ErrorKind::io,
                "descriptor " + std::to_string(kTextfileDescriptor) + ", which is the textfile's, is open");
  auto first = receive_first(channel, MessageType::settings, "the settings");
  if (!first) return Failure(first.error());
  auto settings = decode_memfd(first->descriptor.get(), &decode_settings);
  if (!settings) return prepend("the settings", settings.error());
  auto second = receive_first(channel, MessageType::textfile, "the textfile");
  if (!second) return Failure(second.error());
  Beginning beginning{*std::move(settings), Textfile::none};
  if (!second->descriptor) return beginning;
  if (dup3(second->descriptor.get(), kTextfileDescriptor, O_CLOEXEC) < 0)
    return fail_errno(errno, "taking the directory of the textfile");
  beginning.textfile = Textfile::written;
  [[maybe_unused]] const int now_the_front_s = reserved.release();
  return beginning;
}

}  // namespace

int run_front(UniqueFd channel) {
  Logger log(LogSettings{}, "front");
  auto beginning = receive_beginning(channel.get());
  if (!beginning) {
    log.error("it does not start: " + beginning.error().message);
    return kExitFailure;
  }
  log.set_settings(beginning->settings.log);
  Front front(std::move(channel), *std::move(beginning), log);
  if (const auto started = front.start(); !started) {
    log.error("it does not serve without its sandbox: " + started.error().message);
    return kExitNotPermitted;
  }
  return front.run();
}

}  // namespace defused
