// SPDX-License-Identifier: Apache-2.0
// FuseRoot: the fusectl mount as a root descriptor of its own, recognised by its magic (0x65735543,
// FUSE_CTL_SUPER_MAGIC); or, for captures and tests, any directory of that shape. Lists connections and is the only
// writer of an abort file. Never touches a FUSE mount. One thread.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/beneath.h"
#include "base/result.h"
#include "model/snapshot.h"
#include "remedy/aborter.h"

namespace defused {

class FuseRoot {
 public:
  /// At most so many connections are read in a pass; more are a gap ("fusectl", unsupported).
  static constexpr std::size_t kMaxConnections = 4096;
  static constexpr const char* kDefaultPath = "/sys/fs/fuse/connections";

  /// Opens the mount at `path`. gone: nothing is there; unsupported: a directory, but not a fusectl mount.
  static Result<FuseRoot> open(const std::string& path = kDefaultPath, ReadHook hook = {});
  /// A directory that looks like one, without the check of the magic: captures and tests.
  static Result<FuseRoot> open_capture(const std::string& path, ReadHook hook = {});

  /// Whether the mount lets nobody write: no connection can be aborted through it.
  [[nodiscard]] bool is_read_only() const;

  /// Notes what is read from now on (Beneath::record_to).
  void record_to(ReadRecorder* recorder) { root_.record_to(recorder); }

  /// All connections, by id. A file that cannot be read is a gap, one that vanished is left out.
  [[nodiscard]] std::vector<ConnectionSample> read_connections(Gaps& gaps) const;

  /// Requests that wait in `connection` now. gone: there is no such connection any more, or another one with the same
  /// number.
  [[nodiscard]] Result<std::uint64_t> read_waiting(ConnectionId connection, std::uint64_t directory_inode) const;

  /// Opens the abort file and checks the directory's inode. See Aborter::open.
  [[nodiscard]] Result<std::unique_ptr<ArmedAbort>> open_abort(ConnectionId connection,
                                                               std::uint64_t directory_inode) const;

 private:
  explicit FuseRoot(Beneath root) : root_(std::move(root)) {}
  /// The directory of the connection, held: its inode and what is opened below it are of one and the same connection.
  [[nodiscard]] Result<Beneath> open_connection(ConnectionId connection, std::uint64_t directory_inode) const;
  Beneath root_;
};

/// The real Aborter: through a FuseRoot that is opened when it is needed.
class FusectlAborter final : public Aborter {
 public:
  explicit FusectlAborter(std::string path = FuseRoot::kDefaultPath) : path_(std::move(path)) {}
  Result<std::unique_ptr<ArmedAbort>> open(ConnectionId connection, std::uint64_t directory_inode) override;

 private:
  std::string path_;
};

/// One line with a number, as in `waiting`, "1\n" (fs/fuse/control.c). malformed otherwise.
Result<std::uint64_t> parse_fusectl_number(std::string_view text);

}  // namespace defused
