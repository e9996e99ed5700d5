// SPDX-License-Identifier: Apache-2.0
// RemedyWorld: what lib/remedy asks of the rest of the prober, wired to the readers of this host.
#pragma once

#include <functional>
#include <string>
#include <utility>

#include "base/result.h"
#include "fusectl/fuse_root.h"
#include "model/report.h"
#include "procfs/proc_root.h"
#include "remedy/remedy.h"

namespace defused {

class RemedyWorld final : public World {
 public:
  /// All are called, as World says of them.
  struct Callbacks {
    std::function<Result<SecondLook>()> look_again;
    std::function<Result<NamespaceRest>(const NamespaceFinding&, const ConnectionFinding&)> look_at_rest;
    std::function<void(RemedyStep, const std::string& record)> reach;
    std::function<void(Ledger&, const OutcomeRecord&)> settle;
  };

  explicit RemedyWorld(Callbacks callbacks) : callbacks_(std::move(callbacks)) {}

  Result<SecondLook> look_again() override { return callbacks_.look_again(); }
  Result<NamespaceRest> look_at_rest(const NamespaceFinding& finding, const ConnectionFinding& connection) override {
    return callbacks_.look_at_rest(finding, connection);
  }
  void reach(RemedyStep step, const std::string& record) override { callbacks_.reach(step, record); }
  void settle(Ledger& ledger, const OutcomeRecord& record) override { callbacks_.settle(ledger, record); }

 private:
  Callbacks callbacks_;
};

/// Blocked threads whose stack is read again in one look; of the others it says that they are there.
inline constexpr std::size_t kMaxRereadThreads = kMaxShownThreads;

/// What is left of `finding`, to be looked at every few milliseconds:
/// - gone: its init does not exist any more, is dead, or is another process.
/// - connection_wedged: fusectl shows the connection, with requests that wait. Where that cannot be read: one of the
///   threads that waited for it is still there.
/// - still_blocked: the blocked threads of `finding` that are there, each with its present state; what it waits in and
///   its stack of the first kMaxRereadThreads. The connection is left out where the thread has run since.
/// Reads `status` first, and other files of tasks without memory only, which does not block (KERNEL.md 4). A task that
/// cannot be told from the one that was there counts as there.
Result<World::NamespaceRest> look_at_rest(const ProcRoot& proc, const Result<FuseRoot>& fuse,
                                          const NamespaceFinding& finding, const ConnectionFinding& connection);

}  // namespace defused
