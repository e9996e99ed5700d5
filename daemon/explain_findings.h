// SPDX-License-Identifier: Apache-2.0
// One finding in words, from its title to what can be done. Pure; inner part of explain_text.
#pragma once

#include "daemon/explain_text.h"
#include "daemon/text_page.h"

namespace defused {

void add_namespace(TextPage& page, const NamespaceFinding& finding, const ExplainInput& input);

void add_stuck_exit(TextPage& page, const StuckExit& exit, const ExplainInput& input);

void add_connection(TextPage& page, const ConnectionFinding& connection, const ExplainInput& input);

/// A process that somebody asked about: that it hangs and where, or that nothing of it is blocked.
void add_process(TextPage& page, const ProcessFinding& process, const ExplainInput& input);

}  // namespace defused
