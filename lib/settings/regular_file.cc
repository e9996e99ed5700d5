// SPDX-License-Identifier: Apache-2.0
#include "settings/regular_file.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>

#include "base/unique_fd.h"
#include "base/whole_io.h"

namespace defused {

Result<std::string> read_regular_file(const std::string& path, std::size_t max_bytes) {
  const UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!fd) return fail_errno(errno, path);
  struct stat status {};
  if (fstat(fd.get(), &status) != 0) return fail_errno(errno, path);
  if (!S_ISREG(status.st_mode)) return fail(ErrorKind::io, path + ": not a regular file");
  auto file = read_up_to(fd.get(), max_bytes);
  if (!file) return fail_errno(file.error().code, path);
  if (file->truncated) {
    return fail(ErrorKind::malformed, path + ": larger than " + std::to_string(max_bytes) + " bytes");
  }
  return std::move(file->text);
}

}  // namespace defused
