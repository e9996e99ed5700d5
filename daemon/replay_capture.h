// SPDX-License-Identifier: Apache-2.0
// A capture, an evidence bundle, or a directory shaped like those of tests/captures, and its diagnosis: the production
// Cycle over each look, with the clocks of the looks, in a private directory that is removed again. Nothing of this
// host is asked (docs/decisions/0008). One thread; signals that end a program should be held (blocked_signals.h).
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "base/result.h"
#include "base/tree_archive.h"
#include "capture/about.h"
#include "model/history.h"
#include "model/settings.h"
#include "model/subject.h"

namespace defused {

struct Captured {
  LoadedTree loaded;                  ///< as it was read: looks joined, and what lies beside them
  std::optional<CaptureAbout> about;  ///< nothing: a tree that does not say what it is
  std::string report;                 ///< report.json; "": there is none
  std::uint64_t left_out = 0;         ///< readings that did not fit into its looks; known once it was replayed
};

/// The archive or directory at `path`. Every error begins with the path. gone, denied, io; malformed: no capture;
/// unsupported: too large.
Result<Captured> read_captured(const std::string& path);
/// The same of a tree in memory. malformed.
Result<Captured> take_captured(LoadedTree loaded);

/// settings.json of it, or the defaults where there is none. malformed, as a configuration that is not taken.
Result<Settings> captured_settings(const Captured& captured);

struct ReplayWish {
  Settings settings;               ///< what judging rests on; the mode is that of the passes
  std::optional<Subject> subject;  ///< PassResult::subject
  std::function<bool()> stop;      ///< asked before each look: true ends it (io). May be empty
};

/// The last pass. Takes the tree out of `captured`: there is one of it at a time. malformed: a look that is not as it
/// should be; io: the directory cannot be made or filled.
Result<PassResult> replay_captured(Captured& captured, const ReplayWish& wish);

}  // namespace defused
