// SPDX-License-Identifier: Apache-2.0
#include "daemon/supervisor.h"

#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <algorithm>

#include "daemon/exit_codes.h"

namespace defused {

namespace {

// Together below the 5 s in which a stop always ends: asked, then killed, then left behind.
constexpr Nanoseconds kAskedTime = std::chrono::seconds(2);
constexpr Nanoseconds kKilledTime = std::chrono::seconds(1);

Nanoseconds watchdog_interval() {
  std::uint64_t microseconds = 0;
  if (sd_watchdog_enabled(0, &microseconds) <= 0) return Nanoseconds(0);
  return std::chrono::microseconds(microseconds) / 3;
}

std::vector<std::string> urls_of(const std::vector<Listener>& listeners, bool tls) {
  std::vector<std::string> urls;
  urls.reserve(listeners.size());
  for (const Listener& listener : listeners) urls.push_back(url_of(listener, tls));
  return urls;
}

std::string record_path(const Settings& settings) { return settings.runtime_directory + "/lost-probers"; }

}  // namespace

Supervisor::Supervisor(Settings settings, std::function<Result<Settings>()> reload, std::vector<Listener> listeners,
                       WebService web, const Spawn& spawn, UniqueFd signals, Logger& log)
    : settings_(std::move(settings)),
      reload_(std::move(reload)),
      listeners_(std::move(listeners)),
      web_(std::move(web)),
      signals_(std::move(signals)),
      log_(log),
      prober_(spawn, log, record_path(settings_), ActorLock(settings_.state_directory),
              ProberKeeperEvents{[this](UniqueFd memfd) {
                report_ = std::move(memfd);
                report_came_ = clock_.now().boottime;
                prober_.set_seed(report_.get());
                show_status();
              }}),
      front_(spawn, log),
      watchdog_interval_(watchdog_interval()) {
  prober_.set_settings(settings_);
  front_.set_service(settings_, listeners_, web_);
}

int Supervisor::run() {
  tell_listeners({});
  // Without it everything but `defused check` is as it was, and that looks itself then.
  if (auto opened = report_socket_.open(settings_.runtime_directory); !opened) {
    log_.warn("defused check cannot ask this daemon: " + opened.error().message);
  }
  while (!stop_asked_) {
    turn();
    Nanoseconds until = std::min({prober_.next_turn(), front_.next_turn(), next_status_});
    if (watchdog_interval_ > Nanoseconds(0)) until = std::min(until, next_watchdog_);
    wait_for_events(until);
    take_signals();
  }
  return stop();
}

void Supervisor::turn() {
  const Nanoseconds now = clock_.now().boottime;
  prober_.turn(now);
  front_.turn(now);
  if (now >= next_status_) {
    next_status_ = now + std::min<Nanoseconds>(settings_.interval, std::chrono::seconds(1));
    show_status();
  }
  answer_clients();
  tell_systemd();
}

SupervisorStatus Supervisor::make_status() const {
  SupervisorStatus status;
  prober_.describe(status);
  status.interval = settings_.interval;
  status.supervisor = usage_.read();
  return status;
}

void Supervisor::show_status() { front_.show(report_.get(), make_status()); }

void Supervisor::answer_clients() {
  const Nanoseconds now = clock_.now().boottime;
  report_socket_.turn(now, report_.get(), [&] {
    Message view;
    view.type = MessageType::view;
    view.status = make_status();
    const auto age = std::chrono::duration_cast<std::chrono::milliseconds>(now - report_came_);
    view.max_ms = static_cast<std::uint64_t>(age.count());
    return view;
  });
}

void Supervisor::wait_for_events(Nanoseconds until) {
  std::vector<pollfd> polls = {{signals_.get(), POLLIN, 0}};
  prober_.add_polls(polls);
  front_.add_polls(polls);
  report_socket_.add_polls(polls);
  const Nanoseconds left = std::max(until - clock_.now().boottime, Nanoseconds(0));
  const auto milliseconds = std::chrono::ceil<std::chrono::milliseconds>(std::min<Nanoseconds>(left, 10s)).count();
  poll(polls.data(), polls.size(), static_cast<int>(milliseconds));
}

void Supervisor::take_signals() {
  signalfd_siginfo signal{};
  while (read(signals_.get(), &signal, sizeof signal) == static_cast<ssize_t>(sizeof signal)) {
    if (signal.ssi_signo == SIGHUP) {
      reload_settings();
    } else {
      stop_asked_ = true;
    }
  }
}

void Supervisor::reload_settings() {
  sd_notifyf(
      0, "RELOADING=1\nMONOTONIC_USEC=%lld",
      static_cast<long long>(std::chrono::steady_clock::now().time_since_epoch() / std::chrono::microseconds(1)));
  auto fresh = reload_();
  auto web = fresh ? load_web_service(*fresh) : Result<WebService>(Failure(fresh.error()));
  const std::vector<std::string> known = urls_of(listeners_, web_.tls);
  // What can fail comes first, binding last: then nothing is changed yet.
  Result<void> changed =
      web ? change_listeners(listeners_, fresh->web.listen_addresses) : Result<void>(Failure(web.error()));
  if (!changed) {
    log_.error("the old configuration is kept: " + changed.error().message);
  } else {
    if (fresh->state_directory != settings_.state_directory ||
        fresh->runtime_directory != settings_.runtime_directory || fresh->front_user != settings_.front_user) {
      log_.warn("state_directory, runtime_directory and front_user change with the next start only");
    }
    fresh->runtime_directory = settings_.runtime_directory;
    fresh->state_directory = settings_.state_directory;
    fresh->front_user = settings_.front_user;
    settings_ = *std::move(fresh);
    log_.set_settings(settings_.log);
    prober_.set_settings(settings_);
    web_ = *std::move(web);
    front_.set_service(settings_, listeners_, web_);
    tell_listeners(known);
    log_.info("the configuration was read again");
  }
  sd_notify(0, "READY=1");
}

void Supervisor::tell_listeners(const std::vector<std::string>& known) {
  for (const std::string& url : urls_of(listeners_, web_.tls)) {
    if (std::find(known.begin(), known.end(), url) == known.end()) log_.info("listening on " + url);
  }
  if (!web_.warning.empty()) log_.warn(web_.warning);
}

void Supervisor::tell_systemd() {
  // At the cap nothing will be reported, yet the service is there: it serves, and says so.
  if (!told_ready_ && front_.alive() && (prober_.reported() || prober_.at_cap())) {
    told_ready_ = true;
    sd_notify(0, prober_.reported() ? "READY=1\nSTATUS=watching" : "READY=1\nSTATUS=blind: too many lost probers");
  }
  const Nanoseconds now = clock_.now().boottime;
  if (watchdog_interval_ == Nanoseconds(0) || now < next_watchdog_) return;
  next_watchdog_ = now + watchdog_interval_;
  if (front_.alive() || !told_ready_) sd_notify(0, "WATCHDOG=1");
}

int Supervisor::stop() {
  sd_notify(0, "STOPPING=1");
  log_.info("stopping");
  report_socket_.close();
  prober_.begin_stop();
  front_.begin_stop();
  const Nanoseconds asked = clock_.now().boottime;
  bool forced = false;
  while (!prober_.stopped() || !front_.stopped()) {
    const Nanoseconds now = clock_.now().boottime;
    if (now - asked >= kAskedTime + kKilledTime) break;
    if (!forced && now - asked >= kAskedTime) {
      forced = true;
      prober_.force_stop();
      front_.force_stop();
    }
    wait_for_events(now + std::chrono::milliseconds(100));
    prober_.turn(clock_.now().boottime);
    front_.turn(clock_.now().boottime);
  }
  for (const std::string& name : prober_.abandon_all()) log_.error("left behind: " + name);
  for (const std::string& name : front_.names_of_left()) log_.error("left behind: " + name);
  return kExitOk;
}

}  // namespace defused
