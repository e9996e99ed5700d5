// SPDX-License-Identifier: Apache-2.0
#include "remedy/attempt.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <optional>
#include <utility>
#include <vector>

namespace defused {

namespace {

// Short beside the milliseconds that a freed namespace takes to go (KERNEL.md 5), long beside two reads of /proc.
constexpr Nanoseconds kWatchStep = std::chrono::milliseconds(50);
constexpr std::size_t kMaxNamed = 5;

std::string name_of(ConnectionId id) { return "connection " + std::to_string(id.kernel_dev); }

std::string name_of(NamespaceId id) { return "PID namespace " + std::to_string(id.inode); }

std::string seconds_text(Nanoseconds duration) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.1f s", to_seconds(duration));
  return text.data();
}

// "4712 (s3fs, fuse_flush in request_wait_answer)".
std::string describe_thread(const BlockedThread& thread) {
  std::string text = std::to_string(thread.id.tid) + " (" + thread.comm;
  if (thread.wait_class != WaitClass::unknown) text += ", " + std::string(to_string(thread.wait_class));
  const std::string& function = thread.stack.empty() ? thread.wchan : thread.stack.front();
  if (!function.empty()) text += (thread.wait_class == WaitClass::unknown ? ", in " : " in ") + function;
  return text + ")";
}

std::string name_threads(const std::vector<BlockedThread>& threads) {
  std::string names;
  for (std::size_t i = 0; i < std::min(threads.size(), kMaxNamed); ++i) {
    names += (i == 0 ? "" : ", ") + describe_thread(threads[i]);
  }
  if (threads.size() > kMaxNamed) names += " and " + std::to_string(threads.size() - kMaxNamed) + " more";
  return names;
}

std::vector<BlockedThread> waiting_threads(const RemedyOrder& order) {
  std::vector<BlockedThread> threads;
  for (const BlockedThread& thread : order.finding.blocked_threads) {
    if (thread.connection == order.connection.id) threads.push_back(thread);
  }
  return threads;
}

std::string describe_objection(const World::SecondLook& now, const RemedyOrder& order) {
  const auto made = std::find_if(now.decisions.begin(), now.decisions.end(),
                                 [&](const Decision& decision) { return decision.pid_namespace == order.finding.id; });
  if (made == now.decisions.end()) return "the second reading made no decision about it";
  if (made->action == Action::abort && made->connection == order.connection.id) return {};
  if (made->action == Action::abort) return "the second reading decides for another connection";
  std::string reasons;
  for (const Gate gate : made->reasons) reasons += (reasons.empty() ? "" : ", ") + std::string(to_string(gate));
  return "the second reading decides to hold: " + reasons;
}

class OneAbort {
 public:
  OneAbort(const RemedyOrder& order, const RemedyTools& tools, OutcomeRecord begun, const std::string& intent,
           Nanoseconds watch)
      : order_(order), tools_(tools), record_(std::move(begun)), intent_(intent), watch_(watch) {}

  OutcomeRecord run() {
    tools_.world.reach(RemedyStep::second_reading, intent_);
    auto armed = tools_.aborter.open(order_.connection.id, order_.connection.directory_inode);
    if (!armed) return end(not_opened(armed.error().kind), "opened", armed.error());
    if (std::string objection = confirm(); !objection.empty()) {
      return end(Outcome::skipped_identity_changed, std::move(objection));
    }
    tools_.world.reach(RemedyStep::write, intent_);
    if (auto written = (*armed)->write(); !written) return end(Outcome::write_failed, "written", written.error());
    armed->reset();
    return watch();
  }

 private:
  OutcomeRecord end(Outcome outcome, std::string detail) {
    record_.outcome = outcome;
    record_.detail = std::move(detail);
    return std::move(record_);
  }
  OutcomeRecord end(Outcome outcome, const std::string& what, const Error& error) {
    return end(outcome, "the abort file could not be " + what + ": " + describe_error(error));
  }

  // Without the connection, or without fusectl, there is nothing that could be written to.
  static Outcome not_opened(ErrorKind kind) {
    return kind == ErrorKind::gone || kind == ErrorKind::unsupported ? Outcome::skipped_identity_changed
                                                                     : Outcome::write_failed;
  }

  // Empty where a second reading says the same as the order.
  std::string confirm() {
    const auto now = tools_.world.look_again();
    if (!now) return "the second reading failed: " + now.error().message;
    if (auto difference = describe_difference(order_, *now); !difference.empty()) return difference;
    return describe_objection(*now, order_);
  }

  OutcomeRecord watch() {
    tools_.world.reach(RemedyStep::watch, intent_);
    const Nanoseconds begin = tools_.clock.now().boottime;
    std::optional<World::NamespaceRest> last;
    std::string trouble;
    while (true) {
      auto rest = tools_.world.look_at_rest(order_.finding, order_.connection);
      if (rest && rest->gone) return released();
      trouble = rest ? std::string() : rest.error().message;
      if (rest) last = *std::move(rest);
      const Nanoseconds passed = tools_.clock.now().boottime - begin;
      if (passed >= watch_) break;
      tools_.clock.sleep(std::min(kWatchStep, watch_ - passed));
    }
    return still_there(last, trouble);
  }

  OutcomeRecord released() {
    record_.recovery = std::max(tools_.clock.now().wall - order_.finding.since, Nanoseconds(0));
    return end(Outcome::released, name_of(order_.finding.id) + " is gone after the abort of " +
                                      name_of(order_.connection.id) + ", " + seconds_text(record_.recovery) +
                                      " after it got stuck");
  }

  OutcomeRecord still_there(const std::optional<World::NamespaceRest>& last, const std::string& trouble) {
    const bool freed = last && !last->connection_wedged;
    std::string detail = name_of(order_.connection.id) + " was aborted, but after " + seconds_text(watch_) + " " +
                         name_of(order_.finding.id) + " is still there; ";
    detail += freed ? describe_freed(*last) : describe_wedged(last);
    if (!trouble.empty()) detail += "; the last look failed: " + trouble;
    if (!freed) detail += "; if nothing else frees it, this host has to be rebooted";
    return end(freed ? Outcome::partly_released : Outcome::not_released, std::move(detail));
  }

  static std::string describe_freed(const World::NamespaceRest& last) {
    const std::string freed = "nobody waits for this connection any more, ";
    if (last.still_blocked.empty()) return freed + "and no thread that was blocked is left";
    return freed + "but these are still there: " + name_threads(last.still_blocked);
  }

  [[nodiscard]] std::string describe_wedged(const std::optional<World::NamespaceRest>& last) const {
    if (!last) return "what is left could not be read; blocked before: " + name_threads(waiting_threads(order_));
    if (last->still_blocked.empty()) return "its requests still wait, but no thread that was blocked is left";
    return "still blocked: " + name_threads(last->still_blocked);
  }

  const RemedyOrder& order_;
  const RemedyTools& tools_;
  OutcomeRecord record_;
  const std::string& intent_;
  Nanoseconds watch_;
};

}  // namespace

OutcomeRecord attempt_abort(const RemedyOrder& order, const RemedyTools& tools, OutcomeRecord begun,
                            const std::string& intent, Nanoseconds watch) {
  return OneAbort(order, tools, std::move(begun), intent, watch).run();
}

}  // namespace defused
