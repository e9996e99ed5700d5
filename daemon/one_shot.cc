// SPDX-License-Identifier: Apache-2.0
#include "daemon/one_shot.h"

#include <poll.h>

#include <algorithm>
#include <array>

#include "daemon/channel.h"
#include "daemon/lost_processes.h"
#include "daemon/spawn.h"
#include "model/codec.h"
#include "procfs/proc_root.h"

namespace defused {

namespace {

// On top of a pass_deadline for each sample: phases that may take longer (hazards, surroundings) come in few of them.
constexpr Nanoseconds kReserve = std::chrono::seconds(10);

class ChildProbe final : public Probe {
 public:
  ChildProbe(Child child, Settings settings, bool records)
      : child_(std::move(child)), settings_(std::move(settings)), records_(records) {}
  ~ChildProbe() override {
    if (child_.running()) stop();
  }

  bool look(std::uint32_t samples, Nanoseconds every) override {
    end_ = clock_.now().boottime + samples * (every + settings_.pass_deadline) + kReserve + acting_time();
    if (!started_ && !begin()) return false;
    for (std::uint32_t i = 0; i < samples; ++i) {
      if (i > 0) clock_.sleep(every);
      Message order;
      order.type = MessageType::start_pass;
      order.pass = ++pass_;
      // No bar: nothing acts in the modes of a look, and for an action the command holds the lock.
      order.readers = static_cast<std::uint32_t>(ReadLimits{}.readers);
      deadline_ = clock_.now().boottime + settings_.pass_deadline;
      step_ = "processes";
      if (!give(order) || !wait_for_pass(order.pass)) return false;
    }
    return true;
  }

  bool give_settings(const Settings& settings) override {
    settings_ = settings;
    return give_settings();
  }

  OneShot end() override {
    if (child_.running()) stop();
    return std::move(out_);
  }

  [[nodiscard]] const OneShot& so_far() const override { return out_; }

 private:
  [[nodiscard]] Nanoseconds acting_time() const {
    if (settings_.policy.mode != Mode::enforce) return Nanoseconds(0);
    constexpr int kSteps = 8;  // each with a deadline of its own: reading again, records, evidence
    return settings_.remedy.watch + 2 * settings_.remedy.hook_timeout + kSteps * settings_.pass_deadline;
  }

  bool give_settings() {
    const auto memfd = make_sealed_memfd("defused-settings", encode_settings(settings_));
    if (!memfd) {
      out_.trouble = "the settings cannot be handed over: " + memfd.error().message;
      return false;
    }
    Message message;
    message.type = MessageType::settings;
    return give(message, memfd->get());
  }

  bool begin() {
    started_ = true;
    if (!give_settings()) return false;
    Message message;
    message.type = MessageType::seed;
    deadline_ = clock_.now().boottime + settings_.pass_deadline;
    step_ = "start";
    return give(message) && wait_for([](const Message& m) { return m.type == MessageType::ready; });
  }

  bool give(const Message& message, int descriptor = -1) {
    const auto sent = send_message(child_.channel.get(), message, descriptor);
    if (!sent) out_.trouble = "the prober takes no orders: " + sent.error().message;
    return sent.has_value();
  }

  // The report of the pass comes before its idle phase, and what it was read from behind that.
  bool wait_for_pass(std::uint64_t pass) {
    const std::size_t looks = out_.looks.size();
    const auto is_over = [&](const Message& m) {
      if (m.pass != pass) return false;
      return records_ ? m.type == MessageType::recording : m.type == MessageType::phase && m.max_ms == 0;
    };
    return wait_for(is_over) && (!records_ || out_.looks.size() > looks);
  }

  template <typename Predicate>
  bool wait_for(Predicate done) {
    while (true) {
      const Nanoseconds until = std::min(deadline_, end_);
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - clock_.now().boottime).count();
      std::array<pollfd, 2> ready = {pollfd{child_.channel.get(), POLLIN, 0}, pollfd{child_.log.get(), POLLIN, 0}};
      if (left <= 0 || poll(ready.data(), ready.size(), static_cast<int>(left)) == 0) {
        out_.trouble = "the prober did not come back from '" + step_ + "' in time; what follows is what it said before";
        return false;
      }
      forward_log(child_);
      auto received = receive_message(child_.channel.get(), false);
      if (!received) {
        out_.trouble = "the prober ended early: " + received.error().message;
        return false;
      }
      if (!*received) continue;
      take(**received);
      if (done((*received)->message)) return true;
    }
  }

  void take(const Received& received) {
    const Message& message = received.message;
    if (message.type == MessageType::phase && message.max_ms > 0) {
      step_ = message.phase;
      deadline_ = clock_.now().boottime + std::chrono::milliseconds(message.max_ms);
    }
    if (message.type == MessageType::recording) return take_recording(received.descriptor);
    if (message.type != MessageType::report) return;
    auto pass = decode_memfd(received.descriptor.get(), &decode_pass);
    if (!pass) return;
    out_.pass = *std::move(pass);
    ++out_.samples;
  }

  void take_recording(const UniqueFd& descriptor) {
    auto look = descriptor ? decode_memfd(descriptor.get(), &decode_tree)
                           : Result<FileTree>(fail(ErrorKind::gone, "the prober could not hand it over"));
    if (look) {
      out_.looks.push_back(*std::move(look));
    } else {
      out_.trouble = "what was read in a look did not come: " + look.error().message;
    }
  }

  void stop() {
    Message message;
    message.type = MessageType::stop;
    const bool told = send_message(child_.channel.get(), message).has_value();
    if (told && wait_child(child_, 200)) return;
    const ProcessId id = child_.id;
    [[maybe_unused]] const auto killed = kill_child(child_);
    if (wait_child(child_, 300)) return;
    forward_log(child_);
    out_.trouble += (out_.trouble.empty() ? "" : "; ") + std::string("left behind: unkillable prober ") + name_of(id);
    child_ = Child{};
  }

  Child child_;
  Settings settings_;
  bool records_;
  SystemClock clock_;
  OneShot out_;
  Nanoseconds end_{0};       ///< of all
  Nanoseconds deadline_{0};  ///< of the step
  std::string step_;
  std::uint64_t pass_ = 0;
  bool started_ = false;
};

}  // namespace

Settings for_one_look(Settings settings, Mode mode) {
  settings.policy.mode = mode;
  settings.detect.include_young = true;
  settings.log.level = LogLevel::error;
  return settings;
}

Result<std::unique_ptr<Probe>> Probe::start(const Settings& settings, const Wish& wish) {
  const auto self = open_self();
  if (!self) return Failure(self.error());
  std::vector<std::string> arguments = {"internal-prober"};
  if (wish.whole_index) arguments.emplace_back("--whole-index");
  if (wish.subject) arguments.push_back("--subject=" + describe_subject(*wish.subject));
  if (wish.by_hand) {
    arguments.emplace_back("--keep-records");
    arguments.push_back("--abort=" + std::to_string(wish.by_hand->connection.kernel_dev));
    arguments.push_back("--uid=" + std::to_string(wish.by_hand->by.uid));
    const std::string& reason = wish.by_hand->by.override_reason;
    if (!reason.empty()) arguments.push_back("--override=" + reason);
  }
  const bool records = wish.recording != Recording::none;
  if (records)
    arguments.push_back(std::string("--record=") + (wish.recording == Recording::all ? "all" : "candidates"));
  auto child = spawn_self(self->get(), arguments);
  if (!child) return prepend("starting the prober", child.error());
  return std::unique_ptr<Probe>(std::make_unique<ChildProbe>(*std::move(child), settings, records));
}

Result<OneShot> probe_once(const Settings& settings, std::uint32_t samples, Nanoseconds every, const Wish& wish) {
  const auto probe = Probe::start(settings, wish);
  if (!probe) return Failure(probe.error());
  (*probe)->look(samples, every);
  return (*probe)->end();
}

}  // namespace defused
