// SPDX-License-Identifier: Apache-2.0
#include "daemon/acting.h"

#include <algorithm>
#include <utility>

#include "base/text.h"
#include "daemon/accounting.h"
#include "daemon/change_log.h"
#include "daemon/describe.h"
#include "daemon/remedy_world.h"
#include "remedy/audit_record.h"
#include "remedy/audit_tail.h"
#include "remedy/evidence_store.h"
#include "settings/settings_file.h"

namespace defused {

namespace {

// Whether the records can be written is tried so often while something else holds anyway.
constexpr Nanoseconds kTryRecords = std::chrono::minutes(1);
// What one bundle may take of the memory of a prober.
constexpr std::uint64_t kMostReadings = 32U << 20U;
// On top of what a hook may take: until its group is dead.
constexpr Nanoseconds kHookEnd = std::chrono::seconds(2);

// The log has the wall time of an action alone.
LedgerEntry date(LedgerEntry entry, Instant now) {
  LedgerEntry old = entry;
  take_into_this_boot(old, now);
  if (old.at_boottime <= Nanoseconds(0)) return old;
  entry.at_boottime = old.at_boottime;
  return entry;
}

std::string describe_hook_failure(const HookResult& result) {
  return "the after-hook failed: " +
         (result.trouble.empty() ? "exit code " + std::to_string(result.exit_code) : result.trouble) +
         (result.output.empty() ? "" : ": " + result.output);
}

}  // namespace

std::string_view describe_bar(Bar bar) {
  switch (bar) {
    case Bar::none: return "";
    case Bar::earlier_prober: return "an earlier prober may still act";
    case Bar::other_actor: return "somebody else acts at this moment: a `defused abort`, or another daemon";
    case Bar::no_lock: return "the actor lock in the state directory cannot be opened";
  }
  return "";
}

Actor::Actor(const Settings& settings, RecordUse use, std::string read_only, std::optional<HandOrder> by_hand,
             const std::string& boot_id, Clock& clock, Tell tell)
    : settings_(settings),
      use_(use),
      read_only_(std::move(read_only)),
      by_hand_(std::move(by_hand)),
      clock_(clock),
      tell_(std::move(tell)),
      audit_(settings.state_directory, settings.audit),
      file_(settings.state_directory, boot_id) {}

void Actor::set_settings(const Settings& settings) {
  settings_ = settings;
  audit_.set_settings(settings.audit);
  tried_.reset();
  try_trouble_.clear();
}

bool Actor::may_act() const { return settings_.policy.mode == Mode::enforce && use_ == RecordUse::keep; }

std::size_t Actor::evidence_bytes() const {
  if (!may_act() || settings_.remedy.evidence_bundles == 0) return 0;
  return static_cast<std::size_t>(std::min(settings_.remedy.evidence_bytes, kMostReadings));
}

void Actor::tell(LogLevel level, std::string text) const {
  if (!tell_) return;
  LogLine line(std::move(text));
  line.level = level;
  tell_(line);
}

// Once, until it is another one or over.
void Actor::tell_trouble(const std::string& text) {
  if (!text.empty() && text != told_trouble_) tell(LogLevel::warning, text);
  told_trouble_ = text;
}

// By hand only the pass that acts holds the lock: the looks before it write nothing.
bool Actor::may_write(Bar bar) const {
  return use_ == RecordUse::keep && bar == Bar::none && (!by_hand_ || settings_.policy.mode == Mode::enforce);
}

void Actor::begin(Bar bar, Counters& counters) {
  bar_ = bar;
  load_ledger(may_write(bar), counters);
}

void Actor::load_ledger(bool may_write, Counters& counters) {
  if (!ledger_read_ || file_.changed()) {
    auto loaded = file_.load(clock_.now());
    ledger_trouble_.clear();
    ledger_read_ = loaded.has_value();
    if (loaded) {
      ledger_ = *std::move(loaded);
      if (std::exchange(unsaved_, false)) compared_ = false;
    } else if (loaded.error().kind == ErrorKind::malformed) {
      lose_ledger(loaded.error(), may_write);
    } else {
      ledger_trouble_ = "the ledger cannot be read: " + loaded.error().message;
    }
  } else if (unsaved_ && may_write) {
    save_ledger();
  }
  if (!may_write || !ledger_read_) return;
  const auto is_open = [](const LedgerEntry& entry) { return !entry.outcome; };
  const bool has_open = std::any_of(ledger_.entries.begin(), ledger_.entries.end(), is_open);
  if (!compared_ && !ledger_.entries.empty()) save_ledger();  // times of an earlier boot are counted from now on
  if (has_open || !std::exchange(compared_, true)) compare_with_audit(counters);
  if (std::any_of(ledger_.entries.begin(), ledger_.entries.end(), is_open)) settle_open(counters);
}

// One who was killed between the two files has left an outcome that only the audit log knows, or an intent. What came
// of that is not known: the ledger may have known it, and be lost.
void Actor::compare_with_audit(Counters& counters) {
  const auto tail = read_audit_tail(settings_.state_directory);
  if (!tail) return tell_trouble("the audit log cannot be read: " + tail.error().message);
  bool changed = false;
  for (LedgerEntry& entry : ledger_.entries) {
    const OutcomeRecord* told = entry.outcome ? nullptr : find_outcome(*tail, entry);
    if (told == nullptr) continue;
    entry.outcome = told->outcome;
    entry.detail = told->detail;
    entry.recovery = told->recovery;
    const OutcomeRecord record = record_of(entry);
    note_in_breaker(ledger_, record);
    count(record, counters);
    changed = true;
  }
  if (changed) save_ledger();
  if (!tail->open) return;
  const auto is_known = [&](const LedgerEntry& entry) { return is_same_action(entry, *tail->open); };
  auto& entries = ledger_.entries;
  if (std::any_of(entries.begin(), entries.end(), is_known)) return;
  if (entries.size() >= kMaxLedgerEntries) entries.erase(entries.begin());
  entries.push_back(date(*tail->open, clock_.now()));
}

void Actor::save_ledger() {
  const auto saved = file_.save(ledger_);
  unsaved_ = !saved;
  ledger_trouble_ = saved ? "" : "the ledger cannot be written: " + saved.error().message;
}

// What was done is not known any more, so nothing is done until a person has looked. The broken file stays in its place
// until the one that says so takes it.
void Actor::lose_ledger(const Error& error, bool may_write) {
  const Instant now = clock_.now();
  ledger_ = Ledger{};
  ledger_.breaker = {BreakerCause::ledger_lost, now.wall, 0, "the ledger could not be read: " + error.message};
  if (!may_write) return;
  const auto aside = file_.set_aside(now);
  if (!aside) {
    ledger_trouble_ = "the ledger is broken and cannot be set aside: " + aside.error().message;
    return;
  }
  ledger_.breaker.detail += "; it was set aside as " + *aside;
  tell(LogLevel::error, ledger_.breaker.detail + "; no action until `defused resume --reset-breaker`");
  [[maybe_unused]] const auto told = audit_.append(render_ledger_lost(*aside, error.message, now));
  [[maybe_unused]] const auto opened = audit_.append(render_breaker(ledger_.breaker, std::nullopt, now));
  ledger_read_ = true;
  compared_ = false;
  save_ledger();
}

void Actor::settle_open(Counters& counters) {
  const Instant now = clock_.now();
  for (const OutcomeRecord& record : settle_interrupted(ledger_, audit_, now)) {
    note_in_breaker(ledger_, record);
    count(record, counters);
  }
  save_ledger();  // if that fails they are settled again by whoever reads the file next: told twice rather than never
}

void Actor::count(const OutcomeRecord& record, Counters& counters) const {
  ++counters.aborts[record.outcome];
  if (record.outcome == Outcome::released) observe(counters.recovery_duration, to_seconds(record.recovery));
  if (tell_) tell_(tell_outcome(record));
}

void Actor::note_in_breaker(Ledger& ledger, const OutcomeRecord& record) {
  const bool was_open = ledger.breaker.is_open();
  const Instant now = clock_.now();
  note_outcome(ledger.breaker, record.outcome, settings_.policy, describe_outcome(record), now.wall);
  if (was_open || !ledger.breaker.is_open()) return;
  tell(LogLevel::error, "the circuit breaker is open: " + std::to_string(ledger.breaker.failures) +
                            " actions in a row failed, the last one: " + ledger.breaker.detail +
                            "; no action until `defused resume --reset-breaker`");
  [[maybe_unused]] const auto told = audit_.append(render_breaker(ledger.breaker, std::nullopt, now));
}

// What fails is tried in each pass, so that it goes on as soon as it can.
bool Actor::is_record_unwritable(bool now) {
  const Nanoseconds boottime = clock_.now().boottime;
  const bool is_due = now || !tried_ || !try_trouble_.empty() || boottime - *tried_ >= kTryRecords;
  if (is_due && ledger_trouble_.empty()) {
    tried_ = boottime;
    try_trouble_.clear();
    if (const auto audit = audit_.check(); !audit) {
      try_trouble_ = "the audit log cannot be written: " + audit.error().message;
    } else if (const auto ledger = file_.check(); !ledger) {
      try_trouble_ = "the ledger cannot be written: " + ledger.error().message;
    }
  }
  tell_trouble(record_trouble());
  return !record_trouble().empty();
}

const std::string& Actor::record_trouble() const { return ledger_trouble_.empty() ? try_trouble_ : ledger_trouble_; }

// Whoever only looks leaves no trace: the room is looked at, not taken.
bool Actor::lacks_room() {
  const auto room = look_for_room(settings_.state_directory);
  try_trouble_ = read_only_.empty() && !room ? room.error().message : read_only_;
  return !record_trouble().empty();
}

Restraints Actor::restraints(bool asks_disk) {
  Restraints restraints = restraints_at_hand();
  if (asks_disk && settings_.policy.mode != Mode::observe) {
    const bool tries = use_ == RecordUse::keep && (!by_hand_ || may_act());
    restraints.record_unwritable = tries ? is_record_unwritable(false) : lacks_room();
  }
  return restraints;
}

Restraints Actor::restraints_at_hand() {
  inhibition_ = read_inhibition(settings_.state_directory);
  Restraints restraints;
  restraints.inhibited = inhibition_ || bar_ != Bar::none;
  restraints.record_unwritable = !ledger_trouble_.empty();
  if (by_hand_) {
    restraints.by_hand = by_hand_->connection;
    restraints.override_age = !by_hand_->by.override_reason.empty();
  }
  return restraints;
}

Restraints Actor::restraints_now() {
  Restraints restraints = restraints_at_hand();
  if (may_act()) restraints.record_unwritable = is_record_unwritable(true);
  return restraints;
}

void Actor::describe(Report& report) const {
  RemedyState& state = report.remedy;
  const Breaker& breaker = ledger_.breaker;
  state.breaker_open = breaker.is_open();
  state.breaker_cause = breaker.cause;
  state.breaker_since = breaker.since_wall;
  state.breaker_detail = breaker.detail;
  state.failures_in_row = breaker.failures;
  state.inhibited = inhibition_ || bar_ != Bar::none;
  state.inhibited_since = inhibition_ ? inhibition_->since : Nanoseconds(0);
  state.inhibited_reason = inhibition_ ? inhibition_->reason : std::string(describe_bar(bar_));
  state.abort_budget = remaining_budget(settings_.policy, ledger_, clock_.now());
  state.record_trouble = record_trouble();
  report.actions.clear();
  for (const LedgerEntry& entry : ledger_.entries) {
    if (entry.outcome) report.actions.push_back(record_of(entry));
  }
  std::reverse(report.actions.begin(), report.actions.end());
  report.actions.resize(std::min(report.actions.size(), kMaxShownActions));
}

void Actor::record_decisions(const Report& report, const std::vector<std::size_t>& changed) {
  if (use_ != RecordUse::keep || by_hand_) return;
  for (const std::size_t place : changed) {
    const NamespaceFinding& finding = report.findings.namespaces[place];
    std::vector<const ConnectionFinding*> connections;
    for (const ConnectionFinding& connection : report.findings.connections) {
      const auto& ids = finding.connections;
      if (std::find(ids.begin(), ids.end(), connection.id) != ids.end()) connections.push_back(&connection);
    }
    const auto told =
        audit_.append_lazily(render_decision(finding, connections, report.decisions[place], report.mode, clock_.now()));
    if (told) continue;
    tell_trouble("the audit log cannot be written: " + told.error().message);
    return;
  }
}

void Actor::keep_evidence(const std::string& intent, const RemedyOrder& order, const Surroundings& around) {
  if (around.readings == nullptr) return;
  around.announce("evidence", settings_.pass_deadline);
  EvidenceStore store(settings_.state_directory, settings_.remedy.evidence_bundles, settings_.remedy.evidence_bytes);
  EvidenceBundle bundle;
  bundle.at_wall = clock_.now().wall;
  bundle.connection = order.connection.id.kernel_dev;
  bundle.host = around.host;
  bundle.tree = make_look(*around.readings, nullptr);
  bundle.left_out = around.readings->left_out();
  around.readings.reset();  // hundreds of megabytes on a large host: not twice while the archive is made
  bundle.settings = render_report_settings(settings_);
  bundle.report = around.report();
  bundle.intent = intent;
  const auto kept = store.keep(std::move(bundle));
  tell(kept ? LogLevel::info : LogLevel::warning,
       kept ? "the evidence is kept in " + *kept : "the evidence could not be kept: " + kept.error().message);
}

Nanoseconds Actor::limit_of(RemedyStep step) const {
  Nanoseconds at_most = settings_.pass_deadline;
  if (step == RemedyStep::before_hook || step == RemedyStep::after_hook) {
    at_most += settings_.remedy.hook_timeout + kHookEnd;
  }
  if (step == RemedyStep::watch) at_most += settings_.remedy.watch;
  return at_most;
}

bool Actor::act(RemedyOrder order, const Surroundings& around, Counters& counters) {
  if (by_hand_) order.by_hand = by_hand_->by;
  const Ledger before = ledger_;
  std::optional<OutcomeRecord> settled;
  std::string intent;
  const auto reach = [&](RemedyStep step, const std::string& record) {
    if (step == RemedyStep::before_hook) intent = record;
    // The outcome is on disk then: neither a slow disk under the bundle nor an after-hook holds up what was done.
    if (step == RemedyStep::after_hook && settled) {
      count(*settled, counters);
      around.ended(*settled);
      keep_evidence(intent, order, around);
    }
    around.announce(to_string(step), limit_of(step));
  };
  const auto settle = [&](Ledger& ledger, const OutcomeRecord& record) {
    note_in_breaker(ledger, record);
    settled = record;
  };
  RemedyWorld world(RemedyWorld::Callbacks{[&] { return around.look_again(before, order.finding.id); },
                                           around.look_at_rest, reach, settle});
  CommandHooks hooks(settings_.remedy.before_hook, settings_.remedy.after_hook, settings_.remedy.hook_timeout);
  const Attempt attempt =
      carry_out(order, {around.aborter, audit_, file_, hooks, world, clock_}, ledger_, settings_.remedy.watch);
  if (!attempt.outcome) {
    try_trouble_ = attempt.unwritable;
    tell_trouble(record_trouble());
    return false;
  }
  save_ledger();  // again, in case that the last one failed: until it is on disk nothing more is done
  if (!attempt.after.agrees()) tell(LogLevel::warning, describe_hook_failure(attempt.after));
  return true;
}

}  // namespace defused
