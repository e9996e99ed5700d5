// SPDX-License-Identifier: Apache-2.0
// EvidenceStore: one bundle for each action, `<state directory>/evidence/<time>-<connection>.tar.gz`, mode 0600: what
// the decision was read from, in the form of a capture with one look (docs/decisions/0008), the settings and the report
// of that pass, the audit record, and about.json. Time is "20261124T121500.000Z". A bundle is there whole or not at
// all. Bounded in number and in bytes of all bundles: the oldest go first.
#pragma once

#include <cstdint>
#include <string>

#include "base/clock.h"
#include "base/file_tree.h"
#include "base/result.h"

namespace defused {

struct EvidenceBundle {
  Nanoseconds at_wall{0};
  std::uint32_t connection = 0;
  std::string host = {};
  FileTree tree = {};          ///< of the look, as Cycle::take_recording() gives it
  std::uint64_t left_out = 0;  ///< readings that did not fit
  std::string settings = {};   ///< settings.json (render_report_settings)
  std::string report = {};     ///< report.json
  std::string intent = {};     ///< intent.json: the audit record
};

class EvidenceStore {
 public:
  static constexpr const char* kDirectory = "evidence";

  EvidenceStore(std::string state_directory, std::uint32_t max_bundles, std::uint64_t max_bytes);

  /// The name of the file that was made. unsupported: none are to be kept, or this one alone is larger than all may be.
  Result<std::string> keep(EvidenceBundle bundle);

 private:
  std::string state_directory_;
  std::uint32_t max_bundles_;
  std::uint64_t max_bytes_;
};

}  // namespace defused
