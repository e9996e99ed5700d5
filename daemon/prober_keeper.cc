// SPDX-License-Identifier: Apache-2.0
#include "daemon/prober_keeper.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "daemon/lost_probers.h"
#include "model/codec.h"

namespace defused {

namespace {

// From SIGKILL to giving up: a process that can die does so in milliseconds.
constexpr Nanoseconds kProberGrace = std::chrono::seconds(1);
// Where one that was just killed may be the one too many: until it is looked at again.
constexpr Nanoseconds kJustKilled = std::chrono::milliseconds(20);
// From being asked to end, between two passes.
constexpr Nanoseconds kLeaving = std::chrono::seconds(1);
// Until the next try where the cap on lost probers is reached.
constexpr Nanoseconds kCapRetry = std::chrono::seconds(60);

std::string name_of_prober(const Child& child) { return "prober " + name_of(child.id); }

}  // namespace

ProberKeeper::ProberKeeper(Spawn spawn, Logger& log, std::string record_path, ActorLock lock, ProberKeeperEvents events)
    : spawn_(std::move(spawn)),
      log_(log),
      events_(std::move(events)),
      lost_(std::move(record_path), log),
      lock_(std::move(lock)) {
  if (lost_.size() > 0) log_.warn(std::to_string(lost_.size()) + " processes that an earlier service left are there");
}

void ProberKeeper::set_settings(const Settings& settings) {
  settings_ = settings;
  if (at_cap_) next_start_ = Nanoseconds(0);  // the cap may be another now
  if (!prober_.child.running()) return;
  const SandboxPlan plan = plan_sandbox(settings_);
  const bool fits = plan == prober_.plan && !prober_.outdated;
  // Less power is for now, whoever comes next; more is for the successor alone.
  if (fits || !plan.acts) hand_settings();
  if (!fits && !std::exchange(prober_.outdated, true))
    log_.info("the prober is replaced: these settings take another sandbox");
}

void ProberKeeper::hand_settings() {
  const auto memfd = make_sealed_memfd("defused-settings", encode_settings(settings_));
  Message message;
  message.type = MessageType::settings;
  if (!memfd || !send_message(prober_.child.channel.get(), message, memfd->get())) {
    log_.warn("the prober did not take the new settings and is replaced");
    prober_.deadline = Nanoseconds(0);
  }
}

// Says so once, not at each try.
bool ProberKeeper::may_start(Nanoseconds now) {
  lost_.look_again();
  const std::size_t most = settings_.max_lost_probers;
  const bool was_at_cap = at_cap_;
  at_cap_ = lost_.size() >= most;
  if (was_at_cap && !at_cap_) log_.info("probers are started again: " + std::to_string(lost_.size()) + " are left");
  if (at_cap_ && !was_at_cap) {
    log_.error(std::to_string(lost_.size()) +
               " probers could not be killed; no other is started until one of them ends");
  }
  if (lost_.size() + dying_.size() < most) return true;
  blind_ = true;
  next_start_ = now + (at_cap_ ? kCapRetry : kJustKilled);
  return false;
}

void ProberKeeper::start(Nanoseconds now) {
  if (!may_start(now)) return;
  std::vector<std::string> arguments = {"internal-prober", "--keep-records"};
  if (const auto unproven = lost_.unproven(); !unproven.empty()) {
    arguments.insert(arguments.end(), {"--lost", render_lost(unproven)});
  }
  auto child = spawn_(arguments);
  if (!child) {
    next_start_ = now + delay_.after(Nanoseconds(0)) + std::chrono::seconds(1);
    log_.error("starting the prober: " + child.error().message);
    return;
  }
  prober_ = Prober{*std::move(child), State::starting, now, now + settings_.pass_deadline, "start"};
  prober_.plan = plan_sandbox(settings_);
  prober_.ground = look_at_ground(settings_.state_directory);
  record_running();
  hand_settings();
  Message message;
  message.type = MessageType::seed;
  if (!send_message(prober_.child.channel.get(), message, seed_)) prober_.deadline = Nanoseconds(0);
}

void ProberKeeper::give_work(Nanoseconds now) {
  // At the cap it would have no successor: an old sandbox sees more than nobody.
  const bool may_be_followed = lost_.size() + dying_.size() < settings_.max_lost_probers;
  if (prober_.outdated && may_be_followed) return ask_to_leave(now);
  if (now < next_pass_) return;
  if (may_be_followed && look_at_ground(settings_.state_directory) != prober_.ground) {
    log_.info("the prober is replaced: fusectl or the state directory was mounted, unmounted or replaced");
    return ask_to_leave(now);
  }
  order_pass(now);
}

// Between two passes: it has handed over all that it knows, and acts no more.
void ProberKeeper::ask_to_leave(Nanoseconds now) {
  Message message;
  message.type = MessageType::stop;
  prober_.state = State::leaving;
  prober_.phase = "stop";
  prober_.deadline = now + (send_message(prober_.child.channel.get(), message) ? kLeaving : Nanoseconds(0));
}

bool ProberKeeper::is_earlier_one_acting() const {
  return std::any_of(dying_.begin(), dying_.end(), [](const Dying& dying) { return !dying.signalled; });
}

// When the pass is over, or its prober has SIGKILL pending: from then on it cannot act.
void ProberKeeper::release_lock() {
  if (!is_earlier_one_acting()) lock_.release();
}

Bar ProberKeeper::raise_bar() {
  if (is_earlier_one_acting()) return Bar::earlier_prober;
  const auto taken = lock_.take();
  if (taken) return Bar::none;
  return taken.error().code == EWOULDBLOCK ? Bar::other_actor : Bar::no_lock;
}

void ProberKeeper::order_pass(Nanoseconds now) {
  Message message;
  message.type = MessageType::start_pass;
  message.pass = ++pass_;
  message.bar = raise_bar();
  const std::size_t most = settings_.max_lost_probers;
  message.readers = static_cast<std::uint32_t>(most - std::min(most, lost_.size()));
  if (reads_hazards_ && message.readers == 0) {
    log_.error(std::to_string(lost_.size()) + " processes could not be killed; what may hang a reader is not read");
  }
  reads_hazards_ = message.readers > 0;
  if (!send_message(prober_.child.channel.get(), message)) return release_lock();
  prober_.state = State::passing;
  prober_.deadline = now + settings_.pass_deadline;
  prober_.phase = "pass";
  // A pass that took longer than the interval does not make the next ones pile up.
  next_pass_ = std::max(next_pass_ + settings_.interval, now + settings_.interval / 2);
}

void ProberKeeper::take(Received received, Nanoseconds now) {
  const Message& message = received.message;
  switch (message.type) {
    case MessageType::ready:
      prober_.state = State::idle;
      prober_.deadline.reset();
      if (next_pass_ < now) next_pass_ = now;
      break;
    case MessageType::lost_gone: lost_.forget(message.process); break;
    case MessageType::left_behind: take_left_behind(std::move(received)); break;
    case MessageType::phase:
      prober_.phase = message.phase;
      if (message.max_ms > 0) {
        prober_.deadline = now + std::chrono::milliseconds(message.max_ms);
      } else {
        prober_.state = State::idle;
        prober_.deadline.reset();
        release_lock();
      }
      break;
    case MessageType::report:
      usage_ = message.usage;
      blind_ = false;
      reported_ = true;
      if (received.descriptor && events_.report) events_.report(std::move(received.descriptor));
      break;
    default: break;
  }
}

void ProberKeeper::take_left_behind(Received received) {
  const ProcessId& reader = received.message.process;
  log_.error("reader " + name_of(reader) + " does not die of SIGKILL and is left behind");
  lost_.add_reader(reader, std::move(received.descriptor));
}

// Of a prober that goes: what it left behind still counts.
void ProberKeeper::take_last_words(const Child& child) {
  while (child.channel) {
    auto received = receive_message(child.channel.get(), false);
    if (!received || !*received) return;
    if ((*received)->message.type == MessageType::left_behind) take_left_behind(std::move(**received));
  }
}

void ProberKeeper::take_messages(Nanoseconds now) {
  while (prober_.child.running()) {
    auto received = receive_message(prober_.child.channel.get(), false);
    if (!received || !*received) return;  // closed: its death is noticed through the pidfd
    take(std::move(**received), now);
  }
}

void ProberKeeper::notice_death(Nanoseconds now) {
  if (!prober_.child.running()) return;
  if (pollfd ended{prober_.child.pidfd.get(), POLLIN, 0}; poll(&ended, 1, 0) != 1) return;
  take_messages(now);
  const std::string name = name_of_prober(prober_.child);
  if (!reap_child(prober_.child)) return;
  release_lock();
  if (prober_.state == State::leaving) {
    next_start_ = now;
    return;
  }
  blind_ = true;
  if (stopping_) return;
  next_start_ = now + delay_.after(now - prober_.started);
  log_.warn(name + " ended by itself in phase '" + prober_.phase + "' and is replaced");
}

void ProberKeeper::enforce_deadline(Nanoseconds now) {
  if (!prober_.child.running() || !prober_.deadline || now < *prober_.deadline) return;
  const auto killed = kill_child(prober_.child);
  log_.warn(name_of_prober(prober_.child) + " missed the deadline of phase '" + prober_.phase + "' and is replaced" +
            (killed ? "" : "; it could not be sent SIGKILL: " + killed.error().message));
  dying_.push_back(Dying{std::move(prober_.child), now, killed.has_value(), prober_.phase});
  prober_ = Prober{};
  release_lock();
  blind_ = true;
  next_start_ = now;
}

void ProberKeeper::bury_dying(Nanoseconds now) {
  const bool was_acting = is_earlier_one_acting();
  for (auto dying = dying_.begin(); dying != dying_.end();) {
    take_last_words(dying->child);
    if (reap_child(dying->child)) {
      dying = dying_.erase(dying);
    } else if (now - dying->killed >= kProberGrace && dying->signalled) {
      ++lost_total_;
      log_.error(name_of_prober(dying->child) + " does not die of SIGKILL (phase '" + dying->phase +
                 "') and is left behind");
      lost_.add(std::move(dying->child));
      dying = dying_.erase(dying);
    } else {
      if (!dying->signalled) dying->signalled = kill_child(dying->child).has_value();
      ++dying;
    }
  }
  // Of a pass that its successor has begun meanwhile there is none: it runs behind a bar, without the lock.
  if (was_acting) release_lock();
}

void ProberKeeper::bury_lost() {
  if (lost_.bury() == 0) return;
  log_.info("a lost process ended after all; " + std::to_string(lost_.size()) + " left");
  if (at_cap_) next_start_ = Nanoseconds(0);
}

void ProberKeeper::record_running() {
  std::vector<const Child*> running;
  if (prober_.child.running()) running.push_back(&prober_.child);
  for (const Dying& dying : dying_) running.push_back(&dying.child);
  lost_.set_running(running);
}

void ProberKeeper::turn(Nanoseconds now) {
  forward_log(prober_.child);
  take_messages(now);
  notice_death(now);
  enforce_deadline(now);
  bury_dying(now);
  bury_lost();
  if (stopping_) return;
  if (!prober_.child.running() && now >= next_start_) start(now);
  if (prober_.child.running() && prober_.state == State::idle) give_work(now);
}

Nanoseconds ProberKeeper::next_turn() const {
  Nanoseconds next = Nanoseconds::max();
  if (!prober_.child.running() && !stopping_) next = std::min(next, next_start_);
  if (prober_.child.running() && prober_.deadline) next = std::min(next, *prober_.deadline);
  if (prober_.child.running() && prober_.state == State::idle && !stopping_) next = std::min(next, next_pass_);
  for (const Dying& dying : dying_) next = std::min(next, dying.killed + kProberGrace);
  return next;
}

void ProberKeeper::add_polls(std::vector<pollfd>& polls) const {
  if (prober_.child.running()) {
    polls.push_back({prober_.child.channel.get(), POLLIN, 0});
    polls.push_back({prober_.child.pidfd.get(), POLLIN, 0});
    polls.push_back({prober_.child.log.get(), POLLIN, 0});
  }
  for (const Dying& dying : dying_) polls.push_back({dying.child.pidfd.get(), POLLIN, 0});
  lost_.add_polls(polls);
}

void ProberKeeper::begin_stop() {
  stopping_ = true;
  if (!prober_.child.running()) return;
  Message message;
  message.type = MessageType::stop;
  [[maybe_unused]] const auto sent = send_message(prober_.child.channel.get(), message);
}

void ProberKeeper::force_stop() {
  if (prober_.child.running()) [[maybe_unused]]
    const auto killed = kill_child(prober_.child);
}

std::vector<std::string> ProberKeeper::abandon_all() {
  std::vector<std::string> names;
  if (prober_.child.running()) lost_.add(std::move(prober_.child));
  for (Dying& dying : dying_) lost_.add(std::move(dying.child));
  dying_.clear();
  record_running();
  lost_.bury();
  for (const std::string& name : lost_.names()) names.push_back("unkillable " + name);
  return names;
}

void ProberKeeper::describe(SupervisorStatus& status) const {
  status.probers_lost = lost_total_;
  status.lost_probers_left = static_cast<std::uint32_t>(lost_.size());
  status.prober_blind = blind_ ? 1 : 0;
  status.at_cap = at_cap_ ? 1 : 0;
  status.prober = usage_;
}

}  // namespace defused
