// SPDX-License-Identifier: Apache-2.0
// What `defused abort` says to people: what the connection holds, what holds it back, the question, what came of it.
// Wrapped at the width of the screen, where there is one. Pure.
#pragma once

#include <string>
#include <vector>

#include "daemon/terminal.h"
#include "model/codec.h"
#include "model/report.h"

namespace defused {

/// A sentence, with a newline at its end.
std::string say_wrapped(const std::string& text, const Screen& screen);

/// The connection, each dying PID namespace of `decisions` that it holds, and the threads in it that wait for it.
std::string render_abort_subject(const Report& report, const ConnectionFinding& connection,
                                 const std::vector<Decision>& decisions, ExposeSource expose, const Screen& screen);

/// One paragraph for each gate that holds; "" without any.
std::string render_gates(const std::vector<GateInWords>& gates, const Screen& screen);

/// What an abort destroys, and what to type: the cursor stays behind it.
std::string render_abort_question(ConnectionId id, const Screen& screen);

/// What came of it.
std::string render_abort_outcome(const OutcomeRecord& record, const Screen& screen);

}  // namespace defused
