// SPDX-License-Identifier: Apache-2.0
#include "daemon/front_keeper.h"

#include <algorithm>

#include "model/codec.h"

namespace defused {

namespace {

// The front sends a sign of life each second.
constexpr Nanoseconds kSilence = std::chrono::seconds(10);

}  // namespace

void FrontKeeper::send(Message message, int descriptor) {
  // A full channel: the front is behind, and the next view says more. A closed one: its death is noticed by the pidfd.
  [[maybe_unused]] const auto sent = send_message(child_.channel.get(), message, descriptor);
}

void FrontKeeper::hand_over() {
  if (!child_.running()) return;
  const auto memfd = make_sealed_memfd("defused-settings", encode_settings(settings_));
  if (!memfd) return log_.error("handing settings to the front: " + memfd.error().message);
  Message message;
  message.type = MessageType::settings;
  send(message, memfd->get());
  message.type = MessageType::listener;
  message.count = static_cast<std::uint32_t>(listeners_.size());
  for (const int listener : listeners_) send(message, listener);
  show(memfd_, status_);
}

void FrontKeeper::set_service(const Settings& settings, const std::vector<Listener>& listeners) {
  settings_ = settings;
  listeners_.clear();
  for (const Listener& listener : listeners) listeners_.push_back(listener.socket.get());
  hand_over();
}

void FrontKeeper::show(int memfd, const SupervisorStatus& status) {
  memfd_ = memfd;
  status_ = status;
  if (!child_.running()) return;
  Message message;
  message.type = MessageType::view;
  message.status = status;
  send(message, memfd);
}

void FrontKeeper::start(Nanoseconds now) {
  auto child = spawn_({"internal-front"});
  if (!child) {
    next_start_ = now + std::chrono::seconds(1);
    return log_.error("starting the front: " + child.error().message);
  }
  child_ = *std::move(child);
  started_ = last_sign_ = now;
  alive_ = false;
  hand_over();
}

void FrontKeeper::turn(Nanoseconds now) {
  forward_log(child_);
  while (child_.running()) {
    auto received = receive_message(child_.channel.get(), false);
    if (!received || !*received) break;
    if ((*received)->message.type != MessageType::alive) continue;
    alive_ = true;
    last_sign_ = now;
  }
  if (child_.running() && now - last_sign_ >= kSilence) {
    log_.warn("the front has not answered for 10 s and is replaced");
    last_sign_ = now;
    force_stop();
  }
  if (child_.running() && reap_child(child_)) {
    alive_ = false;
    if (stopping_) return;
    next_start_ = now + delay_.after(now - started_);
    log_.warn("the front ended and is replaced");
  }
  if (!child_.running() && !stopping_ && now >= next_start_) start(now);
}

Nanoseconds FrontKeeper::next_turn() const {
  if (child_.running()) return last_sign_ + kSilence;
  return stopping_ ? Nanoseconds::max() : next_start_;
}

void FrontKeeper::add_polls(std::vector<pollfd>& polls) const {
  if (!child_.running()) return;
  polls.push_back({child_.channel.get(), POLLIN, 0});
  polls.push_back({child_.pidfd.get(), POLLIN, 0});
  polls.push_back({child_.log.get(), POLLIN, 0});
}

void FrontKeeper::begin_stop() {
  stopping_ = true;
  if (!child_.running()) return;
  Message message;
  message.type = MessageType::stop;
  send(message);
}

void FrontKeeper::force_stop() {
  if (!child_.running()) return;
  if (const auto killed = kill_child(child_); !killed) log_.error("the front: " + killed.error().message);
}

}  // namespace defused
