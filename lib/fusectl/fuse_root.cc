// SPDX-License-Identifier: Apache-2.0
#include "fusectl/fuse_root.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <limits>

#include "base/text.h"

namespace defused {

namespace {

constexpr std::uint64_t kFusectlMagic = 0x65735543;  // FUSE_CTL_SUPER_MAGIC, fs/fuse/control.c
constexpr std::size_t kMaxFileBytes = 64;            // a number and a newline

Result<std::uint64_t> inode_of(int fd) {
  struct stat found {};
  if (fstat(fd, &found) != 0) return fail_errno(errno, "reading its inode");
  return static_cast<std::uint64_t>(found.st_ino);
}

std::optional<ConnectionId> parse_connection_name(std::string_view name) {
  const auto number = parse_u64(name);
  if (!number || *number > std::numeric_limits<std::uint32_t>::max()) return std::nullopt;
  if (std::to_string(*number) != name) return std::nullopt;  // "040" would be opened as "40"
  return ConnectionId{static_cast<std::uint32_t>(*number)};
}

Result<std::uint64_t> read_number(const Beneath& directory, const std::string& name) {
  const auto file = directory.read_file(name, kMaxFileBytes);
  if (!file) return Failure(file.error());
  if (file->text.empty())
    return fail(ErrorKind::gone, "reading " + name + ": the connection has ended");  // KERNEL.md 5
  if (file->truncated) return fail(ErrorKind::malformed, "reading " + name + ": longer than a number");
  return parse_fusectl_number(file->text);
}

// Vanishing is told to the caller, everything else is a gap.
std::optional<std::uint64_t> read_or_note(const Beneath& directory, const std::string& name, Gaps& gaps,
                                          bool& vanished) {
  const auto number = read_number(directory, name);
  if (number) return *number;
  if (number.error().kind == ErrorKind::gone) {
    vanished = true;
  } else {
    add_gap(gaps, "fusectl/" + name, number.error().kind);
  }
  return std::nullopt;
}

// Nothing: the connection vanished. What cannot be opened is there all the same: its requests are unknown, not none.
std::optional<ConnectionSample> read_connection(const Beneath& root, const std::string& name, ConnectionId id,
                                                Gaps& gaps) {
  ConnectionSample sample;
  sample.id = id;
  const auto directory = root.open_directory(name);
  const auto inode = directory ? inode_of(directory->fd()) : Result<std::uint64_t>(Failure(directory.error()));
  if (!inode) {
    if (inode.error().kind == ErrorKind::gone) return std::nullopt;
    add_gap(gaps, "fusectl/connection", inode.error().kind);
    return sample;
  }
  sample.directory_inode = *inode;
  bool vanished = false;
  sample.waiting = read_or_note(*directory, "waiting", gaps, vanished);
  sample.max_background = read_or_note(*directory, "max_background", gaps, vanished).value_or(0);
  sample.congestion_threshold = read_or_note(*directory, "congestion_threshold", gaps, vanished).value_or(0);
  if (vanished) return std::nullopt;
  return sample;
}

class FusectlArmedAbort final : public ArmedAbort {
 public:
  FusectlArmedAbort(UniqueFd file, ConnectionId connection) : file_(std::move(file)), connection_(connection) {}

  Result<void> write() override {
    while (true) {
      const ssize_t written = ::write(file_.get(), "1", 1);
      if (written == 1) return {};
      if (written < 0 && errno == EINTR) continue;
      const std::string context = "writing " + std::to_string(connection_.kernel_dev) + "/abort";
      if (written < 0) return fail_errno(errno, context);
      return fail(ErrorKind::io, context + ": nothing was written");
    }
  }

 private:
  UniqueFd file_;
  ConnectionId connection_;
};

}  // namespace

Result<FuseRoot> FuseRoot::open(const std::string& path, ReadHook hook) {
  auto root = Beneath::open_root(path, std::move(hook));
  if (!root) return Failure(root.error());
  // Where fusectl is not mounted, sysfs still has an empty directory of that name.
  struct statfs found {};
  if (fstatfs(root->fd(), &found) != 0) return fail_errno(errno, "asking for the file-system type of " + path);
  if (static_cast<std::uint64_t>(found.f_type) != kFusectlMagic) {
    return fail(ErrorKind::unsupported,
                path + " is not a fusectl mount; mount it with: mount -t fusectl fusectl " + kDefaultPath);
  }
  return FuseRoot(*std::move(root));
}

Result<FuseRoot> FuseRoot::open_capture(const std::string& path, ReadHook hook) {
  auto root = Beneath::open_root(path, std::move(hook));
  if (!root) return Failure(root.error());
  return FuseRoot(*std::move(root));
}

bool FuseRoot::is_read_only() const {
  struct statfs found {};
  return fstatfs(root_.fd(), &found) == 0 && (static_cast<unsigned long>(found.f_flags) & ST_RDONLY) != 0;
}

std::vector<ConnectionSample> FuseRoot::read_connections(Gaps& gaps) const {
  std::vector<ConnectionSample> samples;
  bool truncated = false;
  const auto names = root_.list(".", kMaxConnections, truncated);
  if (!names) {
    add_gap(gaps, "fusectl", names.error().kind);
    return samples;
  }
  if (truncated) add_gap(gaps, "fusectl", ErrorKind::unsupported);
  for (const std::string& name : *names) {
    const auto id = parse_connection_name(name);
    if (!id) {
      add_gap(gaps, "fusectl", ErrorKind::malformed);
      continue;
    }
    if (auto sample = read_connection(root_, name, *id, gaps)) samples.push_back(*sample);
  }
  std::sort(samples.begin(), samples.end(),
            [](const ConnectionSample& a, const ConnectionSample& b) { return a.id < b.id; });
  return samples;
}

Result<Beneath> FuseRoot::open_connection(ConnectionId connection, std::uint64_t directory_inode) const {
  const std::string name = std::to_string(connection.kernel_dev);
  const std::string context = "connection " + name;
  auto directory = root_.open_directory(name);
  if (!directory) return prepend(context, directory.error());
  const auto inode = inode_of(directory->fd());
  if (!inode) return prepend(context, inode.error());
  if (*inode != directory_inode) {
    return fail(ErrorKind::gone, context + ": another one has this number now (directory inode " +
                                     std::to_string(*inode) + ", was " + std::to_string(directory_inode) + ")");
  }
  return directory;
}

Result<std::uint64_t> FuseRoot::read_waiting(ConnectionId connection, std::uint64_t directory_inode) const {
  const auto directory = open_connection(connection, directory_inode);
  if (!directory) return Failure(directory.error());
  return read_number(*directory, "waiting");
}

Result<std::unique_ptr<ArmedAbort>> FuseRoot::open_abort(ConnectionId connection, std::uint64_t directory_inode) const {
  const auto directory = open_connection(connection, directory_inode);
  if (!directory) return Failure(directory.error());
  auto file = directory->open_file("abort", O_WRONLY);
  if (!file) return prepend("connection " + std::to_string(connection.kernel_dev), file.error());
  return std::make_unique<FusectlArmedAbort>(*std::move(file), connection);
}

Result<std::unique_ptr<ArmedAbort>> FusectlAborter::open(ConnectionId connection, std::uint64_t directory_inode) {
  const auto root = FuseRoot::open(path_);
  if (!root) return Failure(root.error());
  return root->open_abort(connection, directory_inode);
}

Result<std::uint64_t> parse_fusectl_number(std::string_view text) {
  // Without its newline it may be cut short: "1" of "12".
  const bool whole = !text.empty() && text.back() == '\n';
  const auto number = whole ? parse_u64(text.substr(0, text.size() - 1)) : std::nullopt;
  if (!number) return fail(ErrorKind::malformed, "not a number and a newline: '" + sanitize(text) + "'");
  return *number;
}

}  // namespace defused
