// SPDX-License-Identifier: Apache-2.0
#include "daemon/front_keeper.h"

#include <algorithm>
#include <utility>

#include "daemon/lost_processes.h"
#include "model/codec.h"

namespace defused {

namespace {

// The front sends a sign of life each second.
constexpr Nanoseconds kSilence = std::chrono::seconds(10);
// For one that is replaced: to take its textfile away.
constexpr Nanoseconds kEndTime = std::chrono::seconds(2);
// From SIGKILL to leaving it behind: a process that can die does so in milliseconds.
constexpr Nanoseconds kGrace = std::chrono::seconds(1);
// Each has a thread that nothing can end. Its directory is given to no other, so that it takes many directories.
constexpr std::size_t kMostLeft = 8;

std::string name_of(const Child& child) { return "front " + name_of(child.id); }

}  // namespace

// False: the channel is full, the front is behind. A closed one: its death is noticed by the pidfd.
bool FrontKeeper::send(const Message& message, int descriptor) {
  const auto sent = send_message(child_.channel.get(), message, descriptor);
  return sent || sent.error().kind != ErrorKind::timeout;
}

void FrontKeeper::hand_over() {
  if (!child_.running()) return;
  const auto memfd = make_sealed_memfd("defused-settings", encode_settings(settings_));
  if (!memfd) return log_.error("handing settings to the front: " + memfd.error().message);
  Message message;
  message.count = static_cast<std::uint32_t>(listeners_.size());
  const auto give = [&](MessageType type, int descriptor) {
    message.type = type;
    return send(message, descriptor);
  };
  bool all = give(MessageType::settings, memfd->get()) &&
             give(MessageType::textfile, directory_ == web_->directory ? web_->textfile.get() : -1) &&
             give(MessageType::web, web_->web.get());
  for (const int listener : listeners_) all = all && give(MessageType::listener, listener);
  owed_ = !all;
  show(memfd_, status_);
}

void FrontKeeper::set_service(const Settings& settings, const std::vector<Listener>& listeners, const WebService& web) {
  settings_ = settings;
  web_ = &web;
  listeners_.clear();
  for (const Listener& listener : listeners) listeners_.push_back(listener.socket.get());
  if (!child_.running() || directory_ == wanted_directory()) return hand_over();
  begin_replacing();
}

void FrontKeeper::begin_replacing() {
  replacing_ = true;
  end_by_ = Nanoseconds(0);
  ask_to_end();
}

void FrontKeeper::show(int memfd, const SupervisorStatus& status) {
  memfd_ = memfd;
  status_ = status;
  if (!child_.running()) return;
  Message message;
  message.type = MessageType::view;
  message.status = status;
  send(message, memfd);  // where it does not fit, the next one says more
}

void FrontKeeper::start(Nanoseconds now) {
  if (std::exchange(at_cap_, left_.size() >= kMostLeft) != at_cap_ && at_cap_)
    log_.error(std::to_string(left_.size()) +
               " fronts could not be killed; no other is started until one of them ends");
  if (at_cap_) {
    next_start_ = Nanoseconds::max();
    return;
  }
  auto child = spawn_({"internal-front"});
  if (!child) {
    next_start_ = now + std::chrono::seconds(1);
    return log_.error("starting the front: " + child.error().message);
  }
  child_ = *std::move(child);
  started_ = last_sign_ = now;
  killed_.reset();
  alive_ = false;
  directory_ = wanted_directory();
  if (directory_ != web_->directory) {
    log_.error("the textfile is not written while a front that was left behind hangs in " +
               settings_.textfile.directory);
  }
  hand_over();
}

bool FrontKeeper::is_held(const DirectoryIdentity& directory) const {
  return directory != DirectoryIdentity{} &&
         std::any_of(left_.begin(), left_.end(), [&](const Left& left) { return left.directory == directory; });
}

// A front that were given what its predecessor hangs in would hang there as well.
DirectoryIdentity FrontKeeper::wanted_directory() const {
  return is_held(web_->directory) ? DirectoryIdentity{} : web_->directory;
}

void FrontKeeper::take_messages(Nanoseconds now) {
  while (child_.channel) {
    auto received = receive_message(child_.channel.get(), false);
    if (!received && received.error().kind == ErrorKind::gone) {
      // It ended, or does so: all of it but, perhaps, a thread that nothing can end.
      child_.channel.reset();
      kill(now);
    }
    if (!received || !*received) return;
    if ((*received)->message.type != MessageType::alive) continue;
    alive_ = true;
    last_sign_ = now;
  }
}

void FrontKeeper::turn(Nanoseconds now) {
  forward_log(child_);
  take_messages(now);
  if (child_.running() && now - last_sign_ >= kSilence) {
    log_.warn("the front has not answered for 10 s and is replaced");
    last_sign_ = now;
    alive_ = false;  // also where it cannot be killed: systemd's watchdog must not hear that all is well
    kill(now);
  }
  if (owed_ && !replacing_) hand_over();
  if (replacing_) replace(now);
  notice_end(now);
  bury_left();
  if (!child_.running() && !stopping_ && now >= next_start_) start(now);
}

void FrontKeeper::notice_end(Nanoseconds now) {
  if (!child_.running()) return;
  const bool ended = reap_child(child_);
  if (!ended && (stopping_ || !killed_ || now - *killed_ < kGrace)) return;
  if (!ended) leave_behind();
  alive_ = false;
  killed_.reset();
  if (stopping_) return;
  if (std::exchange(replacing_, false)) {
    next_start_ = now;
    return;
  }
  next_start_ = now + delay_.after(now - started_);
  if (ended) log_.warn("the front ended and is replaced");
}

void FrontKeeper::leave_behind() {
  forward_log(child_);
  log_.error(name_of(child_) + " does not die of SIGKILL and is left behind" +
             (directory_ == DirectoryIdentity{} ? "" : "; the file system of its textfile hangs"));
  child_.channel.reset();
  child_.log.reset();
  left_.push_back({std::exchange(child_, Child{}), directory_});
}

// Where the file system goes on, the textfile is written again: by another front, which has the directory.
void FrontKeeper::bury_left() {
  const std::size_t before = left_.size();
  std::erase_if(left_, [](Left& left) { return reap_child(left.child); });
  if (left_.size() == before) return;
  log_.info("a front that was left behind ended after all; " + std::to_string(left_.size()) + " left");
  if (at_cap_) next_start_ = Nanoseconds(0);
  if (!stopping_ && !replacing_ && child_.running() && directory_ != wanted_directory()) begin_replacing();
}

std::vector<std::string> FrontKeeper::names_of_left() const {
  std::vector<std::string> names;
  for (const Left& left : left_) names.push_back("unkillable " + name_of(left.child));
  if (child_.running()) names.push_back("unkillable " + name_of(child_));
  return names;
}

Nanoseconds FrontKeeper::next_turn() const {
  if (child_.running() && killed_) return *killed_ + kGrace;
  if (child_.running() && replacing_) return end_by_;
  if (child_.running()) return last_sign_ + kSilence;
  return stopping_ ? Nanoseconds::max() : next_start_;
}

void FrontKeeper::add_polls(std::vector<pollfd>& polls) const {
  for (const Left& left : left_) polls.push_back({left.child.pidfd.get(), POLLIN, 0});
  if (!child_.running()) return;
  if (child_.channel) polls.push_back({child_.channel.get(), POLLIN, 0});
  polls.push_back({child_.pidfd.get(), POLLIN, 0});
  polls.push_back({child_.log.get(), POLLIN, 0});
}

// It takes its textfile away and ends; where it does not in time, it is ended.
void FrontKeeper::replace(Nanoseconds now) {
  if (end_by_ == Nanoseconds(0)) end_by_ = now + kEndTime;
  if (now < end_by_ || !child_.running()) return;
  end_by_ = now + kEndTime;
  kill(now);
}

// One that could not be sent it may go on: it is not taken for dead, and tried again.
void FrontKeeper::kill(Nanoseconds now) {
  if (child_.running() && send_kill() && !killed_) killed_ = now;
}

void FrontKeeper::ask_to_end() {
  if (!child_.running()) return;
  Message message;
  message.type = MessageType::stop;
  send(message);
}

void FrontKeeper::begin_stop() {
  stopping_ = true;
  ask_to_end();
}

void FrontKeeper::force_stop() {
  if (child_.running()) send_kill();
}

bool FrontKeeper::send_kill() {
  const auto killed = kill_child(child_);
  if (!killed) log_.error("the front: " + killed.error().message);
  return killed.has_value();
}

}  // namespace defused
