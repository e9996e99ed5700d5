// SPDX-License-Identifier: Apache-2.0
// Actor: what a pass needs to act, and what it has to leave on disk - ledger, audit log, inhibit file, evidence, hooks.
// The Cycle looks and decides; the Actor says what holds beside the findings, carries out one order and keeps the
// records. Must not: act or write the ledger while a bar is up, log.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "daemon/bar.h"
#include "daemon/log.h"
#include "daemon/recorded_look.h"
#include "model/history.h"
#include "model/report.h"
#include "model/settings.h"
#include "policy/decide.h"
#include "remedy/audit_file.h"
#include "remedy/inhibit.h"
#include "remedy/ledger_file.h"
#include "remedy/remedy.h"

namespace defused {

/// What a cycle does with ledger, audit log and evidence.
enum class RecordUse {
  read,  ///< looks: what the ledger and the inhibit file say holds, nothing is written
  keep,  ///< the daemon, and `defused abort`
};

/// `defused abort N`.
struct HandOrder {
  ConnectionId connection;
  ByHand by;
};

class Actor {
 public:
  using Tell = std::function<void(const LogLine& line)>;

  /// `boot_id`: that the ledger is read and written by (LedgerFile).
  /// `read_only`: why nothing can be recorded, found before the sandbox made it so for this process; "": it can.
  Actor(const Settings& settings, RecordUse use, std::string read_only, std::optional<HandOrder> by_hand,
        const std::string& boot_id, Clock& clock, Tell tell);
  void set_settings(const Settings& settings);

  /// Begins a pass: reads the ledger where it changed. Without a bar, and where records are kept,
  /// it settles what an earlier prober left open, and sets a ledger aside that cannot be read.
  void begin(Bar bar, Counters& counters);

  /// What holds beside the findings: the inhibit file is read. `asks_disk`: whether records can be written is tried, at
  /// most once a minute.
  [[nodiscard]] Restraints restraints(bool asks_disk);
  /// The same before acting: tried now.
  [[nodiscard]] Restraints restraints_now();
  /// The same between the second reading and the write: the inhibit file is read, the disk is not waited for.
  [[nodiscard]] Restraints restraints_at_hand();
  [[nodiscard]] const Ledger& ledger() const { return ledger_; }
  /// Whether the mode, or a person, lets a decision to abort be carried out.
  [[nodiscard]] bool may_act() const;
  /// How many bytes of readings are worth recording for one bundle; 0: none.
  [[nodiscard]] std::size_t evidence_bytes() const;

  /// Fills Report::remedy and Report::actions.
  void describe(Report& report) const;
  /// Records the decisions at these places of the report, as far as the audit log can be written.
  void record_decisions(const Report& report, const std::vector<std::size_t>& changed);

  /// What acting needs of the cycle.
  struct Surroundings {
    Aborter& aborter;
    std::function<Result<World::SecondLook>(const Ledger& before_intent, NamespaceId)> look_again;
    std::function<Result<World::NamespaceRest>(const NamespaceFinding&, const ConnectionFinding&)> look_at_rest;
    std::function<void(std::string_view phase, Nanoseconds at_most)> announce;
    std::function<std::string()> report;              ///< the pass as JSON, for the bundle
    std::function<void(const OutcomeRecord&)> ended;  ///< told as soon as the outcome is on disk
    std::string host;
    std::unique_ptr<Readings>& readings;  ///< what the decision was made from, to be taken; null: none were recorded
  };
  /// Carries out the decision. False: it is held by record_unwritable after all, and describe() says why.
  bool act(RemedyOrder order, const Surroundings& around, Counters& counters);

 private:
  [[nodiscard]] bool may_write(Bar bar) const;
  bool lacks_room();
  void load_ledger(bool may_write, Counters& counters);
  void lose_ledger(const Error& error, bool may_write);
  void compare_with_audit(Counters& counters);
  void settle_open(Counters& counters);
  void save_ledger();
  void note_in_breaker(Ledger& ledger, const OutcomeRecord& record);
  [[nodiscard]] bool is_record_unwritable(bool now);
  [[nodiscard]] const std::string& record_trouble() const;
  [[nodiscard]] Nanoseconds limit_of(RemedyStep step) const;
  void keep_evidence(const std::string& intent, const RemedyOrder& order, const Surroundings& around);
  void tell(LogLevel level, std::string text) const;
  void tell_trouble(const std::string& text);
  void count(const OutcomeRecord& record, Counters& counters) const;

  Settings settings_;
  RecordUse use_;
  std::string read_only_;
  std::optional<HandOrder> by_hand_;
  Clock& clock_;
  Tell tell_;
  AuditFile audit_;
  LedgerFile file_;
  Ledger ledger_;
  bool ledger_read_ = false;    ///< what is in ledger_ is what the file said, or was made of its loss
  bool unsaved_ = false;        ///< the last save failed: tried again in each pass
  bool compared_ = false;       ///< with the end of the audit log
  std::string ledger_trouble_;  ///< why it could not be read, though nothing says that it is broken
  Bar bar_ = Bar::none;
  std::optional<Inhibition> inhibition_;
  std::string try_trouble_;           ///< why the records could not be written when that was tried last
  std::optional<Nanoseconds> tried_;  ///< boot time at which writing was tried last
  std::string told_trouble_;          ///< of the records, as it was said last
};

}  // namespace defused
