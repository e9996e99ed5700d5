// SPDX-License-Identifier: Apache-2.0
// A namespace that may be aborted, with all that decide() is asked with: tests change one thing in it.
#pragma once

#include <optional>
#include <vector>

#include "policy/decide.h"

namespace defused {

inline constexpr const char* kContainerId = "3bd9ede1fe0b02766920dc46597acfc53e635a5a9bc494cce3d79e78e75b5bde";
inline constexpr const char* kPodUid = "1b2c3d4e-0001-0002-0003-0123456789ab";

struct Asked {
  Findings findings;
  PolicySettings policy;
  Ledger ledger;
  Restraints restraints;
  Instant now{std::chrono::hours(24), std::chrono::hours(480'000)};

  NamespaceFinding& finding() { return findings.namespaces.front(); }
  BlockedThread& thread() { return finding().blocked_threads.front(); }
  ConnectionFinding& connection() { return findings.connections.front(); }

  [[nodiscard]] std::vector<Decision> decide_all() const { return decide(findings, policy, ledger, restraints, now); }
  [[nodiscard]] Decision decide_first() const { return decide_all().front(); }
  [[nodiscard]] std::vector<Gate> gates() const { return decide_first().reasons; }
};

/// The container of kContainerId in the pod of kPodUid: namespaces and connections of the cases are its own.
Container make_container();

/// An action on connection `connection` that began `ago` before `asked.now`.
LedgerEntry make_entry(const Asked& asked, std::uint32_t connection, Nanoseconds ago, std::optional<Outcome> outcome);

/// Namespace `number` is stuck behind connection `number`, of which nothing speaks against an abort.
NamespaceFinding make_stuck_namespace(std::uint32_t number);
BlockedThread make_waiting_thread(pid_t tid, std::uint32_t connection);
ConnectionFinding make_dead_connection(std::uint32_t number);

/// One such namespace, 40, in Mode::enforce: decide() says abort.
Asked make_clear_case();

}  // namespace defused
