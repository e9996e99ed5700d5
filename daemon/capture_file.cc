// SPDX-License-Identifier: Apache-2.0
#include "daemon/capture_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <limits>
#include <string_view>

#include "base/tree_archive.h"
#include "base/unique_fd.h"

namespace defused {

namespace {

constexpr mode_t kOwnerOnly = 0600;

struct Place {
  std::string directory;  ///< "." where the path has none
  std::string name;
};

Place split(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  if (slash == std::string::npos) return {".", path};
  return {slash == 0 ? "/" : path.substr(0, slash), path.substr(slash + 1)};
}

bool ends_in(std::string_view text, std::string_view end) {
  return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
}

Failure is_there(const std::string& path) {
  return fail(ErrorKind::unsupported, path + " is there already; --force replaces it");
}

// A file beside the one that is to be, removed again unless it was put in its place.
class Unfinished {
 public:
  Unfinished(int directory, std::string name) : directory_(directory), name_(std::move(name)) {}
  Unfinished(const Unfinished&) = delete;
  Unfinished& operator=(const Unfinished&) = delete;
  ~Unfinished() {
    if (made_) unlinkat(directory_, name_.c_str(), 0);
  }

  Result<UniqueFd> make() {
    UniqueFd file(openat(directory_, name_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, kOwnerOnly));
    if (!file) return fail_errno(errno, "creating " + name_);
    made_ = true;
    return file;
  }

  /// EEXIST: there is such a file, and it is not to be replaced.
  int put_in_place(const std::string& name, bool force) {
    int done = -1;
    if (force) {
      done = renameat(directory_, name_.c_str(), directory_, name.c_str());
    } else {
      done = renameat2(directory_, name_.c_str(), directory_, name.c_str(), RENAME_NOREPLACE);
      // Not every file system can do that; those that cannot have links, nearly always.
      if (done != 0 && (errno == EINVAL || errno == ENOSYS)) {
        if (linkat(directory_, name_.c_str(), directory_, name.c_str(), 0) == 0) return 0;
      }
    }
    if (done != 0) return errno;
    made_ = false;
    return 0;
  }

 private:
  int directory_;
  std::string name_;
  bool made_ = false;
};

}  // namespace

Result<void> check_capture_path(const std::string& path, bool force) {
  const Place place = split(path);
  if (place.name.empty() || place.name == "." || place.name == "..") {
    return fail(ErrorKind::malformed, path + ": expected the name of a file");
  }
  struct stat found {};
  if (stat(place.directory.c_str(), &found) != 0) return fail_errno(errno, place.directory);
  if (!S_ISDIR(found.st_mode)) return fail(ErrorKind::malformed, place.directory + ": not a directory");
  if (lstat(path.c_str(), &found) != 0) {
    if (errno == ENOENT) return {};
    return fail_errno(errno, path);
  }
  // Never in the place of a device, even where root asks for it.
  if (!S_ISREG(found.st_mode)) return fail(ErrorKind::malformed, path + " is there, and no regular file");
  if (!force) return is_there(path);
  return {};
}

Result<std::uint64_t> write_capture_file(const FileTree& tree, Nanoseconds time, const std::string& path, bool force,
                                         const std::function<bool()>& stop) {
  if (auto checked = check_capture_path(path, force); !checked) return Failure(checked.error());
  const Place place = split(path);
  const UniqueFd directory(open(place.directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory) return fail_errno(errno, place.directory);
  Unfinished unfinished(directory.get(), "." + place.name.substr(0, 200) + ".new-" + std::to_string(getpid()));
  const auto file = unfinished.make();
  if (!file) return prepend(place.directory, file.error());
  const bool gzip = ends_in(path, ".gz") || ends_in(path, ".tgz");
  constexpr auto kAny = std::numeric_limits<std::uint64_t>::max();
  if (auto written = write_tree_archive(tree, time, gzip, file->get(), kAny); !written) {
    return prepend(path, written.error());
  }
  if (fsync(file->get()) != 0) return fail_errno(errno, path);
  struct stat made {};
  if (fstat(file->get(), &made) != 0) return fail_errno(errno, path);
  if (stop && stop()) return fail(ErrorKind::io, path + ": interrupted");
  if (const int code = unfinished.put_in_place(place.name, force); code != 0) {
    if (code == EEXIST) return is_there(path);
    return fail_errno(code, path);
  }
  if (fsync(directory.get()) != 0 && errno != EINVAL) return fail_errno(errno, place.directory);
  return static_cast<std::uint64_t>(made.st_size);
}

}  // namespace defused
