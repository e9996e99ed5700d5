// SPDX-License-Identifier: Apache-2.0
// The evidence of an explanation: the lines of /proc and fusectl that a finding rests on, each with its path, and what
// they mean. Pure; inner part of explain_text.
#pragma once

#include <string>

#include "daemon/explain_text.h"
#include "daemon/text_page.h"

namespace defused {

/// "/proc/4711/task/4713", or "/proc/4711" for the leader.
std::string task_path(const BlockedThread& thread);

/// "request_wait_answer <- fuse_flush <- .. <- do_exit": bounded.
std::string stack_in_words(const std::vector<std::string>& stack);

/// What a thread waits for, as a sentence for people who do not know the wait classes.
std::string wait_in_words(const BlockedThread& thread);

/// State, flags, stack and age of a thread, and what told its connection.
void add_thread_evidence(TextPage& page, const BlockedThread& thread, const ExplainInput& input);

/// Where a connection is mounted, what waits in it, who could answer, who else would lose it.
void add_connection_evidence(TextPage& page, const ConnectionFinding& connection, const ExplainInput& input);

/// The connections of these ids, as far as the report has them.
std::vector<const ConnectionFinding*> connections_of(const std::vector<ConnectionId>& ids, const Report& report);

/// The connections that any of these threads may wait for.
std::vector<const ConnectionFinding*> candidates_of(const std::vector<BlockedThread>& threads, const Report& report);

/// Whether something is to be told of a thread that nobody told to die.
bool waits_for_something(const BlockedThread& thread);

}  // namespace defused
