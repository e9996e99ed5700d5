// SPDX-License-Identifier: Apache-2.0
#include "remedy/audit_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <functional>
#include <optional>
#include <string_view>
#include <vector>

#include "base/text.h"
#include "base/unique_fd.h"
#include "remedy/ledger_file.h"
#include "remedy/state_files.h"

namespace defused {

namespace {

// Somebody else rotates between our steps: once is likely, again and again is not.
constexpr int kTries = 8;

std::string rotated_name(std::uint64_t number) { return std::string(AuditFile::kName) + "." + std::to_string(number); }

std::optional<std::uint64_t> number_of(std::string_view name) {
  const std::string prefix = std::string(AuditFile::kName) + ".";
  if (name.substr(0, prefix.size()) != prefix) return std::nullopt;
  return parse_u64(name.substr(prefix.size()));
}

Result<struct stat> look_at(int fd, const std::string& path) {
  struct stat found {};
  if (fstat(fd, &found) != 0) return fail_errno(errno, "looking at " + path);
  return found;
}

bool ends_torn(int fd, off_t size) {
  char last = '\n';
  return size > 0 && pread(fd, &last, 1, size - 1) == 1 && last != '\n';
}

// The log of one directory, for one operation.
class OpenLog {
 public:
  explicit OpenLog(std::string path) : path_(std::move(path)), file_path_(path_ + "/" + AuditFile::kName) {}

  // Readable too, for the last byte.
  Result<void> open() {
    constexpr int kFlags = O_RDWR | O_APPEND | kOpenStrange;
    if (!directory_) {
      auto made = make_state_directory(path_);
      if (!made) return Failure(made.error());
      directory_ = *std::move(made);
    }
    file_.reset(openat(directory_.get(), AuditFile::kName, kFlags));
    if (!file_ && errno == ENOENT) {
      file_.reset(openat(directory_.get(), AuditFile::kName, kFlags | O_CREAT, kStateFileMode));
      if (!file_) return fail_errno(errno, "creating " + file_path_);
      if (auto durable = make_durable(directory_.get(), path_); !durable) return durable;
    }
    if (!file_) return fail_errno(errno, "opening " + file_path_);
    const auto found = look_at(file_.get(), file_path_);
    if (!found) return Failure(found.error());
    if (!S_ISREG(found->st_mode)) return fail(ErrorKind::io, file_path_ + " is not a regular file");
    return {};
  }

  Result<void> append(const std::string& line, const AuditSettings& settings, bool durably) {
    for (int tries = 0; tries < kTries; ++tries) {
      if (auto opened = open(); !opened) return opened;
      const auto found = look_at(file_.get(), file_path_);
      if (!found) return Failure(found.error());
      const std::string text = (ends_torn(file_.get(), found->st_size) ? "\n" : "") + line + "\n";
      const auto size = static_cast<std::uint64_t>(found->st_size);
      if (size > 0 && size + text.size() > settings.max_bytes) {
        const auto rotated = rotate(settings.max_files);
        if (!rotated) return prepend("rotating " + file_path_, rotated.error());
        if (*rotated) continue;
      }
      if (auto written = write_all(file_.get(), text); !written) return prepend(file_path_, written.error());
      if (durably) {
        if (auto durable = make_durable(file_.get(), file_path_); !durable) return durable;
      }
      const auto after = look_at(file_.get(), file_path_);
      if (!after) return Failure(after.error());
      if (after->st_nlink > 0) return {};  // else it was removed before the line came
    }
    return fail(ErrorKind::io, file_path_ + " is replaced again and again");
  }

  [[nodiscard]] Result<void> check(std::uint64_t bytes) const {
    const auto found = look_at(file_.get(), file_path_);
    if (!found) return Failure(found.error());
    if (fallocate(file_.get(), FALLOC_FL_KEEP_SIZE, found->st_size, static_cast<off_t>(bytes)) != 0) {
      if (errno != EOPNOTSUPP && errno != ENOSYS) return fail_errno(errno, "taking room for " + file_path_);
      if (auto room = prove_room(directory_.get(), path_, AuditFile::kName, bytes); !room) return room;
    }
    if (auto durable = make_durable(file_.get(), file_path_); !durable) return durable;
    return make_durable(directory_.get(), path_);
  }

 private:
  // True: the file is another one now, or will be when it is opened again. False: somebody else is at it, who need not
  // be waited for: a line more in this file does no harm.
  Result<bool> rotate(std::uint32_t max_files) {
    if (flock(file_.get(), LOCK_EX | LOCK_NB) != 0) {
      if (errno == EWOULDBLOCK || errno == EINTR) return false;
      return fail_errno(errno, "locking it");
    }
    // Whoever holds the lock of the file that has the name is the only one who renames.
    const auto own = look_at(file_.get(), file_path_);
    if (!own) return Failure(own.error());
    struct stat named {};
    if (fstatat(directory_.get(), AuditFile::kName, &named, AT_SYMLINK_NOFOLLOW) != 0) {
      if (errno == ENOENT) return true;
      return fail_errno(errno, "looking at it");
    }
    if (named.st_ino != own->st_ino || named.st_dev != own->st_dev) return true;
    if (auto moved = move_all(max_files); !moved) return Failure(moved.error());
    if (auto durable = make_durable(directory_.get(), path_); !durable) return Failure(durable.error());
    return true;
  }

  [[nodiscard]] Result<void> move_all(std::uint32_t max_files) const {
    const auto names = list_state_directory(directory_.get(), path_);
    if (!names) return Failure(names.error());
    std::vector<std::uint64_t> numbers;
    for (const std::string& name : *names) {
      const auto number = number_of(name);
      const bool ours = number && *number > 0 && rotated_name(*number) == name;  // not "0", not "01"
      if (ours) numbers.push_back(*number);
    }
    std::sort(numbers.begin(), numbers.end(), std::greater<>());  // each makes room for the one below
    for (const std::uint64_t number : numbers) {
      const std::string name = rotated_name(number);
      if (number < max_files) {
        if (auto moved = move(name, rotated_name(number + 1)); !moved) return moved;
      } else if (unlinkat(directory_.get(), name.c_str(), 0) != 0 && errno != ENOENT) {
        return fail_errno(errno, "removing " + path_ + "/" + name);
      }
    }
    if (max_files > 0) return move(AuditFile::kName, rotated_name(1));
    if (unlinkat(directory_.get(), AuditFile::kName, 0) == 0) return {};
    return fail_errno(errno, "removing it");
  }

  [[nodiscard]] Result<void> move(const std::string& from, const std::string& to) const {
    if (renameat(directory_.get(), from.c_str(), directory_.get(), to.c_str()) == 0 || errno == ENOENT) return {};
    return fail_errno(errno, "renaming " + from + " to " + to);
  }

  std::string path_;
  std::string file_path_;
  UniqueFd directory_;
  UniqueFd file_;
};

Result<void> append_to(const std::string& directory, const std::string& line, const AuditSettings& settings,
                       bool durably) {
  if (line.find('\n') != std::string::npos) return fail(ErrorKind::malformed, "a line for the audit log has a newline");
  if (line.size() > AuditFile::kMaxLine) {
    return fail(ErrorKind::unsupported, "a line for the audit log has " + std::to_string(line.size()) +
                                            " bytes, at most " + std::to_string(AuditFile::kMaxLine) + " are allowed");
  }
  return OpenLog(directory).append(line, settings, durably);
}

}  // namespace

Result<void> AuditFile::append(const std::string& line) { return append_to(directory_, line, settings_, true); }

Result<void> AuditFile::append_lazily(const std::string& line) { return append_to(directory_, line, settings_, false); }

Result<void> AuditFile::check() const {
  OpenLog log(directory_);
  if (auto opened = log.open(); !opened) return opened;
  return log.check(kReserve);
}

Result<void> look_for_room(const std::string& state_directory) {
  const auto directory = open_state_directory(state_directory);
  if (!directory && directory.error().kind == ErrorKind::gone) return {};
  if (!directory) return Failure(directory.error());
  struct statvfs found {};
  if (fstatvfs(directory->get(), &found) != 0) return fail_errno(errno, "looking at the room below " + state_directory);
  if (found.f_bavail * found.f_frsize >= AuditFile::kReserve + LedgerFile::kMaxBytes) return {};
  return fail_errno(ENOSPC, "writing below " + state_directory);
}

Result<void> look_for_read_only(const std::string& state_directory) {
  if (access(state_directory.c_str(), W_OK) == 0 || errno != EROFS) return {};
  return fail_errno(EROFS, "writing below " + state_directory);
}

}  // namespace defused
