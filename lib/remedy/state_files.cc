// SPDX-License-Identifier: Apache-2.0
#include "remedy/state_files.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>

#include "base/text.h"

namespace defused {

namespace {

constexpr std::string_view kTemporary = ".new-";

UniqueFd open_as_directory(const std::string& path) {
  return UniqueFd(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

std::string parent_of(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  const std::size_t slash = path.find_last_of('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

// "ledger.json.new-4711" -> 4711, of the stem "ledger.json".
std::optional<pid_t> writer_of(std::string_view temporary, std::string_view stem) {
  if (temporary.substr(0, stem.size()) != stem) return std::nullopt;
  temporary.remove_prefix(stem.size());
  if (temporary.substr(0, kTemporary.size()) != kTemporary) return std::nullopt;
  const auto pid = parse_u64(temporary.substr(kTemporary.size()));
  if (!pid || *pid > static_cast<std::uint64_t>(INT32_MAX)) return std::nullopt;
  return static_cast<pid_t>(*pid);
}

bool is_gone(pid_t pid) { return pid == getpid() || (kill(pid, 0) != 0 && errno == ESRCH); }

Result<void> remove_leftovers(int directory, const std::string& path, const std::string& stem) {
  const auto names = list_state_directory(directory, path);
  if (!names) return Failure(names.error());
  for (const std::string& found : *names) {
    const auto writer = writer_of(found, stem);
    if (!writer || !is_gone(*writer)) continue;
    if (unlinkat(directory, found.c_str(), 0) != 0 && errno != ENOENT) {
      return fail_errno(errno, "removing " + path + "/" + found);
    }
  }
  return {};
}

// What compresses to nothing, or is a hole, takes no room.
Result<void> write_incompressible(int fd, std::uint64_t bytes) {
  std::array<char, 65'536> block{};
  std::uint64_t state = 0x9E3779B97F4A7C15;
  while (bytes > 0) {
    for (char& byte : block) {
      state ^= state << 13U;
      state ^= state >> 7U;
      state ^= state << 17U;
      byte = static_cast<char>(state & 0xFFU);
    }
    const std::size_t part = std::min<std::uint64_t>(bytes, block.size());
    if (auto written = write_all(fd, std::string_view(block.data(), part)); !written) return written;
    bytes -= part;
  }
  return {};
}

struct CloseDirectory {
  void operator()(DIR* directory) const { closedir(directory); }
};

}  // namespace

Result<UniqueFd> open_state_directory(const std::string& path) {
  UniqueFd found = open_as_directory(path);
  if (!found) return fail_errno(errno, "opening " + path);
  return found;
}

Result<UniqueFd> make_state_directory(const std::string& path) {
  UniqueFd found = open_as_directory(path);
  if (found) return found;
  if (errno != ENOENT) return fail_errno(errno, "opening " + path);
  if (mkdir(path.c_str(), kStateDirectoryMode) != 0 && errno != EEXIST) return fail_errno(errno, "creating " + path);
  const std::string parent = parent_of(path);
  const UniqueFd above = open_as_directory(parent);
  if (!above) return fail_errno(errno, "opening " + parent);
  if (auto durable = make_durable(above.get(), parent); !durable) return Failure(durable.error());
  return open_state_directory(path);
}

Result<void> make_durable(int fd, const std::string& path) {
  while (fsync(fd) != 0) {
    if (errno != EINTR) return fail_errno(errno, "syncing " + path);
  }
  return {};
}

Result<std::vector<std::string>> list_state_directory(int directory, const std::string& path) {
  UniqueFd own(openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));  // a position of its own
  if (!own) return fail_errno(errno, "opening " + path);
  const std::unique_ptr<DIR, CloseDirectory> stream(fdopendir(own.get()));
  if (!stream) return fail_errno(errno, "listing " + path);
  (void)own.release();  // closedir closes it
  std::vector<std::string> names;
  errno = 0;
  // One stream, one thread.
  while (const dirent* entry = readdir(stream.get())) {  // NOLINT(concurrency-mt-unsafe)
    const std::string_view name(entry->d_name);
    if (name != "." && name != "..") names.emplace_back(name);
    errno = 0;
  }
  if (errno != 0) return fail_errno(errno, "listing " + path);
  std::sort(names.begin(), names.end());
  return names;
}

Result<std::optional<StateFile>> read_state_file(int directory, const std::string& path, const std::string& name,
                                                 std::size_t max_bytes) {
  const std::string whole_path = path + "/" + name;
  const Failure strange = fail(ErrorKind::malformed, whole_path + " is not a regular file");
  const UniqueFd file(openat(directory, name.c_str(), O_RDONLY | kOpenStrange));
  if (!file && errno == ENOENT) return std::nullopt;
  if (!file && (errno == ELOOP || errno == ENXIO)) return strange;  // a link, a socket
  if (!file) return fail_errno(errno, "opening " + whole_path);
  StateFile found;
  if (fstat(file.get(), &found.status) != 0) return fail_errno(errno, "looking at " + whole_path);
  if (!S_ISREG(found.status.st_mode)) return strange;
  auto text = read_up_to(file.get(), max_bytes);
  if (!text) return fail_errno(text.error().code, "reading " + whole_path);
  if (text->truncated) {
    return fail(ErrorKind::malformed, whole_path + " is longer than " + std::to_string(max_bytes) + " bytes");
  }
  found.text = std::move(text->text);
  return found;
}

Result<TemporaryFile> TemporaryFile::create(int directory, const std::string& path, const std::string& stem) {
  if (auto removed = remove_leftovers(directory, path, stem); !removed) return Failure(removed.error());
  std::string temporary = stem;
  temporary.append(kTemporary).append(std::to_string(getpid()));
  constexpr int kFlags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
  UniqueFd file(openat(directory, temporary.c_str(), kFlags, kStateFileMode));
  if (!file) return fail_errno(errno, "creating " + path + "/" + temporary);
  return TemporaryFile(directory, path, std::move(temporary), std::move(file));
}

TemporaryFile::~TemporaryFile() {
  if (file_) unlinkat(directory_, temporary_.c_str(), 0);
}

Result<void> TemporaryFile::take_room(std::uint64_t bytes) const {
  if (fallocate(file_.get(), 0, 0, static_cast<off_t>(bytes)) == 0) return {};
  if (errno != EOPNOTSUPP && errno != ENOSYS) return fail_errno(errno, "taking room for " + path());
  auto written = write_incompressible(file_.get(), bytes);
  return written ? written : Result<void>(prepend(path(), written.error()));
}

Result<struct stat> TemporaryFile::put_in_place(const std::string& name) {
  if (auto durable = make_durable(file_.get(), path()); !durable) return Failure(durable.error());
  struct stat made {};
  if (fstat(file_.get(), &made) != 0) return fail_errno(errno, "looking at " + path());
  if (renameat(directory_, temporary_.c_str(), directory_, name.c_str()) != 0) {
    return fail_errno(errno, "renaming " + path() + " to " + name);
  }
  file_.reset();
  if (auto durable = make_durable(directory_, path_); !durable) return Failure(durable.error());
  return made;
}

Result<struct stat> replace_state_file(int directory, const std::string& path, const std::string& name,
                                       std::string_view text) {
  auto file = TemporaryFile::create(directory, path, name);
  if (!file) return Failure(file.error());
  if (auto written = write_all(file->fd(), text); !written) return prepend(file->path(), written.error());
  return file->put_in_place(name);
}

Result<void> prove_room(int directory, const std::string& path, const std::string& stem, std::uint64_t bytes) {
  auto file = TemporaryFile::create(directory, path, stem);
  if (!file) return Failure(file.error());
  if (auto room = file->take_room(bytes); !room) return room;
  return make_durable(file->fd(), file->path());
}

}  // namespace defused
