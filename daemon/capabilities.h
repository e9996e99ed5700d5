// SPDX-License-Identifier: Apache-2.0
// The capabilities of the service: ONE table of which process needs which, in which mode, and why. The sandboxes keep
// what it says, the start check asks for what it says, docs/OPERATING.md repeats it, and a test compares them.
#pragma once

#include <cstdint>
#include <set>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "model/words.h"

namespace defused {

/// Who has it, as bits. What a process needs only before it is confined (`..Start`) it gives up then.
using HeldBy = std::uint32_t;
inline constexpr HeldBy kHeldBySupervisor = 1U << 0U;
inline constexpr HeldBy kHeldByFrontStart = 1U << 1U;
inline constexpr HeldBy kHeldByProberStart = 1U << 2U;
inline constexpr HeldBy kHeldByProber = 1U << 3U;         ///< in every mode
inline constexpr HeldBy kHeldByProberEnforce = 1U << 4U;  ///< in enforce alone
inline constexpr HeldBy kHeldByProberHooks = 1U << 5U;    ///< in enforce, where a hook is configured

struct CapabilityNeed {
  int number;  ///< CAP_SYS_PTRACE ..
  std::string_view name;
  HeldBy held_by;
  std::string_view why;      ///< one phrase
  std::string_view without;  ///< what is the case without it: the end of "CAP_X is missing: ..."
};

/// All of them: this is CapabilityBoundingSet= of the unit. Whatever is not here no process of the service needs.
std::span<const CapabilityNeed> capability_needs();

/// "supervisor, prober in enforce".
std::string describe_holders(const CapabilityNeed& need);

using CapabilitySet = std::set<int>;

CapabilitySet capabilities_of_supervisor();
/// What a confined prober keeps.
CapabilitySet capabilities_of_prober(Mode mode, bool hooks);

/// What this process may use now.
CapabilitySet effective_capabilities();
/// Whether the kernel could give it to a child that is started by root.
bool is_in_bounding_set(int capability);

/// Leaves this thread of `kept` what it has, as permitted and effective; nothing inheritable, nothing ambient. One that
/// it does not have is no error. Errors: io, denied.
Result<void> keep_capabilities(const CapabilitySet& kept);
/// The same for what is effective alone: what is permitted stays, so that a program that is executed gains nothing. One
/// that gains something forgets PR_SET_PDEATHSIG.
Result<void> use_capabilities(const CapabilitySet& used);
/// The same for the bounding set, for good. Where CAP_SETPCAP is missing nothing is dropped, and that is no error:
/// NoNewPrivs alone lets no exec give anything back. Errors: io.
Result<void> keep_bounding_set(const CapabilitySet& kept);

}  // namespace defused
