// SPDX-License-Identifier: Apache-2.0
// `defused pause REASON` and `defused resume`: the inhibit file, and the circuit breaker that only an operator closes.
#include <unistd.h>

#include <cerrno>
#include <iostream>

#include "daemon/actor_lock.h"
#include "daemon/commands/commands.h"
#include "daemon/commands/operator.h"
#include "daemon/configuration.h"
#include "daemon/exit_codes.h"
#include "daemon/terminal.h"
#include "remedy/audit_file.h"
#include "remedy/audit_record.h"
#include "remedy/inhibit.h"
#include "remedy/ledger_file.h"

namespace defused {

namespace {

// What was done stands, also where it could not be written down: the operator is told.
void record(const Settings& settings, const std::string& line) {
  AuditFile audit(settings.state_directory, settings.audit);
  if (auto told = audit.append(line); !told) {
    complain("this could not be recorded in the audit log: " + told.error().message);
  }
}

// An earlier ledger that cannot be read is set aside: that is what the operator is asked to do.
Result<Ledger> load_or_set_aside(LedgerFile& file, Instant now) {
  auto loaded = file.load(now);
  if (loaded || loaded.error().kind != ErrorKind::malformed) return loaded;
  const auto aside = file.set_aside(now);
  if (!aside) return Failure(aside.error());
  std::cout << "the ledger could not be read (" << loaded.error().message << ") and was set aside as " << *aside
            << "\n";
  return Ledger{};
}

int reset_breaker(const Settings& settings) {
  SystemClock clock;
  ActorLock lock(settings.state_directory);
  if (auto taken = take_patiently(lock, kLockPatience, clock); !taken) return refuse_lock(taken.error());
  LedgerFile file(settings.state_directory, read_boot_id());
  auto ledger = load_or_set_aside(file, clock.now());
  if (!ledger) return refuse(kExitFailure, "the ledger cannot be read: " + ledger.error().message);
  const Breaker was = ledger->breaker;
  ledger->breaker = Breaker{};
  if (auto saved = file.save(*ledger); !saved) {
    return refuse(kExitFailure, "the ledger cannot be written: " + saved.error().message);
  }
  if (!was.is_open()) {
    std::cout << "the circuit breaker was closed; its count of failed actions begins anew\n";
    return kExitOk;
  }
  Breaker closed;
  closed.detail = "it was open: " + was.detail;
  record(settings, render_breaker(closed, operator_uid(), clock.now()));
  std::cout << "the circuit breaker is closed; it was open (" << to_string(was.cause) << "): " << was.detail << "\n";
  return kExitOk;
}

void mention_breaker(const Settings& settings) {
  const auto ledger = LedgerFile(settings.state_directory, read_boot_id()).load(SystemClock().now());
  const bool lost = !ledger && ledger.error().kind == ErrorKind::malformed;
  if (!lost && !(ledger && ledger->breaker.is_open())) return;
  std::cout << "the circuit breaker is still open and holds all actions: "
            << (lost ? "the ledger cannot be read: " + ledger.error().message : ledger->breaker.detail)
            << "\nwhen you have seen to it: defused resume --reset-breaker\n";
}

}  // namespace

int pause_command(const PauseOptions& options) {
  if (geteuid() != 0) return refuse(kExitNotPermitted, "pause needs root: it writes into the state directory");
  const auto settings = load_settings(options.config);
  if (!settings) return refuse(kExitUsage, settings.error().message);
  if (auto made = make_state_directory(*settings); !made) return refuse(kExitFailure, made.error().message);
  if (auto written = write_inhibition(settings->state_directory, options.reason); !written) {
    if (written.error().kind == ErrorKind::malformed) return refuse_word("pause", written.error().message);
    return refuse(kExitFailure, written.error().message);
  }
  record(*settings, render_inhibit(true, options.reason, operator_uid(), SystemClock().now()));
  std::cout << "paused: no connection is aborted until `defused resume`\n";
  return kExitOk;
}

int resume_command(const ResumeOptions& options) {
  if (geteuid() != 0) return refuse(kExitNotPermitted, "resume needs root: it writes into the state directory");
  const auto settings = load_settings(options.config);
  if (!settings) return refuse(kExitUsage, settings.error().message);
  if (auto made = make_state_directory(*settings); !made) return refuse(kExitFailure, made.error().message);
  const auto before = read_inhibition(settings->state_directory);
  const auto removed = remove_inhibition(settings->state_directory);
  if (!removed) return refuse(kExitFailure, removed.error().message);
  if (*removed) {
    const std::string reason = before ? before->reason : std::string();
    record(*settings, render_inhibit(false, reason, operator_uid(), SystemClock().now()));
    std::cout << "resumed; it was paused: " << reason << "\n";
  } else {
    std::cout << "it was not paused\n";
  }
  if (options.reset_breaker) return reset_breaker(*settings);
  mention_breaker(*settings);
  return kExitOk;
}

}  // namespace defused
