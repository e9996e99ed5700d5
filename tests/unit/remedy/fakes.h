// SPDX-License-Identifier: Apache-2.0
// A world for carry_out() in which every step leaves a word in one trace, and each can be made to fail.
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

class TracingClock final : public Clock {
 public:
  TracingClock(Trace& trace, Instant start) : trace_(trace), clock_(start) {}
  [[nodiscard]] Instant now() const override { return clock_.now(); }
  void sleep(Nanoseconds duration) override {
    trace_.push_back("sleep " +
                     std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(duration).count()));
    clock_.advance(duration);
  }

 private:
  Trace& trace_;
  ManualClock clock_;
};

/// Opens the connections it knows and notes each write; its errors are what a refusing one answers.
class RecordingAborter final : public Aborter {
 public:
  RecordingAborter(Trace& trace, ConnectionId connection, std::uint64_t directory_inode)
      : trace_(trace), connection_(connection), directory_inode_(directory_inode) {}

  std::optional<Error> open_error;
  std::optional<Error> write_error;
  int writes = 0;

  Result<std::unique_ptr<ArmedAbort>> open(ConnectionId connection, std::uint64_t directory_inode) override;

 private:
  class Armed;
  Trace& trace_;
  ConnectionId connection_;
  std::uint64_t directory_inode_;
};

/// Keeps the lines; the n-th append (from 1) fails where `fail_at` says so.
class FailingAudit final : public AuditLog {
 public:
  explicit FailingAudit(Trace& trace) : trace_(trace) {}
  std::vector<std::string> lines;
  int fail_at = 0;

  Result<void> append(const std::string& line) override;

 private:
  Trace& trace_;
  int calls_ = 0;
};

/// What is seen after the order was made: `changed` is done to the findings of the second reading, which is decided on
/// by the real policy; `rests` are the looks after the write, the last one for ever.
class ScriptedWorld final : public World {
 public:
  ScriptedWorld(Trace& trace, Asked asked) : trace_(trace), asked_(std::move(asked)) {}

  std::function<void(Asked&)> changed;
  std::optional<Error> look_error;
  std::deque<Result<NamespaceRest>> rests = {NamespaceRest{true, false}};
  std::vector<Ledger> published;

  Result<SecondLook> look_again() override;
  Result<NamespaceRest> look_at_rest(const NamespaceFinding& finding, ConnectionId connection) override;
  void publish(const Ledger& ledger) override;

 private:
  Trace& trace_;
  Asked asked_;
};

/// The order that decide() made of the first namespace of `asked`.
RemedyOrder make_order(const Asked& asked);

}  // namespace defused
