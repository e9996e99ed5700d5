// SPDX-License-Identifier: Apache-2.0
// Result<T>: a value or an Error. Library code returns it and never logs, throws or exits.
// An Error is a kind (what the caller may do about it) and one sentence, built by prepending context:
// "reading 4711/stat: field 22: not a number: 'x'".
#pragma once

#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <utility>

namespace defused {

/// Why something could not be read or done. The words are those of DESIGN.md section 2, "gap".
enum class ErrorKind {
  gone,         ///< the process, thread or file vanished: ENOENT, ESRCH (never a failure of ours)
  denied,       ///< EACCES, EPERM
  timeout,      ///< a deadline or a budget ran out
  malformed,    ///< read, but not in the form that the kernel documents
  unsupported,  ///< this kernel or this object does not have it: ENOSYS, EOPNOTSUPP, EINVAL from /proc
  io,           ///< anything else
};

/// The word for `kind` as it stands in reports and metrics, e.g. "gone".
std::string_view to_string(ErrorKind kind);

struct Error {
  ErrorKind kind = ErrorKind::io;
  std::string message;
  int code = 0;  ///< errno where one is known, else 0
};

template <typename T>
using Result = tl::expected<T, Error>;

using Failure = tl::unexpected<Error>;

/// An Error ready to be returned from a function with a Result.
[[nodiscard]] Failure fail(ErrorKind kind, std::string message);

/// The same from errno: the kind follows from the number, the message ends with its text ("...: Permission denied").
[[nodiscard]] Failure fail_errno(int error_number, std::string_view context);

/// `error` with "context: " before its message.
[[nodiscard]] Failure prepend(std::string_view context, Error error);

/// The kind that an errno stands for (see ErrorKind).
ErrorKind kind_of_errno(int error_number);

}  // namespace defused
