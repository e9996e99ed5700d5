// SPDX-License-Identifier: Apache-2.0
// A world for carry_out() in which every step leaves a word in one trace, and each can be made to fail. What would be
// on disk is kept for every moment: a prober may be ended at any of them.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "../policy/cases.h"
#include "policy/decide.h"
#include "remedy/remedy.h"

namespace defused {

using Trace = std::vector<std::string>;

/// What outlives a prober that is killed.
struct Disk {
  std::vector<std::string> audit;
  Ledger ledger;
  int writes = 0;  ///< to the abort file: the kernel does not forget either
};

/// The steps, and the disk as it was when each began.
class Stage {
 public:
  Trace trace;
  std::vector<Disk> before;  ///< one per step of `trace`
  Disk disk;

  void note(std::string step) {
    trace.push_back(std::move(step));
    before.push_back(disk);
  }
};

class TracingClock final : public Clock {
 public:
  TracingClock(Stage& stage, Instant start) : stage_(stage), clock_(start) {}
  [[nodiscard]] Instant now() const override { return clock_.now(); }
  void sleep(Nanoseconds duration) override {
    stage_.note("sleep " + std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(duration).count()));
    clock_.advance(duration);
  }

 private:
  Stage& stage_;
  ManualClock clock_;
};

/// Opens the connections it knows and notes each write; its errors are what a refusing one answers.
class RecordingAborter final : public Aborter {
 public:
  RecordingAborter(Stage& stage, ConnectionId connection, std::uint64_t directory_inode)
      : stage_(stage), connection_(connection), directory_inode_(directory_inode) {}

  std::optional<Error> open_error;
  std::optional<Error> write_error;

  Result<std::unique_ptr<ArmedAbort>> open(ConnectionId connection, std::uint64_t directory_inode) override;

 private:
  class Armed;
  Stage& stage_;
  ConnectionId connection_;
  std::uint64_t directory_inode_;
};

/// Keeps the lines; the n-th append (from 1) fails where `fail_at` says so.
class FailingAudit final : public AuditLog {
 public:
  explicit FailingAudit(Stage& stage) : stage_(stage) {}
  int fail_at = 0;

  Result<void> append(const std::string& line) override;

 private:
  Stage& stage_;
  int calls_ = 0;
};

/// Keeps the ledger; the n-th save (from 1) fails where `fail_at` holds it.
class FailingStore final : public LedgerStore {
 public:
  explicit FailingStore(Stage& stage) : stage_(stage) {}
  std::vector<int> fail_at;

  Result<void> save(const Ledger& ledger) override;

 private:
  Stage& stage_;
  int calls_ = 0;
};

/// Answers as it is told and keeps what it was given.
class ScriptedHooks final : public Hooks {
 public:
  explicit ScriptedHooks(Stage& stage) : stage_(stage) {}
  HookResult answer_before;
  HookResult answer_after;
  std::vector<std::string> records;

  HookResult before(const std::string& record) override;
  HookResult after(const std::string& record) override;

 private:
  Stage& stage_;
};

/// What is seen after the order was made: `changed` is done to the findings of the second reading, which is decided on
/// by the real policy; `rests` are the looks after the write, the last one for ever.
class ScriptedWorld final : public World {
 public:
  ScriptedWorld(Stage& stage, Asked asked) : stage_(stage), asked_(std::move(asked)) {}

  std::function<void(Asked&)> changed;
  std::optional<Error> look_error;
  std::deque<Result<NamespaceRest>> rests = {NamespaceRest{true, false, {}}};
  std::vector<std::pair<RemedyStep, std::string>> reached;

  Result<SecondLook> look_again() override;
  Result<NamespaceRest> look_at_rest(const NamespaceFinding& finding, const ConnectionFinding& connection) override;
  void reach(RemedyStep step, const std::string& record) override;
  void settle(Ledger& ledger, const OutcomeRecord& record) override;

 private:
  Stage& stage_;
  Asked asked_;
};

/// The order that decide() made of the first namespace of `asked`.
RemedyOrder make_order(const Asked& asked);

/// The clear case of the policy tests, ordered, and everything that carry_out() needs.
struct Scene {
  Stage stage;
  Asked asked;
  TracingClock clock;
  RecordingAborter aborter;
  FailingAudit audit;
  FailingStore store;
  ScriptedHooks hooks;
  ScriptedWorld world;
  Ledger ledger;
  RemedyOrder order;

  Scene();
  Attempt carry_out(Nanoseconds watch = std::chrono::seconds(10));
  /// Of an attempt that was made.
  OutcomeRecord outcome(Nanoseconds watch = std::chrono::seconds(10));
  [[nodiscard]] bool did(const std::string& step) const;
};

Trace operator+(Trace trace, const Trace& more);

}  // namespace defused
