// SPDX-License-Identifier: Apache-2.0
// FrontKeeper: starts the front, hands it settings, listeners and views, and replaces it when it ends or does not
// answer. One that does not die of SIGKILL within a second - the file system of its textfile hangs - is left behind,
// and its successor goes on, without the textfile while that lasts. Driven by the supervisor's loop: it never waits.
#pragma once

#include <poll.h>

#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "daemon/channel.h"
#include "daemon/listeners.h"
#include "daemon/log.h"
#include "daemon/prober_keeper.h"
#include "daemon/restart_delay.h"
#include "daemon/web_service.h"
#include "model/settings.h"

namespace defused {

class FrontKeeper {
 public:
  FrontKeeper(Spawn spawn, Logger& log) : spawn_(std::move(spawn)), log_(log) {}

  /// What it serves on and how; handed over at once and to every successor. All descriptors stay owned by the caller,
  /// until the next call. Another directory of the textfile takes another front, which is started as soon as the old
  /// one has taken its file away.
  void set_service(const Settings& settings, const std::vector<Listener>& listeners, const WebService& web);
  /// The last report (-1: none yet) and what the supervisor knows.
  void show(int memfd, const SupervisorStatus& status);

  void add_polls(std::vector<pollfd>& polls) const;
  void turn(Nanoseconds now);
  [[nodiscard]] Nanoseconds next_turn() const;
  /// One runs and has shown a sign of life in the last 10 s.
  [[nodiscard]] bool alive() const { return alive_; }

  void begin_stop();
  void force_stop();
  [[nodiscard]] bool stopped() const { return !child_.running(); }
  /// When the service ends, what could not be ended: "unkillable front 4711 (started at tick 123)".
  [[nodiscard]] std::vector<std::string> names_of_left() const;

 private:
  void start(Nanoseconds now);
  void hand_over();
  void begin_replacing();
  void take_messages(Nanoseconds now);
  void replace(Nanoseconds now);
  void kill(Nanoseconds now);
  bool send_kill();
  void notice_end(Nanoseconds now);
  void leave_behind();
  void bury_left();
  [[nodiscard]] bool is_held(const DirectoryIdentity& directory) const;
  [[nodiscard]] DirectoryIdentity wanted_directory() const;
  void ask_to_end();
  bool send(const Message& message, int descriptor = -1);

  struct Left {
    Child child;
    DirectoryIdentity directory;
  };

  Spawn spawn_;
  Logger& log_;
  Settings settings_;
  std::vector<int> listeners_;
  const WebService* web_ = nullptr;
  DirectoryIdentity directory_;  ///< of the textfile, as the child has it
  bool owed_ = false;            ///< a part of the service did not fit into the channel
  bool replacing_ = false;       ///< it was asked to end, for another directory
  int memfd_ = -1;
  SupervisorStatus status_;
  Child child_;
  std::vector<Left> left_;             ///< killed and still there
  std::optional<Nanoseconds> killed_;  ///< when `child_` was sent SIGKILL by us
  bool at_cap_ = false;
  Nanoseconds started_{0};
  Nanoseconds last_sign_{0};
  Nanoseconds next_start_{0};
  Nanoseconds end_by_{0};  ///< while replacing_
  RestartDelay delay_;
  bool alive_ = false;
  bool stopping_ = false;
};

}  // namespace defused
