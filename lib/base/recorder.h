// SPDX-License-Identifier: Apache-2.0
// ReadRecorder: keeps what was read below a root, path by path, so that the readings a decision rests on can be kept as
// evidence and read again. Bounded; what does not fit is counted. One thread.
#pragma once

#include <cerrno>
#include <cstddef>
#include <map>
#include <string>
#include <string_view>

#include "base/result.h"

namespace defused {

/// The code of a `timeout` that says nothing of the file: there was no time, or no reader, to ask.
inline constexpr int kNotAsked = EAGAIN;

class ReadRecorder {
 public:
  enum class Kind { file, link, directory };
  struct Entry {
    Kind kind = Kind::file;
    std::string text;   ///< of a file or link; of a directory its names, a line each, those of directories end in "/"
    bool whole = true;  ///< false: of a file only its beginning was read
  };

  /// Why a path could not be read.
  struct Failed {
    ErrorKind kind = ErrorKind::io;
    int code = 0;  ///< errno, 0: none
    bool operator==(const Failed&) const = default;
  };

  /// `max_bytes` of paths and texts together; of what failed half as much beside it.
  explicit ReadRecorder(std::size_t max_bytes) : max_bytes_(max_bytes) {}

  /// The last reading of a path wins, but a beginning takes the place of nothing but a shorter one. Paths are relative
  /// to the root ("4711/task/4712/stack"; "" is the root itself). What does not fit is as good as unreadable: it is
  /// noted as an error, `unsupported`, so that nobody takes it for something that is not there.
  void note(std::string_view path, Kind kind, std::string_view text, bool whole = true);

  /// `path` could not be read; what was read of it before stays. `gone` is not noted: what is not there is not there.
  /// A later reading of it takes the error away.
  void note_error(std::string_view path, Failed why);

  [[nodiscard]] const std::map<std::string, Failed>& errors() const { return errors_; }
  [[nodiscard]] const std::map<std::string, Entry>& entries() const { return entries_; }
  [[nodiscard]] std::size_t bytes() const { return bytes_; }        ///< of entries
  [[nodiscard]] std::size_t left_out() const { return left_out_; }  ///< readings that did not fit

 private:
  bool keep_error(std::string path, Failed why);
  void forgive(const std::string& path);

  std::size_t max_bytes_;
  std::size_t bytes_ = 0;
  std::size_t error_bytes_ = 0;
  std::size_t left_out_ = 0;
  std::map<std::string, Entry> entries_;
  std::map<std::string, Failed> errors_;
};

}  // namespace defused
