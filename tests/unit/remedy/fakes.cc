// SPDX-License-Identifier: Apache-2.0
#include "fakes.h"

#include <catch2/catch.hpp>

namespace defused {

class RecordingAborter::Armed final : public ArmedAbort {
 public:
  explicit Armed(RecordingAborter& owner) : owner_(owner) {}
  Armed(const Armed&) = delete;
  Armed& operator=(const Armed&) = delete;
  ~Armed() override { owner_.trace_.emplace_back("close"); }
  Result<void> write() override {
    owner_.trace_.emplace_back("write");
    if (owner_.write_error) return Failure(*owner_.write_error);
    ++owner_.writes;
    return {};
  }

 private:
  RecordingAborter& owner_;
};

Result<std::unique_ptr<ArmedAbort>> RecordingAborter::open(ConnectionId connection, std::uint64_t directory_inode) {
  trace_.push_back("open " + std::to_string(connection.kernel_dev));
  if (open_error) return Failure(*open_error);
  if (connection != connection_ || directory_inode != directory_inode_) {
    return fail(ErrorKind::gone, "connection 40: another one has this number now");
  }
  return std::make_unique<Armed>(*this);
}

Result<void> FailingAudit::append(const std::string& line) {
  const bool is_intent = line.find("\"record\":\"intent\"") != std::string::npos;
  const bool is_outcome = line.find("\"record\":\"outcome\"") != std::string::npos;
  trace_.emplace_back(is_intent ? "audit intent" : is_outcome ? "audit outcome" : "audit interrupted");
  if (++calls_ == fail_at) return fail(ErrorKind::io, "writing: No space left on device");
  lines.push_back(line);
  return {};
}

Result<World::SecondLook> ScriptedWorld::look_again() {
  trace_.emplace_back("look again");
  if (look_error) return Failure(*look_error);
  Asked now = asked_;
  if (changed) changed(now);
  auto decisions = now.decide_all();
  return SecondLook{std::move(now.findings), std::move(decisions)};
}

Result<World::NamespaceRest> ScriptedWorld::look_at_rest(const NamespaceFinding& finding, ConnectionId connection) {
  trace_.emplace_back("look at rest");
  CHECK(finding.id == asked_.finding().id);
  CHECK(connection == asked_.connection().id);
  auto rest = rests.front();
  if (rests.size() > 1) rests.pop_front();
  return rest;
}

void ScriptedWorld::publish(const Ledger& ledger) {
  const bool pending = !ledger.entries.empty() && !ledger.entries.back().outcome;
  trace_.emplace_back(pending ? "publish intent" : "publish outcome");
  published.push_back(ledger);
}

RemedyOrder make_order(const Asked& asked) {
  const Decision decision = asked.decide_first();
  REQUIRE(decision.action == Action::abort);
  return RemedyOrder{asked.findings.namespaces.front(), asked.findings.connections.front(), decision};
}

}  // namespace defused
