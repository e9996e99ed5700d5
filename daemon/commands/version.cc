// SPDX-License-Identifier: Apache-2.0
#include <version.h>

#include <iostream>

#include "daemon/commands/commands.h"
#include "daemon/exit_codes.h"

namespace defused {

int version_command(const VersionOptions& /*options*/) {
  std::cout << "defused " << kVersion << " (" << kRevision << ", " << kCompiler << ")\n";
  return kExitOk;
}

}  // namespace defused
