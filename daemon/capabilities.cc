// SPDX-License-Identifier: Apache-2.0
#include "daemon/capabilities.h"

#include <sys/capability.h>
#include <sys/prctl.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <iterator>
#include <memory>
#include <vector>

namespace defused {

namespace {

constexpr std::array kNeeds = std::to_array<CapabilityNeed>({
    {CAP_SYS_PTRACE, "CAP_SYS_PTRACE", kHeldByProber,
     "`stack`, `fdinfo`, `fd` and `ns` of processes of other users, of other user namespaces and of those with more "
     "capabilities",
     "the descriptors, stacks and namespaces of most processes are unreadable"},
    {CAP_SYS_ADMIN, "CAP_SYS_ADMIN", kHeldByProber,
     "`/proc/PID/stack`; at its start a mount namespace of its own in which little can be written",
     "of a stack only the innermost function is seen, and the prober keeps the host's mounts"},
    {CAP_DAC_READ_SEARCH, "CAP_DAC_READ_SEARCH", kHeldBySupervisor | kHeldByProber,
     "fusectl and `/proc` directories whose owner is another user; for the supervisor TLS keys and the textfile's "
     "directory of another user",
     "connections that another user mounted, and processes of other users, are unreadable"},
    {CAP_BPF, "CAP_BPF", kHeldByProber, "the BPF programs (Linux 5.8)",
     "BPF programs cannot be loaded: /proc serves alone"},
    {CAP_PERFMON, "CAP_PERFMON", kHeldByProber, "what the BPF programs read of the kernel (Linux 5.8)",
     "BPF programs cannot be loaded: /proc serves alone"},
    {CAP_DAC_OVERRIDE, "CAP_DAC_OVERRIDE", kHeldByProberEnforce,
     "the `abort` file of a connection that another user mounted", "no connection of another user can be aborted"},
    {CAP_KILL, "CAP_KILL", kHeldBySupervisor | kHeldByProberHooks,
     "to end the front, which has another user; for the prober a hook that changed its user",
     "a front that hangs cannot be ended"},
    {CAP_NET_BIND_SERVICE, "CAP_NET_BIND_SERVICE", kHeldBySupervisor, "to listen on a port below 1024", ""},
    {CAP_SETUID, "CAP_SETUID", kHeldByFrontStart, "to become another user before it serves", "no front can be started"},
    {CAP_SETGID, "CAP_SETGID", kHeldByFrontStart, "to become another user before it serves", "no front can be started"},
    {CAP_SETPCAP, "CAP_SETPCAP", kHeldByFrontStart | kHeldByProberStart,
     "to give up all other capabilities for good, also for what it might execute", "no front can be started"},
});

CapabilitySet held_by(std::uint32_t holders) {
  CapabilitySet out;
  for (const CapabilityNeed& need : kNeeds) {
    if ((need.held_by & holders) != 0) out.insert(need.number);
  }
  return out;
}

using CapabilityState = std::unique_ptr<void, int (*)(void*)>;

// Those of `kept` that this process has.
Result<void> set_flag(const CapabilityState& state, cap_flag_t flag, const CapabilitySet& kept) {
  const CapabilitySet have = effective_capabilities();
  std::vector<cap_value_t> left;
  std::set_intersection(kept.begin(), kept.end(), have.begin(), have.end(), std::back_inserter(left));
  if (left.empty()) return {};
  if (cap_set_flag(static_cast<cap_t>(state.get()), flag, static_cast<int>(left.size()), left.data(), CAP_SET) < 0)
    return fail_errno(errno, "keeping capabilities");
  return {};
}

Result<void> apply(const CapabilityState& state) {
  if (cap_set_proc(static_cast<cap_t>(state.get())) < 0) return fail_errno(errno, "dropping capabilities");
  if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
    return fail_errno(errno, "dropping ambient capabilities");
  return {};
}

}  // namespace

std::span<const CapabilityNeed> capability_needs() { return kNeeds; }

std::string describe_holders(const CapabilityNeed& need) {
  constexpr std::array kNames = std::to_array<std::pair<HeldBy, std::string_view>>({
      {kHeldBySupervisor, "supervisor"},
      {kHeldByFrontStart, "front, until it serves"},
      {kHeldByProberStart, "prober, until it is confined"},
      {kHeldByProber, "prober"},
      {kHeldByProberEnforce, "prober in `enforce`"},
      {kHeldByProberHooks, "prober with hooks"},
  });
  std::string out;
  for (const auto& [bit, name] : kNames) {
    if ((need.held_by & bit) != 0) out.append(out.empty() ? "" : "; ").append(name);
  }
  return out;
}

CapabilitySet capabilities_of_supervisor() { return held_by(kHeldBySupervisor); }

CapabilitySet capabilities_of_prober(Mode mode, bool hooks) {
  std::uint32_t holders = kHeldByProber;
  if (mode == Mode::enforce) holders |= kHeldByProberEnforce;
  if (mode == Mode::enforce && hooks) holders |= kHeldByProberHooks;
  return held_by(holders);
}

CapabilitySet effective_capabilities() {
  CapabilitySet out;
  const std::unique_ptr<void, int (*)(void*)> own(cap_get_proc(), &cap_free);
  if (!own) return out;
  for (int capability = 0; prctl(PR_CAPBSET_READ, capability) >= 0; ++capability) {
    cap_flag_value_t value = CAP_CLEAR;
    if (cap_get_flag(static_cast<cap_t>(own.get()), capability, CAP_EFFECTIVE, &value) == 0 && value == CAP_SET)
      out.insert(capability);
  }
  return out;
}

bool is_in_bounding_set(int capability) { return prctl(PR_CAPBSET_READ, capability) == 1; }

Result<void> keep_capabilities(const CapabilitySet& kept) {
  const CapabilityState wanted(cap_init(), &cap_free);
  if (!wanted) return fail_errno(errno, "keeping capabilities");
  for (const cap_flag_t flag : {CAP_PERMITTED, CAP_EFFECTIVE}) {
    if (auto set = set_flag(wanted, flag, kept); !set) return set;
  }
  return apply(wanted);
}

Result<void> use_capabilities(const CapabilitySet& used) {
  const CapabilityState wanted(cap_get_proc(), &cap_free);
  if (!wanted) return fail_errno(errno, "keeping capabilities");
  if (cap_clear_flag(static_cast<cap_t>(wanted.get()), CAP_EFFECTIVE) < 0)
    return fail_errno(errno, "keeping capabilities");
  if (auto set = set_flag(wanted, CAP_EFFECTIVE, used); !set) return set;
  return apply(wanted);
}

Result<void> keep_bounding_set(const CapabilitySet& kept) {
  for (int capability = 0; prctl(PR_CAPBSET_READ, capability) >= 0; ++capability) {
    if (kept.count(capability) > 0 || !is_in_bounding_set(capability)) continue;
    if (prctl(PR_CAPBSET_DROP, capability) == 0) continue;
    if (errno == EPERM) return {};
    return fail_errno(errno, "dropping a capability from the bounding set");
  }
  return {};
}

}  // namespace defused
