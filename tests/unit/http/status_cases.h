// SPDX-License-Identifier: Apache-2.0
// Hosts in the states that the status page has to tell, as a View each.
#pragma once

#include <functional>
#include <string>

#include "exporters/exporter.h"

namespace defused::test {

/// A host with two living connections and nothing wrong; the pass began 2 s ago.
View healthy_view();

/// The deadlock of DESIGN.md section 1: docker-init waits for a process, one thread of which waits in fuse_flush on
/// connection 40, whose server is dead. Held by `mode` alone.
View deadlocked_view();

/// The same view with `change` made to its report.
View changed(View view, const std::function<void(Report&)>& change);

/// The only namespace of a report.
NamespaceFinding& stuck_in(Report& report);

/// Connection 40 of a report.
ConnectionFinding& wedged_in(Report& report);

/// The state of its server, told in connection and verdict alike.
void set_server(Report& report, ServerState state, Verdict verdict, char process_state = 'S');

}  // namespace defused::test
