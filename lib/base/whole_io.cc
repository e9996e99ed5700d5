// SPDX-License-Identifier: Apache-2.0
#include "base/whole_io.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

namespace defused {

Result<FileText> read_up_to(int fd, std::size_t max_bytes) {
  FileText file;
  std::array<char, 16384> buffer;  // NOLINT(cppcoreguidelines-pro-type-member-init): filled by read
  while (true) {
    const ssize_t got = read(fd, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail_errno(errno, "reading");
    if (got == 0) return file;
    const std::size_t room = max_bytes - file.text.size();
    file.text.append(buffer.data(), std::min(room, static_cast<std::size_t>(got)));
    if (static_cast<std::size_t>(got) > room) {
      file.truncated = true;
      return file;
    }
  }
}

Result<void> write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = write(fd, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return fail_errno(errno, "writing");
    if (written == 0) return fail(ErrorKind::io, "writing: nothing was written");
    text.remove_prefix(static_cast<std::size_t>(written));
  }
  return {};
}

}  // namespace defused
