// SPDX-License-Identifier: Apache-2.0
// LedgerFile: the ledger on disk, `<state directory>/ledger.json`, mode 0600. One JSON object and a line with its
// checksum; replaced as a whole (temporary file, fsync, rename, fsync of the directory), so that a reader sees the old
// one or the new one. The file is the ledger's only home: whoever acts reads it before and writes it after. Must not:
// be written by anybody who does not hold the actor lock (daemon/actor_lock.h).
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <optional>
#include <string>

#include "base/clock.h"
#include "base/result.h"
#include "model/history.h"

namespace defused {

/// Takes the ledger to disk; tests have failing ones.
class LedgerStore {
 public:
  LedgerStore() = default;
  LedgerStore(const LedgerStore&) = delete;
  LedgerStore& operator=(const LedgerStore&) = delete;
  virtual ~LedgerStore() = default;
  /// On disk when it returns. Errors: denied, io, gone.
  virtual Result<void> save(const Ledger& ledger) = 0;
};

class LedgerFile final : public LedgerStore {
 public:
  static constexpr const char* kName = "ledger.json";
  /// A file of kMaxLedgerEntries with long details is far below.
  static constexpr std::size_t kMaxBytes = 1U << 20U;

  /// `boot_id`: as /proc/sys/kernel/random/boot_id says. Entries of another boot keep their wall time and outcome;
  /// their boot time is made from it (it may be negative), connection, inode and namespace become 0.
  LedgerFile(std::string directory, std::string boot_id);

  /// The ledger as it is on disk; an empty one where there is no file. malformed: not such a file, a wrong checksum,
  /// too long, or no regular file. Entries without outcome come as they are.
  [[nodiscard]] Result<Ledger> load(Instant now) const;
  /// Whether the file is another one than at the last load() or save() of this object (by inode, size, mtime).
  [[nodiscard]] bool changed() const;
  Result<void> save(const Ledger& ledger) override;
  /// Whether save() would succeed now: makes and removes a temporary file of the ledger's full size.
  [[nodiscard]] Result<void> check() const;
  /// Gives the file a second name, "ledger.json.corrupt-<RFC 3339 time>", and returns that; the newest 4 are kept. It
  /// stays in its place until save() puts another one there; only what is no regular file is moved away.
  Result<std::string> set_aside(Instant now);

 private:
  struct Identity {
    std::uint64_t inode = 0;
    std::uint64_t size = 0;
    std::int64_t mtime_ns = 0;
    friend bool operator==(const Identity&, const Identity&) = default;
  };
  static Identity identity_of(const struct stat& status);
  [[nodiscard]] std::optional<Identity> identify() const;

  std::string directory_;
  std::string boot_id_;
  mutable std::optional<Identity> known_;
};

/// This boot, from /proc/sys/kernel/random/boot_id; "" where it cannot be read (then every entry is of another boot).
std::string read_boot_id();

/// Makes an entry of another boot one of this: its boot time from its wall time, the numbers of that boot become 0.
void take_into_this_boot(LedgerEntry& entry, Instant now);

/// The text of the file: the object, a newline, `crc32 <8 hex digits>`, a newline.
std::string render_ledger(const Ledger& ledger, const std::string& boot_id);
/// malformed otherwise.
Result<Ledger> parse_ledger(const std::string& text, const std::string& boot_id, Instant now);

}  // namespace defused
