// SPDX-License-Identifier: Apache-2.0
// Files of the state directory: found, read and replaced so that a reader sees the old one or the new one, and that
// what is reported as written is on disk. Private to lib/remedy. Nothing is followed and nothing but a regular file is
// read.
//
// A temporary file is `<stem>.new-<pid>`. Those of processes that are gone are removed before another one is made; none
// is ever read.
#pragma once

#include <fcntl.h>
#include <sys/stat.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "base/whole_io.h"

namespace defused {

inline constexpr mode_t kStateDirectoryMode = 0700;
inline constexpr mode_t kStateFileMode = 0600;
/// For reading what an operator or another program may have put in the place of a file of ours: a FIFO must not hold
/// us, a link must not lead us away.
inline constexpr int kOpenStrange = O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;

/// The directory at `path`. gone: there is none.
Result<UniqueFd> open_state_directory(const std::string& path);
/// The same; its last part is made, durably and with 0700, where it is missing.
Result<UniqueFd> make_state_directory(const std::string& path);

/// fsync. `path` is for the sentence.
Result<void> make_durable(int fd, const std::string& path);

/// Names in the directory, without "." and "..", in their order.
Result<std::vector<std::string>> list_state_directory(int directory, const std::string& path);

/// A file as it was read.
struct StateFile {
  std::string text;
  struct stat status {};
};
/// Nothing: no such file. malformed: no regular file, or longer than `max_bytes`.
Result<std::optional<StateFile>> read_state_file(int directory, const std::string& path, const std::string& name,
                                                 std::size_t max_bytes);

/// A temporary file that is removed again unless it was put in its place.
class TemporaryFile {
 public:
  /// `path` is that of the directory, which must stay open.
  static Result<TemporaryFile> create(int directory, const std::string& path, const std::string& stem);
  TemporaryFile(TemporaryFile&& other) noexcept = default;
  TemporaryFile& operator=(TemporaryFile&&) = delete;
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  ~TemporaryFile();

  [[nodiscard]] int fd() const { return file_.get(); }
  [[nodiscard]] std::string path() const { return path_ + "/" + temporary_; }
  /// Gives it room for `bytes`, really taken from the disk.
  [[nodiscard]] Result<void> take_room(std::uint64_t bytes) const;
  /// fsync, rename to `name`, fsync of the directory. Returns what the file then is.
  Result<struct stat> put_in_place(const std::string& name);

 private:
  TemporaryFile(int directory, std::string path, std::string temporary, UniqueFd file)
      : directory_(directory), path_(std::move(path)), temporary_(std::move(temporary)), file_(std::move(file)) {}
  int directory_;
  std::string path_;
  std::string temporary_;
  UniqueFd file_;
};

/// Replaces the file `name` by one with `text`, durably. On an error the old one is whole (the new one, where nothing
/// but the last fsync failed) and nothing else is left.
Result<struct stat> replace_state_file(int directory, const std::string& path, const std::string& name,
                                       std::string_view text);

/// Whether a file of `bytes` could be made and fsynced now: one is made and removed.
Result<void> prove_room(int directory, const std::string& path, const std::string& stem, std::uint64_t bytes);

}  // namespace defused
