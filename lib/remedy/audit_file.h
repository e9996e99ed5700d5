// SPDX-License-Identifier: Apache-2.0
// AuditFile: the audit log, JSON lines in `<state directory>/audit.jsonl`, mode 0600; the last directory of the path is
// created with 0700 if absent. Records are `defused.audit/v1`, see audit_record.h. A symbolic link or anything but a
// regular file is refused. A torn last line (a write that was cut off) is ended before the next one. Rotated by size:
// audit.jsonl becomes audit.jsonl.1, that one .2, and so on; the oldest goes. Several processes may append: a line goes
// out in one write, and one that came while the file was rotated away stands in the file that was.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "base/result.h"
#include "model/settings.h"

namespace defused {

/// Appends whole lines to the audit log. Errors: denied, io, gone.
class AuditLog {
 public:
  AuditLog() = default;
  AuditLog(const AuditLog&) = delete;
  AuditLog& operator=(const AuditLog&) = delete;
  virtual ~AuditLog() = default;
  /// `line` comes without its newline and is on disk when this returns. malformed: it has one inside.
  virtual Result<void> append(const std::string& line) = 0;
};

/// Whether the file system of the state directory has room for the records, as far as that can be told without writing
/// anything. It need not exist. Whether it is read-only is not asked: in the sandbox of whoever looks it always is.
/// Errors: io (full).
Result<void> look_for_room(const std::string& state_directory);
/// The other half, to be asked before there is a sandbox. Errors: denied (read-only).
Result<void> look_for_read_only(const std::string& state_directory);

class AuditFile final : public AuditLog {
 public:
  static constexpr const char* kName = "audit.jsonl";
  /// Room that check() asks for: an intent with all that it may list, and its outcome.
  static constexpr std::uint64_t kReserve = 4U << 20U;
  static constexpr std::size_t kMaxLine = kReserve / 2;

  AuditFile(std::string directory, AuditSettings settings) : directory_(std::move(directory)), settings_(settings) {}

  /// unsupported: longer than kMaxLine.
  Result<void> append(const std::string& line) override;
  /// The same, not waiting for the disk: for what is told, not for what is done.
  Result<void> append_lazily(const std::string& line);
  /// Whether lines of kReserve bytes could be written and fsynced now: the room is really allocated (beyond the end of
  /// the file, so that it does not become longer), where the file system can do that.
  [[nodiscard]] Result<void> check() const;
  void set_settings(AuditSettings settings) { settings_ = settings; }

 private:
  std::string directory_;
  AuditSettings settings_;
};

}  // namespace defused
