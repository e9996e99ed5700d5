// SPDX-License-Identifier: Apache-2.0
// What a capture says of itself: about.json, schema `defused.capture/v1` (docs/decisions/0008, docs/CAPTURE.md).
// nlohmann_json stays in about.cc. Pure.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/result.h"

namespace defused {

struct CaptureAbout {
  std::string version;  ///< of defused, with its revision: "0.1.0 (abc1234)"
  std::string host;     ///< "redacted" where it is
  Nanoseconds time{0};  ///< wall-clock time of the first look
  std::string boot_id;  ///< that the ledger is to be read by; "" where redacted: nothing of the ledger is of this boot
  bool all = false;     ///< of the whole host, not of the candidates
  bool redacted = false;
  std::uint32_t looks = 0;
  bool evidence = false;  ///< of a bundle that the daemon kept when it acted (lib/remedy, evidence_store.h)
};

/// look.json: what a look knew beside the files.
struct LookAbout {
  Instant begin;
  bool file_reader = false;  ///< which readers of lib/bpf served
  bool wait_reader = false;
  pid_t own = 0;                          ///< the prober: neither user nor viewer
  pid_t parent = 0;                       ///< of it: neither it nor its other children are
  std::uint64_t left_out = 0;             ///< readings that did not fit
  std::uint64_t readers_left_behind = 0;  ///< children that read for it and could not be ended: a gap
  /// The inode of each connection's directory: numbers are used again at once, and with another inode it is another
  /// one.
  std::map<std::uint32_t, std::uint64_t> connection_inodes;
};

/// One line, with a newline.
std::string render_about(const CaptureAbout& about);
/// The about.json of an evidence bundle is taken too: it says no more than host and time. malformed: not JSON, another
/// schema, a member of another kind. A member that is not known is passed over.
Result<CaptureAbout> parse_about(std::string_view text);

std::string render_look(const LookAbout& look);
Result<LookAbout> parse_look(std::string_view text);

}  // namespace defused
