// SPDX-License-Identifier: Apache-2.0
// What an explanation says of acting: the mode, the gates that hold, what holds every action back, what was done
// already. Pure; inner part of explain_text.
#pragma once

#include <vector>

#include "daemon/explain_text.h"
#include "daemon/text_page.h"

namespace defused {

/// The mode, each gate that holds the decision about `finding`, and the state of breaker, pause and budget.
void add_policy(TextPage& page, const NamespaceFinding& finding, const ExplainInput& input);

/// An open breaker and a pause, each with the command that ends it; nothing where neither is.
void add_restraints(TextPage& page, const RemedyState& state);

/// The recorded actions on these connections or namespaces, newest first, under a heading; nothing where there are
/// none.
void add_past_actions(TextPage& page, const std::vector<NamespaceId>& namespaces,
                      const std::vector<ConnectionId>& connections, const Report& report);

}  // namespace defused
