// SPDX-License-Identifier: Apache-2.0
// `defused abort N`: the daemon's own way to an abort, with a person in the place of `mode: enforce`. It looks, shows
// the gates, asks, takes the actor lock, and lets the prober look and act once more.
#include <unistd.h>

#include <algorithm>
#include <iostream>

#include "base/text.h"
#include "daemon/abort_answer.h"
#include "daemon/abort_text.h"
#include "daemon/accounting.h"
#include "daemon/actor_lock.h"
#include "daemon/commands/commands.h"
#include "daemon/commands/look.h"
#include "daemon/commands/operator.h"
#include "daemon/configuration.h"
#include "daemon/exit_codes.h"
#include "daemon/one_shot.h"
#include "daemon/start_checks.h"
#include "daemon/terminal.h"
#include "model/find_connection.h"
#include "model/sentences.h"

namespace defused {

namespace {

constexpr std::size_t kMaxReason = 256;

Result<ConnectionId> parse_connection(const std::string& text) {
  constexpr std::size_t kShown = 64;  // of what was typed
  const auto value = parse_u64(text);
  if (value && *value > 0 && *value <= 0xFFFFFFFFU) return ConnectionId{static_cast<std::uint32_t>(*value)};
  return fail(ErrorKind::malformed,
              "N: expected the number of a connection, as `defused connections` shows it, got \"" +
                  sanitize(text, kShown) + "\"");
}

std::vector<Decision> decisions_for(const Report& report, ConnectionId id) {
  std::vector<Decision> out;
  for (const Decision& decision : report.decisions) {
    if (decision.connection == id) out.push_back(decision);
  }
  return out;
}

bool only_age_holds(const std::vector<Decision>& decisions) {
  return std::any_of(decisions.begin(), decisions.end(), [](const Decision& decision) {
    return std::all_of(decision.reasons.begin(), decision.reasons.end(),
                       [](Gate gate) { return gate == Gate::too_young || gate == Gate::too_few_samples; });
  });
}

// Returns kExitOk where it may go on.
int check_answer(const AbortOptions& options, ConnectionId id) {
  if (options.yes) return kExitOk;
  if (options.look.json) return refuse(kExitNotConfirmed, "with --json nobody is asked: say --yes to abort it");
  if (isatty(STDIN_FILENO) != 1) {
    return refuse(kExitNotConfirmed, "standard input is no terminal: say --yes where nobody can be asked");
  }
  std::cout << render_abort_question(id, look_at_screen(STDOUT_FILENO)) << std::flush;
  std::string answer;
  std::getline(std::cin, answer);
  return answer == number(id) ? kExitOk : refuse(kExitNotConfirmed, "not confirmed; nothing was written");
}

class AbortByHand {
 public:
  AbortByHand(const AbortOptions& options, Settings settings, ConnectionId id)
      : options_(options), settings_(std::move(settings)) {
    answer_.connection = id;
  }

  int run() {
    answer_.exit_code = look_and_act();
    return options_.look.json ? print(render_abort_json(answer_), answer_.exit_code) : answer_.exit_code;
  }

 private:
  // For people: as JSON all is told at the end.
  void tell(const std::string& text) const {
    if (!options_.look.json) std::cout << text;
  }
  void say(const std::string& sentence) const { tell(say_wrapped(sentence, screen_)); }

  int look_and_act() {
    if (auto made = make_state_directory(settings_); !made) return refuse(kExitFailure, made.error().message);
    Wish wish;
    wish.whole_index = true;
    wish.by_hand = HandOrder{answer_.connection, ByHand{operator_uid(), options_.override_reason.value_or("")}};
    auto probe = Probe::start(settings_, wish);
    if (!probe) return refuse(kExitFailure, probe.error().message);
    probe_ = *std::move(probe);
    const bool looked = probe_->look(options_.look.samples, options_.look.every);
    const int held = judge(looked);
    if (held != kExitOk) return held;
    const int confirmed = check_answer(options_, answer_.connection);
    return confirmed == kExitOk ? act() : confirmed;
  }

  void keep(const std::vector<Decision>& decisions) {
    answer_.pid_namespaces.clear();
    for (const Decision& decision : decisions) answer_.pid_namespaces.push_back(decision.pid_namespace);
    answer_.gates = any_abort(decisions) ? std::vector<GateInWords>() : put_in_words(decisions);
  }

  int judge(bool looked) {
    const ConnectionId id = answer_.connection;
    const OneShot& shot = probe_->so_far();
    if (!looked || !shot.pass || !has_diagnosis(shot.pass->report)) {
      return refuse(kExitFailure, shot.trouble.empty() ? "the processes could not be listed" : shot.trouble);
    }
    const Report& report = shot.pass->report;
    const ConnectionFinding* connection = find_connection(report, id);
    if (connection == nullptr) {
      return refuse(kExitNothingThere, "there is no connection " + number(id) + " in /sys/fs/fuse/connections");
    }
    const auto decisions = decisions_for(report, id);
    keep(decisions);
    tell(render_abort_subject(report, *connection, decisions, settings_.expose_source, screen_));
    tell(render_gates(put_in_words(decisions), screen_));
    if (decisions.empty()) {
      say("no dying PID namespace is held by it, so there is nothing to free; what it does: defused explain "
          "connection:" +
          number(id));
      return kExitHeld;
    }
    if (any_abort(decisions)) return kExitOk;
    if (only_age_holds(decisions)) say("go past these with --override REASON, if you know why it is stuck");
    say("nothing was written");
    return kExitHeld;
  }

  int act() {
    SystemClock clock;
    ActorLock lock(settings_.state_directory);
    if (auto taken = take_patiently(lock, kLockPatience, clock); !taken) return refuse_lock(taken.error());
    settings_.policy.mode = Mode::enforce;
    const std::uint32_t before = probe_->so_far().samples;
    if (probe_->give_settings(settings_)) probe_->look(1, options_.look.every);
    // It ends, or has SIGKILL pending, before the lock is let go of.
    const OneShot end = probe_->end();
    if (!end.trouble.empty()) complain(end.trouble);
    if (end.samples == before || !end.pass) return refuse(kExitFailure, "the prober ended early; see the audit log");
    return tell_end(end.pass->report);
  }

  int tell_end(const Report& report) {
    for (const OutcomeRecord& record : report.outcomes) {
      if (record.connection != answer_.connection) continue;
      answer_.outcome = record;
      tell(render_abort_outcome(record, screen_));
      if (record.outcome == Outcome::released) return kExitOk;
      return may_have_written(record.outcome) ? kExitNotFreed : kExitHeld;
    }
    const auto decisions = decisions_for(report, answer_.connection);
    keep(decisions);
    if (any_abort(decisions)) {
      say("what came of it is not known: see the audit log; it is not tried again");
      return kExitNotFreed;
    }
    tell(render_gates(put_in_words(decisions), screen_));
    if (!report.remedy.record_trouble.empty()) say(report.remedy.record_trouble);
    say("nothing was written");
    return kExitHeld;
  }

  const AbortOptions& options_;
  Settings settings_;
  const Screen screen_ = look_at_screen(STDOUT_FILENO);
  AbortAnswer answer_;
  std::unique_ptr<Probe> probe_;
};

}  // namespace

int abort_command(const AbortOptions& options) {
  const auto id = parse_connection(options.connection);
  if (!id) return refuse_word("abort", id.error().message);
  if (options.override_reason && (options.override_reason->empty() || options.override_reason->size() > kMaxReason ||
                                  sanitize(*options.override_reason) != *options.override_reason)) {
    return refuse_word("abort", "--override: expected a reason of 1 to 256 printable bytes");
  }
  if (geteuid() != 0) return refuse(kExitNotPermitted, "abort needs root: only root may write an abort file");
  auto settings = load_settings(options.look.config);
  if (!settings) return refuse(kExitUsage, settings.error().message);
  if (settings->policy.require_host_pid_namespace && !is_in_host_pid_namespace())
    return refuse(kExitNotPermitted, own_pid_namespace_sentence());
  // A write that fails would count for the circuit breaker, and nothing was wrong with the action.
  if (is_fusectl_read_only()) return refuse(kExitNotPermitted, read_only_fusectl_sentence());
  return AbortByHand(options, for_one_look(*std::move(settings), Mode::dry_run), *id).run();
}

}  // namespace defused
