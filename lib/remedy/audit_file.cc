// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string_view>

#include "base/unique_fd.h"
#include "remedy/remedy.h"

namespace defused {

namespace {

constexpr const char* kFileName = "audit.jsonl";
constexpr mode_t kDirectoryMode = 0700;
constexpr mode_t kFileMode = 0600;

Result<void> make_durable(int fd, const std::string& path) {
  while (fsync(fd) != 0) {
    if (errno != EINTR) return fail_errno(errno, "syncing " + path);
  }
  return {};
}

UniqueFd open_as_directory(const std::string& path) {
  return UniqueFd(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

std::string parent_of(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  const std::size_t slash = path.find_last_of('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

Result<UniqueFd> open_directory(const std::string& path) {
  UniqueFd found = open_as_directory(path);
  if (found) return found;
  if (errno != ENOENT) return fail_errno(errno, "opening " + path);
  if (mkdir(path.c_str(), kDirectoryMode) != 0 && errno != EEXIST) return fail_errno(errno, "creating " + path);
  const std::string parent = parent_of(path);
  const UniqueFd above = open_as_directory(parent);
  if (!above) return fail_errno(errno, "opening " + parent);
  if (auto durable = make_durable(above.get(), parent); !durable) return Failure(durable.error());
  UniqueFd made = open_as_directory(path);
  if (!made) return fail_errno(errno, "opening " + path);
  return made;
}

// Readable too, for the last byte. O_NONBLOCK: a FIFO in its place must not hold us; it is refused below.
Result<UniqueFd> open_file(const std::string& directory) {
  constexpr int kFlags = O_RDWR | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;
  const auto below = open_directory(directory);
  if (!below) return Failure(below.error());
  const std::string path = directory + "/" + kFileName;
  UniqueFd file(openat(below->get(), kFileName, kFlags));
  if (!file && errno == ENOENT) {
    file.reset(openat(below->get(), kFileName, kFlags | O_CREAT, kFileMode));
    if (!file) return fail_errno(errno, "creating " + path);
    if (auto durable = make_durable(below->get(), directory); !durable) return Failure(durable.error());
  }
  if (!file) return fail_errno(errno, "opening " + path);
  struct stat found {};
  if (fstat(file.get(), &found) != 0) return fail_errno(errno, "looking at " + path);
  if (!S_ISREG(found.st_mode)) return fail(ErrorKind::io, path + " is not a regular file");
  return file;
}

Result<bool> ends_torn(int fd) {
  struct stat found {};
  if (fstat(fd, &found) != 0) return fail_errno(errno, "looking at its size");
  if (found.st_size == 0) return false;
  char last = 0;
  const ssize_t got = pread(fd, &last, 1, found.st_size - 1);
  if (got < 0) return fail_errno(errno, "reading its last byte");
  return got == 1 && last != '\n';
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

}  // namespace

Result<void> AuditFile::append(const std::string& line) {
  if (line.find('\n') != std::string::npos) return fail(ErrorKind::malformed, "a line for the audit log has a newline");
  const auto file = open_file(directory_);
  if (!file) return Failure(file.error());
  const std::string path = directory_ + "/" + kFileName;
  const auto torn = ends_torn(file->get());
  if (!torn) return prepend(path, torn.error());
  const std::string text = (*torn ? "\n" : "") + line + "\n";
  if (auto written = write_all(file->get(), text); !written) return prepend(path, written.error());
  return make_durable(file->get(), path);
}

Result<void> AuditFile::check() const {
  const auto file = open_file(directory_);
  if (!file) return Failure(file.error());
  return make_durable(file->get(), directory_ + "/" + kFileName);
}

}  // namespace defused
