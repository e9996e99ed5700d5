// SPDX-License-Identifier: Apache-2.0
#include "daemon/commands/commands.h"
#include "daemon/exit_codes.h"

namespace defused {

int check_command(const CheckOptions& /*options*/) { return kExitFailure; }

}  // namespace defused
