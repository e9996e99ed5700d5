// SPDX-License-Identifier: Apache-2.0
#include "daemon/prober.h"

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <optional>

#include "base/file_tree.h"
#include "base/text.h"
#include "daemon/channel.h"
#include "daemon/cycle.h"
#include "daemon/exit_codes.h"
#include "daemon/log.h"
#include "daemon/prober_sandbox.h"
#include "daemon/process_usage.h"
#include "daemon/spawn.h"
#include "model/codec.h"
#include "procfs/read_parsed.h"
#include "remedy/audit_file.h"

namespace defused {

namespace {

bool is_there(const ProcRoot& proc, const ProcessId& id) {
  const auto stat = read_stat(proc.files(), std::to_string(id.pid) + "/");
  return stat ? stat->start_ticks == id.start_ticks : stat.error().kind != ErrorKind::gone;
}

class Prober {
 public:
  Prober(UniqueFd channel, const ProberOptions& options) : channel_(std::move(channel)), options_(options) {}

  int run() {
    while (true) {
      auto received = receive_message(channel_.get(), true);
      if (!received) return kExitOk;  // the supervisor is gone, and with it the service
      if (!*received) continue;
      if ((*received)->message.type == MessageType::stop) return kExitOk;
      if (!handle(**received)) return kExitFailure;
    }
  }

 private:
  bool handle(Received& received) {
    switch (received.message.type) {
      case MessageType::settings: return take_settings(received.descriptor.get());
      case MessageType::seed: return take_seed(received.descriptor.get());
      case MessageType::start_pass:
        if (cycle_) run_pass(received.message);
        return true;
      default: return true;
    }
  }

  bool take_settings(int descriptor) {
    auto settings = decode_memfd(descriptor, &decode_settings);
    if (!settings) return complain("settings", settings.error());
    log_ = std::make_unique<Logger>(settings->log, "prober");
    step_limit_ = settings->pass_deadline;
    if (cycle_) {
      cycle_->set_settings(*std::move(settings));
      return true;
    }
    const auto writable = look_for_read_only(settings->state_directory);
    if (!confine(*settings)) return false;
    CycleSources sources;
    if (!writable) sources.records_read_only = writable.error().message;
    sources.own = OwnProcesses{getpid(), getppid()};
    sources.subject = options_.subject;
    sources.whole_index = options_.whole_index;
    sources.records = options_.keeps_records ? RecordUse::keep : RecordUse::read;
    sources.by_hand = options_.by_hand;
    sources.recording = options_.record;
    CycleEvents events;
    events.phase = [this](std::string_view name, Nanoseconds at_most) { announce(name, at_most); };
    events.publish = [this](const PassResult& pass) { publish(pass); };
    events.left_behind = [this](pid_t reader) { tell_left_behind(reader); };
    events.changed = [this](const LogLine& line) { log_->write(line); };
    auto cycle = Cycle::create(*std::move(settings), std::move(sources), std::move(events), clock_);
    if (!cycle) return complain("start", cycle.error());
    cycle_ = *std::move(cycle);
    return true;
  }

  // As soon as it is known what it has to be able to do, and before anything of the host is read. `defused abort` looks
  // first and acts later, in the same process.
  bool confine(const Settings& settings) {
    Settings meant = settings;
    if (options_.by_hand) meant.policy.mode = Mode::enforce;
    SandboxPlan plan = plan_sandbox(meant);
    plan.writes_state = options_.keeps_records;
    const auto notes = confine_prober(plan);
    if (!notes) return complain("the sandbox", notes.error());
    for (const std::string& note : *notes) log_->info(note);
    usage_.emplace();
    return true;
  }

  bool take_seed(int descriptor) {
    if (descriptor >= 0 && cycle_) {
      auto pass = decode_memfd(descriptor, &decode_pass);
      // Without its memory a prober starts anew: ages begin again, which holds actions back.
      if (pass)
        cycle_->seed(std::move(pass->memory));
      else
        complain("the memory of the last prober", pass.error());
    }
    tell_lost();
    Message message;
    message.type = MessageType::ready;
    send(message);
    return true;
  }

  void tell_lost() {
    const auto proc = ProcRoot::open();
    for (const ProcessId& id : options_.lost) {
      if (!proc || is_there(*proc, id)) continue;
      Message message;
      message.type = MessageType::lost_gone;
      message.process = id;
      send(message);
    }
  }

  void run_pass(const Message& order) {
    // Readers that were left behind and have ended after all; there are no other children between two passes.
    while (waitpid(-1, nullptr, WNOHANG) > 0) continue;
    pass_ = order.pass;
    cycle_->run(order.bar, order.readers);
    if (options_.record == Recording::none) return;
    announce("recording", step_limit_);
    hand_over_recording();
    announce("idle", Nanoseconds(0));
  }

  // Without a descriptor where there is none to be had: who waits for it must not wait for ever.
  void hand_over_recording() {
    const auto memfd = make_sealed_memfd("defused-recording", encode_tree(cycle_->take_recording()));
    if (!memfd) complain("handing over a recording", memfd.error());
    Message message;
    message.type = MessageType::recording;
    message.pass = pass_;
    send(message, memfd ? memfd->get() : -1);
  }

  void tell_left_behind(pid_t reader) {
    const auto proc = ProcRoot::open();
    const auto stat = proc ? read_stat(proc->files(), std::to_string(reader) + "/") : Failure(proc.error());
    const UniqueFd pidfd = open_pidfd(reader);
    Message message;
    message.type = MessageType::left_behind;
    message.process = {reader, stat ? stat->start_ticks : 0};
    send(message, pidfd.get());
  }

  void announce(std::string_view name, Nanoseconds at_most) {
    Message message;
    message.type = MessageType::phase;
    message.pass = pass_;
    message.max_ms = static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(at_most).count());
    std::memcpy(message.phase, name.data(), std::min(name.size(), sizeof message.phase - 1));
    send(message);
  }

  void publish(const PassResult& pass) {
    auto memfd = make_sealed_memfd("defused-report", encode_pass(pass));
    if (!memfd) {
      complain("handing over a report", memfd.error());
      return;
    }
    Message message;
    message.type = MessageType::report;
    message.pass = pass_;
    message.usage = usage_->read();
    send(message, memfd->get());
  }

  // A full channel drops the message: the supervisor is behind, and the next one says more.
  void send(const Message& message, int descriptor = -1) {
    [[maybe_unused]] const auto sent = send_message(channel_.get(), message, descriptor);
  }

  bool complain(std::string_view what, const Error& error) {
    if (log_) log_->error(std::string(what) + ": " + error.message);
    return false;
  }

  UniqueFd channel_;
  const ProberOptions& options_;
  SystemClock clock_;
  std::optional<UsageReader> usage_;  ///< once there is a /proc for good
  std::unique_ptr<Logger> log_;
  std::unique_ptr<Cycle> cycle_;
  Nanoseconds step_limit_{0};  ///< Settings::pass_deadline
  std::uint64_t pass_ = 0;
};

}  // namespace

std::vector<ProcessId> parse_lost(const std::string& text) {
  std::vector<ProcessId> lost;
  for (std::string_view entry : split_fields(text, ',')) {
    const auto pid = parse_u64(take_field(entry, ':'));
    const auto start = parse_u64(entry);
    if (!pid || !start) return {};
    lost.push_back(ProcessId{static_cast<pid_t>(*pid), *start});
  }
  return lost;
}

int run_prober(UniqueFd channel, const ProberOptions& options) { return Prober(std::move(channel), options).run(); }

}  // namespace defused
