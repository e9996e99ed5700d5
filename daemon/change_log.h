// SPDX-License-Identifier: Apache-2.0
// What the log says of a pass: one line where something became stuck or stalled, changed its verdict or its decision,
// moves again, or is gone; none for a pass in which nothing changed. Bounded: at most kLinesPerWindow in kLogWindow,
// then one line that counts the rest; what changes again and again is told at ever longer intervals. One thread.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "daemon/log.h"
#include "model/history.h"
#include "model/report.h"

namespace defused {

inline constexpr Nanoseconds kLogWindow = std::chrono::minutes(1);
inline constexpr std::uint32_t kLinesPerWindow = 20;
/// Lines about one thing that come at once; each one after them waits twice as long, from kFirstPause to kLongestPause.
/// After that long without a change it begins anew.
inline constexpr std::uint32_t kLinesAtOnce = 4;
/// Records of the decisions about one thing that come at once: a namespace that becomes old enough goes through
/// several.
inline constexpr std::uint32_t kRecordsAtOnce = 12;
inline constexpr Nanoseconds kFirstPause = std::chrono::minutes(1);
inline constexpr Nanoseconds kLongestPause = std::chrono::hours(1);

using Tell = std::function<void(const LogLine& line)>;

/// Compares the report with what was told, tells each change, counts each changed decision and notes what was told.
/// `now` is boot time. Returns the places of the decisions about stuck namespaces that changed and are worth a record;
/// of what changes again and again, fewer, as with lines.
std::vector<std::size_t> tell_changes(const Report& report, LogMemory& log, Counters& counters, Nanoseconds now,
                                      const Tell& tell);

/// What came of an action.
LogLine tell_outcome(const OutcomeRecord& record);

}  // namespace defused
