// SPDX-License-Identifier: Apache-2.0
#include "base/result.h"

#include <cerrno>
#include <system_error>

namespace defused {

std::string_view to_string(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::gone: return "gone";
    case ErrorKind::denied: return "denied";
    case ErrorKind::timeout: return "timeout";
    case ErrorKind::malformed: return "malformed";
    case ErrorKind::unsupported: return "unsupported";
    case ErrorKind::io: return "io";
  }
  return "io";
}

ErrorKind kind_of_errno(int error_number) {
  switch (error_number) {
    case ENOENT:
    case ESRCH: return ErrorKind::gone;
    case EACCES:
    case EPERM: return ErrorKind::denied;
    case ETIMEDOUT: return ErrorKind::timeout;
    case ENOSYS:
    case EINVAL:
    case EOPNOTSUPP: return ErrorKind::unsupported;
    default: return ErrorKind::io;
  }
}

Failure fail(ErrorKind kind, std::string message) { return Failure(Error{kind, std::move(message), 0}); }

Failure fail_errno(int error_number, std::string_view context) {
  std::string message(context);
  message += ": ";
  message += std::generic_category().message(error_number);
  return Failure(Error{kind_of_errno(error_number), std::move(message), error_number});
}

Failure prepend(std::string_view context, Error error) {
  error.message.insert(0, ": ");
  error.message.insert(0, context);
  return Failure(std::move(error));
}

}  // namespace defused
