// SPDX-License-Identifier: Apache-2.0
// Remedy: carries out one abort in the order of DESIGN.md section 6 (docs/decisions/0003, 0006):
//   audit `intent` (whole evidence, fsynced) -> ledger with the intent, on disk -> before-hook, which may veto -> open
//   the abort file -> read everything again and compare identities -> write -> watch the namespace until it is gone ->
//   audit `outcome` -> ledger with the outcome -> after-hook.
// Must not: write without a second reading that says the same, act twice on one order, log.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "model/history.h"
#include "model/report.h"
#include "remedy/aborter.h"
#include "remedy/audit_file.h"
#include "remedy/hook.h"
#include "remedy/ledger_file.h"

namespace defused {

/// The steps of one abort, in their order.
enum class RemedyStep { intent, before_hook, second_reading, write, watch, outcome, after_hook };
std::string_view to_string(RemedyStep step);

/// What Remedy needs of the rest of the prober; the daemon wires it to procfs, fusectl, detect and policy.
class World {
 public:
  World() = default;
  World(const World&) = delete;
  World& operator=(const World&) = delete;
  virtual ~World() = default;
  /// A whole second reading and its findings, the decision for it made under the same policy. `surroundings` were read
  /// anew.
  struct SecondLook {
    Findings findings;
    std::vector<Decision> decisions;  ///< same order as findings.namespaces
  };
  virtual Result<SecondLook> look_again() = 0;
  /// A cheap reading of what is left of `finding`.
  struct NamespaceRest {
    bool gone = false;              ///< its init does not exist any more, or is dead
    bool connection_wedged = true;  ///< a request of the aborted connection still waits, or that cannot be told
    std::vector<BlockedThread> still_blocked;  ///< those of `finding` that still exist, with what they wait in now
  };
  virtual Result<NamespaceRest> look_at_rest(const NamespaceFinding& finding, const ConnectionFinding& connection) = 0;
  /// Told before each step, with the audit record that it is about where there is one: the supervisor's deadline is
  /// that of the step.
  virtual void reach(RemedyStep step, const std::string& record) = 0;
  /// Notes the outcome in the circuit breaker of `ledger`, before the ledger is saved.
  virtual void settle(Ledger& ledger, const OutcomeRecord& record) = 0;
};

/// Who asked for an abort by hand, and with which reason the age was overridden ("": it was not).
struct ByHand {
  uid_t uid = 0;
  std::string override_reason;
};

struct RemedyOrder {
  NamespaceFinding finding;
  ConnectionFinding connection;
  Decision decision;  ///< action == abort
  std::optional<ByHand> by_hand = {};
};

struct RemedyTools {
  Aborter& aborter;
  AuditLog& audit;
  LedgerStore& store;
  Hooks& hooks;
  World& world;
  Clock& clock;
};

/// What became of an order.
struct Attempt {
  std::optional<OutcomeRecord> outcome;  ///< nothing: nothing was attempted, and `unwritable` says why
  std::string unwritable;                ///< the record that could not be brought to disk, as a sentence
  HookResult after;                      ///< its failure changes nothing
};

/// Carries out `order`, notes it in `ledger` (the last of its entries, without an outcome until there is one) and
/// returns what came of it. Waits up to `watch` after the write. Each step that fails ends it:
///
///   step                            | fails                                  | outcome
///   --------------------------------|----------------------------------------|---------------------------------------
///   the order is one to abort       | hold, or another connection            | skipped_identity_changed, no record
///   audit `intent`                  | any error                              | none: held by record_unwritable
///   save the ledger with the intent | any error                              | none: held by record_unwritable; an
///                                   |                                        | audit `outcome` vetoes the intent
///   before-hook                     | exits with another code than 0, cannot | vetoed
///                                   | be run, takes too long                 |
///   open the abort file             | gone, or no fusectl mount / else       | skipped_identity_changed / write_failed
///   read again, compare, decide     | error, differs, or another decision    | skipped_identity_changed
///   write                           | any error                              | write_failed
///   watch                           | namespace gone                         | released
///                                   | deadline, nobody waits for it any more | partly_released
///                                   | deadline, or not readable              | not_released
///   audit `outcome`, save the ledger| any error                              | told in `detail`, outcome stays
///   after-hook                      | any error                              | outcome stays; Attempt::after
Attempt carry_out(const RemedyOrder& order, const RemedyTools& tools, Ledger& ledger, Nanoseconds watch);

/// The entry as it is told; one without outcome as `interrupted`.
OutcomeRecord record_of(const LedgerEntry& entry);

/// Marks entries without outcome as `interrupted` (a prober died between intent and outcome) and returns their records:
/// they count as failed, for cooldown and limit, and the write is never repeated. Appends one audit record each, as far
/// as that is possible (what could not be recorded is told in `detail`). The caller notes them in the breaker and
/// saves.
std::vector<OutcomeRecord> settle_interrupted(Ledger& ledger, AuditLog& audit, Instant now);

/// "Permission denied (EACCES)": the text of an errno with its name.
std::string describe_errno(int code);

/// The message of `error`, at its end the name of the errno where one is known: "opening abort: Permission denied
/// (EACCES)".
std::string describe_error(const Error& error);

/// Empty if `now` is the same situation as `before`, else a sentence that says what differs. Compared are the
/// namespace's inode, its init's PID and start time; each thread that waited for the connection of the order: TID,
/// start time, context switches, and that it still waits for it; the connection's directory inode, mount ids and
/// file-system type. Users, viewers and servers are not compared but judged again: by the decision of the second look.
std::string describe_difference(const RemedyOrder& before, const World::SecondLook& now);

}  // namespace defused
