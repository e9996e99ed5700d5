// SPDX-License-Identifier: Apache-2.0
// Remedy: carries out one abort in the order of DESIGN.md section 6:
//   audit `intent` (whole evidence, fsynced) -> note the intent in the Ledger and hand it over -> open the abort file
//   -> read everything again and compare identities -> write -> watch the namespace until it is gone -> record the
//   outcome.
// Must not: write without a second reading that says the same, act twice on one order, log.
#pragma once

#include <string>

#include "base/clock.h"
#include "base/result.h"
#include "model/history.h"
#include "model/report.h"
#include "remedy/aborter.h"

namespace defused {

/// Appends whole lines to the audit log; each is on disk when it returns. Errors: denied, io, gone.
class AuditLog {
 public:
  AuditLog() = default;
  AuditLog(const AuditLog&) = delete;
  AuditLog& operator=(const AuditLog&) = delete;
  virtual ~AuditLog() = default;
  virtual Result<void> append(const std::string& line) = 0;
};

/// JSON lines in `<directory>/audit.jsonl`, mode 0600; the last directory of the path is created with 0700 if absent.
/// Records are `defused.audit/v1`, see audit_record.h. A symbolic link or anything but a regular file is refused. A
/// torn last line (a write that was cut off) is ended before the next one.
class AuditFile final : public AuditLog {
 public:
  explicit AuditFile(std::string directory) : directory_(std::move(directory)) {}
  /// `line` comes without its newline; malformed: it has one inside.
  Result<void> append(const std::string& line) override;
  /// Whether a line could be written and fsynced now (opens or creates and fsyncs the file, writes nothing).
  [[nodiscard]] Result<void> check() const;

 private:
  std::string directory_;
};

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
  /// A cheap reading of what is left of `finding`: see NamespaceRest.
  struct NamespaceRest {
    bool gone = false;              ///< its init does not exist any more
    bool connection_wedged = true;  ///< one of the blocked threads of the aborted connection is still blocked there
  };
  virtual Result<NamespaceRest> look_at_rest(const NamespaceFinding& finding, ConnectionId connection) = 0;
  /// Called with the Ledger as it stands (intent noted) before the write, and after the outcome: hand it to the
  /// supervisor.
  virtual void publish(const Ledger& ledger) = 0;
};

struct RemedyOrder {
  NamespaceFinding finding;
  ConnectionFinding connection;
  Decision decision;  ///< action == abort
};

/// Carries out `order`, notes it in `ledger` (the last of its entries, without an outcome until there is one) and
/// returns what came of it. Waits up to `watch` after the write. Each step that fails ends it:
///
///   step                            | fails                                  | outcome
///   --------------------------------|----------------------------------------|---------------------------------------
///   the order is one to abort       | hold, or another connection            | skipped_identity_changed, no record
///   audit `intent`                  | any error                              | write_failed, no ledger entry: nothing
///                                   |                                        | was attempted, the caller tells it
///   open the abort file             | gone / else                            | skipped_identity_changed / write_failed
///   read again, compare, decide     | error, differs, or another decision    | skipped_identity_changed
///   write                           | any error                              | write_failed
///   watch                           | namespace gone                         | released
///                                   | deadline, nobody waits for it any more | partly_released
///                                   | deadline, or not readable              | not_released
///   audit `outcome`                 | any error                              | told in `detail`, outcome stays
OutcomeRecord carry_out(const RemedyOrder& order, Aborter& aborter, AuditLog& audit, World& world, Clock& clock,
                        Ledger& ledger, Nanoseconds watch);

/// Marks entries without outcome as `interrupted` (a prober died between intent and outcome) and returns their records:
/// they count for cooldown and limit, and the write is never repeated. Appends one audit record each, as far as that is
/// possible (what could not be recorded is told in `detail`).
std::vector<OutcomeRecord> settle_interrupted(Ledger& ledger, AuditLog& audit, Instant now);

/// Empty if `now` is the same situation as `before`, else a sentence that says what differs. Compared are the
/// namespace's inode, its init's PID and start time; each thread that waited for the connection of the order: TID,
/// start time, context switches, and that it still waits for it; the connection's directory inode, mount ids and
/// file-system type. Users, viewers and servers are not compared but judged again: by the decision of the second look.
std::string describe_difference(const RemedyOrder& before, const World::SecondLook& now);

}  // namespace defused
