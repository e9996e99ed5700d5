// SPDX-License-Identifier: Apache-2.0
// The part of a pass that reads for acting, and acts.
#include <algorithm>
#include <memory>
#include <utility>

#include "daemon/accounting.h"
#include "daemon/cycle.h"
#include "daemon/remedy_world.h"
#include "model/codec.h"
#include "policy/decide.h"

namespace defused {

// What is kept serves for showing, never for acting. What is read is noted, as evidence for what may follow.
Result<void> Cycle::read_for_acting() {
  snapshot_ = Snapshot{};
  begin_recording(sources_.recording == Recording::none ? actor_.evidence_bytes() : kMostRecorded);
  auto read = read_snapshot(snapshot_, Evidence::fresh);
  end_recording();
  return read;
}

Result<World::SecondLook> Cycle::look_again(const Ledger& before_intent, NamespaceId acted_on) {
  Snapshot snapshot;
  if (auto read = read_snapshot(snapshot, Evidence::fresh); !read) return Failure(read.error());
  announce("diagnosis", settings_.pass_deadline);
  Detection second = detect(snapshot, memory_.history, settings_.detect);
  // Decided for this namespace alone: another one that has become old enough meanwhile does not come before it.
  std::erase_if(second.findings.namespaces, [&](const NamespaceFinding& finding) { return finding.id != acted_on; });
  // The decision was allowed by this very ledger but for the intent that now stands in it. From here to the write no
  // disk is waited for.
  auto again = decide(second.findings, settings_.policy, before_intent, actor_.restraints_at_hand(), clock_.now());
  return World::SecondLook{std::move(second.findings), std::move(again)};
}

// The only place from which anything is aborted.
void Cycle::act(PassResult& pass) {
  if (!actor_.may_act()) return;
  auto& decisions = pass.report.decisions;
  const auto chosen = std::find_if(decisions.begin(), decisions.end(),
                                   [](const Decision& decision) { return decision.action == Action::abort; });
  if (chosen == decisions.end()) return;
  auto order = make_order(pass.report.findings, *chosen);
  if (!order) return;
  FusectlAborter real(sources_.fusectl_path);
  const Actor::Surroundings around{
      sources_.aborter == nullptr ? real : *sources_.aborter,
      [this](const Ledger& before_intent, NamespaceId acted_on) { return look_again(before_intent, acted_on); },
      [this](const NamespaceFinding& finding, const ConnectionFinding& connection) {
        return look_at_rest(proc_, open_fusectl(), finding, connection);
      },
      [this](std::string_view phase, Nanoseconds at_most) { announce(phase, at_most); },
      [&pass] { return render_report_json(pass.report, ExposeSource::redacted); },
      [&](const OutcomeRecord& record) {
        pass.report.outcomes.push_back(record);
        publish_again(pass);
      },
      host_,
      readings_};
  if (!actor_.act(*std::move(order), around, memory_.counters)) {
    chosen->action = Action::hold;
    chosen->reasons = {Gate::record_unwritable};
    publish_again(pass);
  }
  if (sources_.recording == Recording::none) readings_.reset();
}

void Cycle::publish_again(PassResult& pass) {
  actor_.describe(pass.report);
  pass.memory = memory_;
  if (events_.publish) events_.publish(pass);
}

}  // namespace defused
