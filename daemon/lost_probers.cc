// SPDX-License-Identifier: Apache-2.0
#include "daemon/lost_probers.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <optional>

#include "base/text.h"
#include "base/unique_fd.h"

namespace defused {

Result<std::vector<LostProber>> read_lost_probers(const std::string& path) {
  const UniqueFd file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!file && errno == ENOENT) return std::vector<LostProber>{};
  if (!file) return fail_errno(errno, "opening " + path);
  std::array<char, 16384> text{};
  const ssize_t got = read(file.get(), text.data(), text.size());
  if (got < 0) return fail_errno(errno, "reading " + path);
  std::vector<LostProber> lost;
  std::string_view rest(text.data(), static_cast<std::size_t>(got));
  while (!rest.empty()) {
    std::string_view line = take_field(rest, '\n');
    const auto pid = parse_u64(take_field(line, ' '));
    const auto start = parse_u64(take_field(line, ' '));
    const auto inode = line.empty() ? std::optional<std::uint64_t>(0) : parse_u64(line);
    if (!pid || !start || !inode) return fail(ErrorKind::malformed, path + ": a line is not \"PID START [INODE]\"");
    lost.push_back(LostProber{ProcessId{static_cast<pid_t>(*pid), *start}, *inode});
  }
  return lost;
}

Result<void> write_lost_probers(const std::string& path, const std::vector<LostProber>& lost) {
  std::string text;
  for (const auto& [id, inode] : lost) {
    text += std::to_string(id.pid) + " " + std::to_string(id.start_ticks) + " " + std::to_string(inode) + "\n";
  }
  const std::string temporary = path + ".new";
  const UniqueFd file(open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file) return fail_errno(errno, "opening " + temporary);
  if (write(file.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    return fail_errno(errno, "writing " + temporary);
  }
  if (fsync(file.get()) < 0 || rename(temporary.c_str(), path.c_str()) < 0) return fail_errno(errno, "writing " + path);
  return {};
}

std::string render_lost(const std::vector<ProcessId>& lost) {
  std::string text;
  for (const ProcessId& id : lost) {
    text += (text.empty() ? "" : ",") + std::to_string(id.pid) + ":" + std::to_string(id.start_ticks);
  }
  return text;
}

}  // namespace defused
