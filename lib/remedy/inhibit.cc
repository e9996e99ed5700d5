// SPDX-License-Identifier: Apache-2.0
#include "remedy/inhibit.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "base/text.h"
#include "remedy/state_files.h"

namespace defused {

namespace {

constexpr std::size_t kMaxFile = 65'536;  // whatever somebody wrote there; its first line is what counts

Nanoseconds mtime_of(const struct stat& status) {
  return std::chrono::seconds(status.st_mtim.tv_sec) + Nanoseconds(status.st_mtim.tv_nsec);
}

Inhibition unreadable(int directory, const Error& error) {
  Inhibition found;
  found.reason = sanitize("the inhibit file is there and cannot be read: " + error.message, kMaxInhibitReason);
  struct stat status {};
  if (fstatat(directory, kInhibitName, &status, AT_SYMLINK_NOFOLLOW) == 0) found.since = mtime_of(status);
  return found;
}

}  // namespace

std::optional<Inhibition> read_inhibition(const std::string& state_directory) {
  const auto directory = open_state_directory(state_directory);
  if (!directory && directory.error().kind == ErrorKind::gone) return std::nullopt;
  if (!directory) {
    return Inhibition{
        sanitize("whether there is an inhibit file cannot be told: " + directory.error().message, kMaxInhibitReason),
        Nanoseconds(0)};
  }
  const auto file = read_state_file(directory->get(), state_directory, kInhibitName, kMaxFile);
  if (!file) return unreadable(directory->get(), file.error());
  if (!*file) return std::nullopt;
  std::string_view rest = (*file)->text;
  const std::string_view line = trim(take_field(rest, '\n'));
  return Inhibition{line.empty() ? "no reason given" : sanitize(line, kMaxInhibitReason), mtime_of((*file)->status)};
}

Result<void> write_inhibition(const std::string& state_directory, const std::string& reason) {
  if (trim(reason).empty()) return fail(ErrorKind::malformed, "the reason: expected one, got nothing");
  if (reason.find_first_of("\n\r") != std::string::npos) {
    return fail(ErrorKind::malformed, "the reason: expected one line");
  }
  if (reason.size() > kMaxInhibitReason) {
    return fail(ErrorKind::malformed, "the reason: expected at most " + std::to_string(kMaxInhibitReason) +
                                          " bytes, got " + std::to_string(reason.size()));
  }
  const auto directory = make_state_directory(state_directory);
  if (!directory) return Failure(directory.error());
  const auto made = replace_state_file(directory->get(), state_directory, kInhibitName, reason + "\n");
  if (!made) return Failure(made.error());
  return {};
}

Result<bool> remove_inhibition(const std::string& state_directory) {
  const auto directory = open_state_directory(state_directory);
  if (!directory && directory.error().kind == ErrorKind::gone) return false;
  if (!directory) return Failure(directory.error());
  if (unlinkat(directory->get(), kInhibitName, 0) != 0) {
    if (errno == ENOENT) return false;
    return fail_errno(errno, "removing " + state_directory + "/" + kInhibitName);
  }
  if (auto durable = make_durable(directory->get(), state_directory); !durable) return Failure(durable.error());
  return true;
}

}  // namespace defused
