// SPDX-License-Identifier: Apache-2.0
// The same words for the same things in every text for people: scan's table, connections, explain. Pure. Strings of the
// report are sanitised already (no control characters, valid UTF-8).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "model/report.h"
#include "model/sentences.h"
#include "model/settings.h"

namespace defused {

/// "Circuit breaker .." of "circuit breaker ..".
std::string capitalized(std::string text);

std::string join(const std::vector<std::string>& parts, const char* separator);

/// "3m12s", "0.4s", "2h05m".
std::string render_age(Nanoseconds age);

/// "4713 (s3fs) of process 4711: fuse_flush on connection 40 (exact), for 3m12s".
std::string describe_thread(const BlockedThread& thread);

/// All of a connection in one line.
std::string describe_connection(const ConnectionFinding& connection, ExposeSource expose);

/// "deadlocked (proven)".
std::string describe_verdict(Verdict verdict, Evidence evidence);

/// "docker 0123.. pod 1111-..".
std::string describe_container(const Container& container);

/// "4711 (s3fs)".
std::string describe_process(const NamedProcess& process);

/// "4711 (s3fs), 4712 (cat) and 12 more", where there are `count` in all.
std::string describe_processes(const std::vector<NamedProcess>& processes, std::size_t count);

/// "stat (timeout, 3x: 4711 'python'), fdinfo (denied, 1x)"; ".." where more processes than those are meant.
std::string describe_gaps(const Gaps& gaps, const GapProcesses& processes);

/// "circuit breaker open (failed_outcomes) since 2026-07-01T12:00:00.000Z: abort of connection 40 ..", where it is
/// open.
std::string describe_breaker(const RemedyState& state);

/// "paused (inhibited) since 2026-07-01T12:00:00.000Z: kernel upgrade", where it is.
std::string describe_inhibition(const RemedyState& state);

/// "2026-07-01T12:00:00.000Z, connection 40 for PID namespace 4026532178, by hand: `released` after 1m02s: ..".
std::string describe_action(const OutcomeRecord& action);

}  // namespace defused
