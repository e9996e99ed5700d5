// SPDX-License-Identifier: Apache-2.0
// Beneath: a directory descriptor and the only ways to read below it. Every path is opened with openat2 and
// RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV, so no read can walk into a mount or out of the root
// (DESIGN.md section 4); where the kernel has no openat2 (before 5.6) each component is opened with O_NOFOLLOW.
// Must not: follow a magic link, open a path relative to anything else. One thread at a time.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/recorder.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "base/whole_io.h"

namespace defused {

/// Called before each open, read and readlink below a root with the path; an Error it returns is what the operation
/// returns. Tests use it to make the n-th read fail, to watch the order of reads and to hang one.
using ReadHook = std::function<std::optional<Error>(std::string_view path)>;

/// An entry of a directory whose name is a decimal number.
struct NumberedEntry {
  std::uint64_t number = 0;
  std::uint64_t inode = 0;  ///< d_ino, as the directory itself lists it
};

class Beneath {
 public:
  /// Largest file read unless told otherwise, in bytes.
  static constexpr std::size_t kDefaultMaxBytes = 1U << 20U;

  Beneath() = default;
  /// Takes over `directory` (O_DIRECTORY or O_PATH). `hook` may be empty.
  explicit Beneath(UniqueFd directory, ReadHook hook = {});

  /// The directory at an absolute path, or the Error of opening it. `prefix` stands before each path that hook and
  /// recorder see ("sys/fs/fuse/": a root below another one).
  static Result<Beneath> open_root(const std::string& path, ReadHook hook = {}, std::string prefix = {});

  /// From now on what is read here, and below directories opened from here, is noted in `recorder` under the path that
  /// the hook sees, whether it is of use or not, and what could not be read with its error (never `gone`; what a hook
  /// made fail counts). Null: no longer. It must outlive all of them.
  void record_to(ReadRecorder* recorder) { recorder_ = recorder; }
  /// Notes what was read of `path` in another way: by a child process, or the part of it that counts.
  void note_read(const std::string& path, ReadRecorder::Kind kind, std::string_view text, bool whole = true) const;
  /// Notes that `path` could not be read in another way.
  void note_error(const std::string& path, const Error& error) const;
  /// Whether `path` is not read because there is no time left for it. That is noted like a reading that failed
  /// (`timeout`, kNotAsked); where the hook answers just that to the path, it is as if there were none.
  [[nodiscard]] bool is_put_off(const std::string& path, bool out_of_time) const;

  /// The directory `path` below this one. Keeps hook and recorder; the paths they see start with `path` + "/".
  [[nodiscard]] Result<Beneath> open_directory(const std::string& path) const;

  /// The file `path` opened with `flags` (O_RDONLY, O_WRONLY ...; O_CLOEXEC and O_NOFOLLOW are added).
  [[nodiscard]] Result<UniqueFd> open_file(const std::string& path, int flags) const;

  /// The content of `path`, at most `max_bytes` of it.
  [[nodiscard]] Result<FileText> read_file(const std::string& path, std::size_t max_bytes = kDefaultMaxBytes) const;
  /// The same, and never recorded: the caller notes what counts.
  [[nodiscard]] Result<FileText> read_unrecorded(const std::string& path, std::size_t max_bytes) const;

  /// The text of the symbolic or magic link `path`, by O_PATH | O_NOFOLLOW and readlinkat: never followed.
  [[nodiscard]] Result<std::string> read_link(const std::string& path) const;

  /// Names in the directory `path` ("." for this one), without "." and "..", at most `max_names` of them;
  /// `truncated` is set where there were more. Shorter names come first, so that numbers stand in their order whatever
  /// the file system.
  [[nodiscard]] Result<std::vector<std::string>> list(const std::string& path, std::size_t max_names,
                                                      bool& truncated) const;

  /// The entries of `path` whose names are decimal numbers, by number; other names are passed over.
  [[nodiscard]] Result<std::vector<NumberedEntry>> list_numbers(const std::string& path, std::size_t max_names,
                                                                bool& truncated) const;

  [[nodiscard]] int fd() const { return directory_.get(); }
  [[nodiscard]] bool valid() const { return directory_.valid(); }

 private:
  [[nodiscard]] Result<UniqueFd> open_beneath(const std::string& path, int flags) const;
  /// Calls `take` with name, inode and d_type of each entry but "." and ".." until it returns false.
  template <typename Take>
  Result<void> for_each_entry(const std::string& path, Take take) const;
  [[nodiscard]] std::optional<Error> ask_hook(const std::string& path) const;
  [[nodiscard]] std::string recorded_name(const std::string& path) const;
  /// `error`, noted.
  Failure failed(const std::string& path, Failure error) const;

  UniqueFd directory_;
  ReadHook hook_;
  ReadRecorder* recorder_ = nullptr;
  std::string prefix_;  // what hook and recorder see before a path
};

}  // namespace defused
