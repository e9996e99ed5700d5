// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <vector>

#include "base/beneath.h"
#include "base/text.h"
#include "base/tree_archive.h"
#include "base/tree_limits.h"
#include "base/unique_fd.h"

namespace defused {

namespace {

constexpr std::size_t kBlock = 64U << 10U;

// Walks a directory by held descriptors. Recursion is as deep as a path may be.
class Walker {
 public:
  Walker(const TreeLimits& limits, dev_t device) : limits_(limits), room_(limits), device_(device) {}

  Result<void> walk(UniqueFd directory, const std::string& path) {  // NOLINT(misc-no-recursion)
    const Beneath beneath(std::move(directory));
    bool truncated = false;  // then there are more than may be taken
    const auto names = beneath.list(".", limits_.max_nodes + 1, truncated);
    if (!names) return Failure(names.error());
    for (const std::string& name : *names) {
      const std::string below = path.empty() ? name : path + "/" + name;
      if (auto taken = take(beneath.fd(), name, below); !taken) {
        // Once, and what is deeper has said where.
        return taken.error().message.rfind('\'', 0) == 0 ? taken : prepend("'" + sanitize(below) + "'", taken.error());
      }
    }
    return {};
  }

  LoadedTree finish() { return std::move(out_); }

 private:
  Result<void> take(int directory, const std::string& name, const std::string& path) {  // NOLINT(misc-no-recursion)
    if (auto counted = room_.take_node(path); !counted) return counted;
    if (auto fits = check_tree_path(path); !fits) return fits;
    struct stat found {};
    if (fstatat(directory, name.c_str(), &found, AT_SYMLINK_NOFOLLOW) != 0) return fail_errno(errno, "looking at it");
    if (S_ISLNK(found.st_mode)) return take_link(directory, name, path);
    if (S_ISREG(found.st_mode)) return take_file(directory, name, path);
    if (!S_ISDIR(found.st_mode)) {
      return fail(ErrorKind::malformed, "neither file, directory nor link; " + std::string(kExpectedNodes));
    }
    // What is mounted there is of this host, such as /proc itself below "/".
    if (found.st_dev != device_) return fail(ErrorKind::malformed, "another file system is mounted there");
    UniqueFd below(openat(directory, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!below) return fail_errno(errno, "opening it");
    out_.tree.add_directory(path);
    return walk(std::move(below), path);
  }

  Result<void> take_link(int directory, const std::string& name, const std::string& path) {
    std::array<char, 4096> target{};  // PATH_MAX
    const ssize_t size = readlinkat(directory, name.c_str(), target.data(), target.size());
    if (size < 0) return fail_errno(errno, "reading the link");
    if (auto fits = room_.take_bytes(static_cast<std::uint64_t>(size)); !fits) return fits;
    out_.tree.add_link(path, std::string(target.data(), static_cast<std::size_t>(size)));
    return {};
  }

  Result<void> take_file(int directory, const std::string& name, const std::string& path) {
    // What was a file a moment ago may be a FIFO now.
    const UniqueFd file(openat(directory, name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
    if (!file) return fail_errno(errno, "opening it");
    struct stat found {};
    if (fstat(file.get(), &found) != 0) return fail_errno(errno, "looking at it");
    if (!S_ISREG(found.st_mode)) return fail(ErrorKind::malformed, "no regular file any more");
    std::string text;
    while (true) {
      const ssize_t size = read(file.get(), block_.data(), block_.size());
      if (size < 0 && errno == EINTR) continue;
      if (size < 0) return fail_errno(errno, "reading it");
      if (size == 0) break;
      if (auto fits = room_.take_bytes(static_cast<std::uint64_t>(size)); !fits) return fits;
      text.append(block_.data(), static_cast<std::size_t>(size));
    }
    const auto seconds = std::clamp<std::int64_t>(found.st_mtim.tv_sec, 0, kMaxTreeSeconds);
    out_.modified.emplace(path, std::chrono::seconds(seconds));
    out_.tree.add_file(path, std::move(text));
    return {};
  }

  TreeLimits limits_;
  TreeRoom room_;
  dev_t device_;
  std::vector<char> block_ = std::vector<char>(kBlock);
  LoadedTree out_;
};

}  // namespace

Result<LoadedTree> read_tree_directory(const std::string& path, const TreeLimits& limits) {
  UniqueFd root(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!root) return fail_errno(errno, path);
  struct stat found {};
  if (fstat(root.get(), &found) != 0) return fail_errno(errno, path);
  Walker walker(limits, found.st_dev);
  if (auto walked = walker.walk(std::move(root), {}); !walked) return prepend(path, walked.error());
  LoadedTree loaded = walker.finish();
  unwrap_tree(loaded);
  return loaded;
}

}  // namespace defused
