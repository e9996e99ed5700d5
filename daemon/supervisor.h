// SPDX-License-Identifier: Apache-2.0
// The supervisor: a single-threaded poll loop that owns time, sockets and the lock. It starts and replaces prober and
// front, hands the newest report on, and answers signals and systemd. Must not: parse a report, read foreign /proc,
// wait for a child without a deadline.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "daemon/front_keeper.h"
#include "daemon/listeners.h"
#include "daemon/log.h"
#include "daemon/prober_keeper.h"
#include "daemon/process_usage.h"
#include "daemon/report_socket.h"
#include "daemon/web_service.h"
#include "model/settings.h"

namespace defused {

class Supervisor {
 public:
  /// `reload` reads the configuration again, for HUP. `signals` is a signalfd of TERM, INT and HUP.
  Supervisor(Settings settings, std::function<Result<Settings>()> reload, std::vector<Listener> listeners,
             WebService web, const Spawn& spawn, UniqueFd signals, Logger& log);

  /// Runs until TERM or INT; then ends within 5 s, whatever the children do. The exit code.
  int run();

 private:
  void turn();
  void wait_for_events(Nanoseconds until);
  void take_signals();
  void reload_settings();
  void tell_listeners(const std::vector<std::string>& known);
  [[nodiscard]] SupervisorStatus make_status() const;
  void show_status();
  void answer_clients();
  void tell_systemd();
  int stop();

  Settings settings_;
  std::function<Result<Settings>()> reload_;
  std::vector<Listener> listeners_;
  WebService web_;
  UniqueFd signals_;
  Logger& log_;
  SystemClock clock_;
  UsageReader usage_;
  UniqueFd report_;  ///< the newest
  Nanoseconds report_came_{0};
  ReportSocket report_socket_;
  ProberKeeper prober_;
  FrontKeeper front_;
  Nanoseconds next_status_{0};
  Nanoseconds watchdog_interval_{0};  ///< 0: systemd asks for none
  Nanoseconds next_watchdog_{0};
  bool told_ready_ = false;
  bool stop_asked_ = false;
};

}  // namespace defused
