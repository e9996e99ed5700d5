// SPDX-License-Identifier: Apache-2.0
#include "daemon/exit_codes.h"

#include <algorithm>
#include <array>

#include "base/text.h"

namespace defused {

namespace {

constexpr std::array<ExitCode, 17> kExitCodes = {{
    {kExitOk, "done", "done", "pause resume capture config version help"},
    {kExitOk, "looked", "looked and told, also where something is stuck", "scan explain connections replay"},
    {kExitOk, "released", "what it held back is gone", "abort"},
    {kExitOk, "stopped", "stopped as asked", "run"},
    {kExitFailure, "failed", "failed at run time, or the output could not be written", ""},
    {kExitUsage, "usage", "wrong usage, or a configuration that is missing, broken or has an unknown key", ""},
    {kExitNotPermitted, "not permitted", "not root, or a capability is missing",
     "run scan explain connections abort capture pause resume config"},
    {kExitAddress, "address", "an address to listen on cannot be used", "run"},
    {kExitAlreadyRunning, "busy",
     "another `defused` runs with this runtime directory, or somebody else acts at this moment", "run abort resume"},
    {kExitNothingThere, "nothing there", "there is no such process, container, PID namespace or connection",
     "explain replay abort"},
    {kExitHeld, "held", "a gate, the hook or the second reading holds it; nothing was written", "abort"},
    {kExitNotConfirmed, "not confirmed",
     "not confirmed, or nobody can be asked and --yes is missing; nothing was written", "abort"},
    {kExitNotFreed, "not freed", "tried, but the PID namespace is not gone, or what came of it is not known", "abort"},
    {kCheckOk, "ok", "nothing is stuck or stalled", "check"},
    {kCheckWarning, "warning", "something is stuck that a person should look at", "check"},
    {kCheckCritical, "critical", "a container cannot die: nobody alive can answer", "check"},
    {kCheckUnknown, "unknown", "no diagnosis: wrong usage, not root, a broken configuration, or blind", "check"},
}};

bool has_command(const ExitCode& exit, std::string_view command) {
  if (exit.commands.empty()) return command != "check";
  const auto names = split_fields(exit.commands, ' ');
  return std::find(names.begin(), names.end(), command) != names.end();
}

}  // namespace

std::span<const ExitCode> exit_codes() { return kExitCodes; }

std::vector<ExitCode> exit_codes_of(std::string_view command) {
  std::vector<ExitCode> out;
  std::copy_if(kExitCodes.begin(), kExitCodes.end(), std::back_inserter(out),
               [&](const ExitCode& exit) { return has_command(exit, command); });
  return out;
}

}  // namespace defused
