// SPDX-License-Identifier: Apache-2.0
// What a person can do: commands to type, each with what it destroys. An abort is named only where nobody alive can
// answer and no live process outside has files open. No command here reads a mount, a command line or a memory map:
// those hang with the patient. Pure; inner part of explain_text.
#pragma once

#include <string>
#include <vector>

#include "daemon/explain_text.h"
#include "daemon/text_page.h"

namespace defused {

/// What to do about threads that share a cause. `again` is the command that looks at them again.
void add_advice(TextPage& page, Verdict verdict, const std::vector<BlockedThread>& threads, const std::string& again,
                const ExplainInput& input);

/// What to do about a connection whose requests stand, with no dying process involved.
void add_connection_advice(TextPage& page, const ConnectionFinding& connection, const ExplainInput& input);

/// What of this host could not be seen, and how to mend it; false where nothing is to be said.
bool add_blindness(TextPage& page, const Report& report);

}  // namespace defused
