// SPDX-License-Identifier: Apache-2.0
// RemedyWorld: what lib/remedy asks of the rest of the prober, wired to the readers of this host.
#pragma once

#include <functional>

#include "model/report.h"
#include "procfs/proc_root.h"
#include "remedy/remedy.h"

namespace defused {

class RemedyWorld final : public World {
 public:
  using LookAgain = std::function<Result<SecondLook>()>;
  using LookAtRest = std::function<Result<NamespaceRest>(const NamespaceFinding&, ConnectionId)>;
  using Publish = std::function<void(const Ledger&)>;

  RemedyWorld(LookAgain look_again, LookAtRest look_at_rest, Publish publish)
      : look_again_(std::move(look_again)), look_at_rest_(std::move(look_at_rest)), publish_(std::move(publish)) {}

  Result<SecondLook> look_again() override { return look_again_(); }
  Result<NamespaceRest> look_at_rest(const NamespaceFinding& finding, ConnectionId connection) override {
    return look_at_rest_(finding, connection);
  }
  void publish(const Ledger& ledger) override { publish_(ledger); }

 private:
  LookAgain look_again_;
  LookAtRest look_at_rest_;
  Publish publish_;
};

/// Whether the init of `finding` still exists (same PID and start time), and whether one of the threads that waited for
/// `connection` is still there. Reads `stat` of exiting tasks only, which does not block (KERNEL.md 4).
Result<World::NamespaceRest> look_at_rest(const ProcRoot& proc, const NamespaceFinding& finding,
                                          ConnectionId connection);

}  // namespace defused
