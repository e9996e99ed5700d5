// SPDX-License-Identifier: Apache-2.0
// What a capture holds, as a tree (docs/decisions/0008, docs/CAPTURE.md).
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/file_tree.h"
#include "base/result.h"
#include "model/report.h"
#include "model/settings.h"

namespace defused {

struct CaptureInput {
  std::vector<FileTree> looks;  ///< not empty
  Report report;                ///< of the last look
  Settings settings;            ///< as configured
  bool all = false;
};

/// How much of it there is.
struct CaptureSize {
  std::size_t looks = 0;
  std::size_t processes = 0;  ///< in the first look
  std::size_t connections = 0;
  std::size_t unreadable = 0;  ///< files that could not be read in one look or more
  std::uint64_t left_out = 0;  ///< readings that did not fit, of all looks
  std::uint64_t dropped = 0;   ///< files that redaction does not know
};

struct CaptureTree {
  FileTree tree;
  Nanoseconds time{0};  ///< wall clock, of the first look
  CaptureSize size;
};

/// The looks with all that lies beside them; ledger and inhibit file are read from the state directory of the settings.
/// malformed: a look without a look.json that can be read.
Result<CaptureTree> make_capture(CaptureInput input);

/// The same without names and paths, and with the report that a replay of it gives. `stop` is asked often: true ends it
/// (io). Errors: those of the replay too.
Result<CaptureTree> make_redacted_capture(CaptureInput input, const std::function<bool()>& stop = {});

/// "./defused-node-7-20261124T121500.000Z.tar".
std::string default_capture_path(const std::string& host, Nanoseconds time);

}  // namespace defused
