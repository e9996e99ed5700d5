// SPDX-License-Identifier: Apache-2.0
// ProberKeeper: starts the prober, orders passes, holds it to the deadline of its phase, and replaces it. One that does
// not die of SIGKILL within a second is abandoned: counted, recorded, and its successor goes on. With as many left as
// the cap allows, also by earlier services, none is started, and one that runs reads no more what may hang a reader.
// Driven by the supervisor's loop: it never waits. Must not: parse a report, start one more prober than the cap allows.
#pragma once

#include <poll.h>

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "daemon/actor_lock.h"
#include "daemon/channel.h"
#include "daemon/log.h"
#include "daemon/lost_processes.h"
#include "daemon/prober_sandbox.h"
#include "daemon/restart_delay.h"
#include "daemon/spawn.h"
#include "model/settings.h"

namespace defused {

using Spawn = std::function<Result<Child>(const std::vector<std::string>& arguments)>;

struct ProberKeeperEvents {
  std::function<void(UniqueFd memfd)> report;  ///< a new report arrived
};

class ProberKeeper {
 public:
  ProberKeeper(Spawn spawn, Logger& log, std::string record_path, ActorLock lock, ProberKeeperEvents events);

  /// Takes new settings, for the running prober as well; where they take another sandbox it is replaced after its pass,
  /// and its successor has its memory.
  void set_settings(const Settings& settings);
  /// The memory for the next prober: a memfd that stays owned by the caller, -1 for none.
  void set_seed(int memfd) { seed_ = memfd; }

  void add_polls(std::vector<pollfd>& polls) const;
  /// Messages, deaths, deadlines, the next pass: whatever is due at `now` (boot time).
  void turn(Nanoseconds now);
  /// When turn() is due again even if no descriptor is ready.
  [[nodiscard]] Nanoseconds next_turn() const;

  /// Asks the prober to end and starts no other.
  void begin_stop();
  /// SIGKILL for whatever is left.
  void force_stop();
  [[nodiscard]] bool stopped() const { return !prober_.child.running() && dying_.empty(); }
  /// Names what could not be ended, also by earlier services: "unkillable prober 4711 (started at tick 123)"; records
  /// it.
  std::vector<std::string> abandon_all();

  /// Fills the fields of `status` that are about probers.
  void describe(SupervisorStatus& status) const;
  [[nodiscard]] bool reported() const { return reported_; }
  /// No prober runs, since none may be started.
  [[nodiscard]] bool at_cap() const { return at_cap_; }

 private:
  enum class State { starting, idle, passing, leaving };
  struct Prober {
    Child child;
    State state = State::starting;
    Nanoseconds started{0};
    std::optional<Nanoseconds> deadline;  ///< of the phase; nothing: idle
    std::string phase;
    SandboxPlan plan = {};
    SandboxGround ground = {};
    bool outdated = false;  ///< its sandbox is
  };
  struct Dying {
    Child child;
    Nanoseconds killed{0};
    bool signalled = false;  ///< SIGKILL is pending: it cannot act any more
    std::string phase;
  };

  void start(Nanoseconds now);
  [[nodiscard]] bool may_start(Nanoseconds now);
  void hand_settings();
  void give_work(Nanoseconds now);
  void order_pass(Nanoseconds now);
  void ask_to_leave(Nanoseconds now);
  void take_messages(Nanoseconds now);
  void take(Received received, Nanoseconds now);
  void take_left_behind(Received received);
  void take_last_words(const Child& child);
  void notice_death(Nanoseconds now);
  void enforce_deadline(Nanoseconds now);
  void bury_dying(Nanoseconds now);
  void bury_lost();
  void record_running();
  [[nodiscard]] Bar raise_bar();
  [[nodiscard]] bool is_earlier_one_acting() const;
  void release_lock();

  Spawn spawn_;
  Logger& log_;
  ProberKeeperEvents events_;
  Settings settings_;
  int seed_ = -1;
  Prober prober_;
  std::vector<Dying> dying_;  ///< killed, not yet dead, not yet given up
  LostProcesses lost_;        ///< given up
  ActorLock lock_;            ///< held while a pass may act
  std::uint64_t lost_total_ = 0;
  std::uint64_t pass_ = 0;
  Nanoseconds next_pass_{0};
  Nanoseconds next_start_{0};
  RestartDelay delay_;
  ProcessUsage usage_;
  bool blind_ = true;
  bool at_cap_ = false;
  bool reads_hazards_ = true;
  bool reported_ = false;
  bool stopping_ = false;
};

}  // namespace defused
