// SPDX-License-Identifier: Apache-2.0
// FrontKeeper: starts the front, hands it settings, listeners and views, and replaces it when it ends or does not
// answer. Driven by the supervisor's loop: it never waits.
#pragma once

#include <poll.h>

#include <vector>

#include "base/clock.h"
#include "daemon/channel.h"
#include "daemon/listeners.h"
#include "daemon/log.h"
#include "daemon/prober_keeper.h"
#include "daemon/restart_delay.h"
#include "model/settings.h"

namespace defused {

class FrontKeeper {
 public:
  FrontKeeper(Spawn spawn, Logger& log) : spawn_(std::move(spawn)), log_(log) {}

  /// What it serves on and how; handed over at once and to every successor. The sockets stay owned by the caller.
  void set_service(const Settings& settings, const std::vector<Listener>& listeners);
  /// The last report (-1: none yet) and what the supervisor knows.
  void show(int memfd, const SupervisorStatus& status);

  void add_polls(std::vector<pollfd>& polls) const;
  void turn(Nanoseconds now);
  [[nodiscard]] Nanoseconds next_turn() const;
  /// It has shown a sign of life since it was started.
  [[nodiscard]] bool alive() const { return alive_; }

  void begin_stop();
  void force_stop();
  [[nodiscard]] bool stopped() const { return !child_.running(); }

 private:
  void start(Nanoseconds now);
  void hand_over();
  void send(Message message, int descriptor = -1);

  Spawn spawn_;
  Logger& log_;
  Settings settings_;
  std::vector<int> listeners_;
  int memfd_ = -1;
  SupervisorStatus status_;
  Child child_;
  Nanoseconds started_{0};
  Nanoseconds last_sign_{0};
  Nanoseconds next_start_{0};
  RestartDelay delay_;
  bool alive_ = false;
  bool stopping_ = false;
};

}  // namespace defused
