// SPDX-License-Identifier: Apache-2.0
#include "procfs/read_parsed.h"

namespace defused {

Result<StatusFields> read_status(const Beneath& root, const std::string& directory) {
  const auto file = root.read_file(directory + "status", kMaxSmallFile);
  if (!file) return Failure(file.error());
  return parse_status(file->text);
}

Result<StatFields> read_stat(const Beneath& root, const std::string& directory) {
  const auto file = root.read_file(directory + "stat", kMaxSmallFile);
  if (!file) return Failure(file.error());
  return parse_stat(file->text);
}

std::optional<ProcessBrief> read_brief(const ProcRoot& proc, pid_t pid, Gaps& gaps) {
  const auto status = read_status(proc.files(), std::to_string(pid) + "/");
  if (status) return make_brief(*status);
  if (status.error().kind != ErrorKind::gone) add_gap(gaps, "status", status.error().kind);
  return std::nullopt;
}

}  // namespace defused
