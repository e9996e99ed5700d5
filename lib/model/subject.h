// SPDX-License-Identifier: Apache-2.0
// Subject: what `defused explain X` is asked about, and what a pass knows of it: which readings of X exist on this host
// and which findings concern each. Passive data.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "model/report.h"

namespace defused {

enum class SubjectKind {
  everything,  ///< no X: all that is stuck or stalled
  any,         ///< X as typed: it may be several things
  process,
  pid_namespace,
  container,
  connection,
};

/// X. `text` is a container's id or prefix, or the digits of `number`.
struct Subject {
  SubjectKind kind = SubjectKind::everything;
  std::string text;
  std::optional<std::uint64_t> number;
};

/// "4711", "0123abcd", "pid:4711", "namespace:4026532178", "connection:40", "container:0123abcd"; "" and "everything"
/// are everything. malformed: an explicit form whose rest is no number, an unknown form, or characters that no id has.
/// One sentence.
Result<Subject> parse_subject(const std::string& text);

/// The explicit form that parse_subject reads as that and nothing else.
std::string describe_subject(const Subject& subject);

/// One thing on this host that X may mean.
struct SubjectReading {
  Subject subject;   ///< its explicit form
  std::string name;  ///< a person's words: "process 4711 (s3fs)", "connection 40 (fuse.s3fs at /data)"
  bool kernel_thread = false;
  std::vector<NamespaceId> pid_namespaces;  ///< the dying ones that it is, or that it is in, or that wait for it
  std::vector<ThreadId> stuck_exits;
  std::vector<ConnectionId> connections;  ///< that it is, waits for, serves, or that are stalled where it sees them
  std::vector<pid_t> processes;           ///< in Findings::asked
};

struct SubjectFinding {
  Subject subject;
  std::vector<SubjectReading> readings;  ///< empty: no such thing here. At most kMaxReadings
  std::uint32_t reading_count = 0;
};
inline constexpr std::size_t kMaxReadings = 16;

}  // namespace defused
