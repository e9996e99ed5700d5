// SPDX-License-Identifier: Apache-2.0
#include "fakes.h"

#include <algorithm>
#include <catch2/catch.hpp>

namespace defused {

class RecordingAborter::Armed final : public ArmedAbort {
 public:
  explicit Armed(RecordingAborter& owner) : owner_(owner) {}
  Armed(const Armed&) = delete;
  Armed& operator=(const Armed&) = delete;
  ~Armed() override { owner_.stage_.note("close"); }
  Result<void> write() override {
    owner_.stage_.note("write");
    if (owner_.write_error) return Failure(*owner_.write_error);
    ++owner_.stage_.disk.writes;
    return {};
  }

 private:
  RecordingAborter& owner_;
};

Result<std::unique_ptr<ArmedAbort>> RecordingAborter::open(ConnectionId connection, std::uint64_t directory_inode) {
  stage_.note("open " + std::to_string(connection.kernel_dev));
  if (open_error) return Failure(*open_error);
  if (connection != connection_ || directory_inode != directory_inode_) {
    return fail(ErrorKind::gone, "connection 40: another one has this number now");
  }
  return std::make_unique<Armed>(*this);
}

Result<void> FailingAudit::append(const std::string& line) {
  const bool is_intent = line.find("\"record\":\"intent\"") != std::string::npos;
  const bool is_outcome = line.find("\"record\":\"outcome\"") != std::string::npos;
  stage_.note(is_intent ? "audit intent" : is_outcome ? "audit outcome" : "audit interrupted");
  if (++calls_ == fail_at) return fail(ErrorKind::io, "writing: No space left on device");
  stage_.disk.audit.push_back(line);
  return {};
}

Result<void> FailingStore::save(const Ledger& ledger) {
  stage_.note("save");
  ++calls_;
  if (std::find(fail_at.begin(), fail_at.end(), calls_) != fail_at.end()) {
    return fail(ErrorKind::io, "ledger.json: Read-only file system");
  }
  stage_.disk.ledger = ledger;
  return {};
}

HookResult ScriptedHooks::before(const std::string& record) {
  stage_.note("before-hook");
  records.push_back(record);
  return answer_before;
}

HookResult ScriptedHooks::after(const std::string& record) {
  stage_.note("after-hook");
  records.push_back(record);
  return answer_after;
}

Result<World::SecondLook> ScriptedWorld::look_again() {
  stage_.note("look again");
  if (look_error) return Failure(*look_error);
  Asked now = asked_;
  if (changed) changed(now);
  auto decisions = now.decide_all();
  return SecondLook{std::move(now.findings), std::move(decisions)};
}

Result<World::NamespaceRest> ScriptedWorld::look_at_rest(const NamespaceFinding& finding,
                                                         const ConnectionFinding& connection) {
  stage_.note("look at rest");
  CHECK(finding.id == asked_.finding().id);
  CHECK(connection.id == asked_.connection().id);
  auto rest = rests.front();
  if (rests.size() > 1) rests.pop_front();
  return rest;
}

void ScriptedWorld::reach(RemedyStep step, const std::string& record) {
  stage_.note("reach " + std::string(to_string(step)));
  reached.emplace_back(step, record);
}

void ScriptedWorld::settle(Ledger& ledger, const OutcomeRecord& record) {
  stage_.note("settle");
  note_outcome(ledger.breaker, record.outcome, asked_.policy, record.detail, record.at);
}

RemedyOrder make_order(const Asked& asked) {
  const Decision decision = asked.decide_first();
  REQUIRE(decision.action == Action::abort);
  return RemedyOrder{asked.findings.namespaces.front(), asked.findings.connections.front(), decision};
}

Scene::Scene()
    : asked(make_clear_case()),
      clock(stage, asked.now),
      aborter(stage, ConnectionId{40}, asked.connection().directory_inode),
      audit(stage),
      store(stage),
      hooks(stage),
      world(stage, asked) {
  asked.finding().since = asked.now.wall - asked.finding().stuck_for;
  order = make_order(asked);
}

Attempt Scene::carry_out(Nanoseconds watch) {
  return defused::carry_out(order, RemedyTools{aborter, audit, store, hooks, world, clock}, ledger, watch);
}

OutcomeRecord Scene::outcome(Nanoseconds watch) {
  const Attempt attempt = carry_out(watch);
  CHECK(attempt.unwritable == "");
  REQUIRE(attempt.outcome);
  return *attempt.outcome;
}

bool Scene::did(const std::string& step) const {
  return std::find(stage.trace.begin(), stage.trace.end(), step) != stage.trace.end();
}

Trace operator+(Trace trace, const Trace& more) {
  trace.insert(trace.end(), more.begin(), more.end());
  return trace;
}

}  // namespace defused
