// SPDX-License-Identifier: Apache-2.0
#include "base/tree_archive.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>
#include <string_view>
#include <vector>

#include "base/text.h"
#include "base/tree_limits.h"
#include "base/unique_fd.h"
#include "base/whole_io.h"

namespace defused {

namespace {

// Of the archive at once; what it stands for is at most some thousand times as much, so that the time is looked at
// often.
constexpr std::size_t kArchiveBlock = 16U << 10U;
constexpr Nanoseconds kMaxReading = std::chrono::minutes(2);

struct FreeArchive {
  void operator()(archive* handle) const { archive_free(handle); }
  void operator()(archive_entry* entry) const { archive_entry_free(entry); }
};
using Archive = std::unique_ptr<archive, FreeArchive>;
using Entry = std::unique_ptr<archive_entry, FreeArchive>;

// A warning is about a name that is not in the character set of the locale: it is taken as it is.
bool is_well(la_ssize_t code) { return code >= ARCHIVE_WARN; }

std::string trouble_of(archive* handle) {
  const char* text = archive_error_string(handle);
  return text == nullptr ? "unknown" : sanitize(text);
}

// Where libarchive writes: into the file, no more than `room`.
struct Sink {
  int fd = -1;
  std::uint64_t room = 0;
  bool full = false;
};

la_ssize_t take_block(archive* writer, void* data, const void* block, std::size_t size) {
  auto& sink = *static_cast<Sink*>(data);
  sink.full = size > sink.room;
  if (sink.full) {
    archive_set_error(writer, EFBIG, "larger than it may be");
    return -1;
  }
  sink.room -= size;
  const auto written = write_all(sink.fd, std::string_view(static_cast<const char*>(block), size));
  if (written) return static_cast<la_ssize_t>(size);
  const int error = written.error().code;
  archive_set_error(writer, error, "%s", fail_errno(error, "write").value().message.c_str());
  return -1;
}

bool write_member(archive* writer, const std::string& path, const FileTree::Node& node, Nanoseconds time) {
  using Kind = FileTree::Kind;
  const Entry entry(archive_entry_new());
  if (!entry) return false;
  archive_entry_set_pathname(entry.get(), path.c_str());
  archive_entry_set_mtime(entry.get(), std::chrono::floor<std::chrono::seconds>(time).count(), 0);
  constexpr __LA_MODE_T kOwnerOnly = 0600;
  constexpr __LA_MODE_T kDirectory = 0700;
  archive_entry_set_perm(entry.get(), node.kind == Kind::directory ? kDirectory : kOwnerOnly);
  if (node.kind == Kind::link) {
    archive_entry_set_filetype(entry.get(), AE_IFLNK);
    archive_entry_set_symlink(entry.get(), node.text.c_str());
    return is_well(archive_write_header(writer, entry.get()));
  }
  archive_entry_set_filetype(entry.get(), node.kind == Kind::directory ? AE_IFDIR : AE_IFREG);
  archive_entry_set_size(entry.get(), static_cast<la_int64_t>(node.text.size()));
  if (!is_well(archive_write_header(writer, entry.get()))) return false;
  const auto size = static_cast<la_ssize_t>(node.text.size());
  return node.text.empty() || archive_write_data(writer, node.text.data(), node.text.size()) == size;
}

// What libarchive reads from: a file, and only for so long.
struct Source {
  int fd = -1;
  Stopwatch watch{};
  std::array<char, kArchiveBlock> block{};
};

la_ssize_t give_block(archive* reader, void* data, const void** block) {
  auto& source = *static_cast<Source*>(data);
  *block = source.block.data();
  if (source.watch.elapsed() > kMaxReading) {
    archive_set_error(reader, ETIMEDOUT, "unpacking takes too long");
    return -1;
  }
  ssize_t size = -1;
  do {
    size = read(source.fd, source.block.data(), source.block.size());
  } while (size < 0 && errno == EINTR);
  if (size < 0) archive_set_error(reader, errno, "%s", fail_errno(errno, "read").value().message.c_str());
  return size;
}

Archive open_reader(Source& source) {
  Archive reader(archive_read_new());
  if (!reader) return reader;
  // Only what is built in: libarchive would start a program for the others.
  archive_read_support_format_tar(reader.get());
  if (archive_zlib_version() != nullptr) archive_read_support_filter_gzip(reader.get());
  if (archive_liblzma_version() != nullptr) archive_read_support_filter_xz(reader.get());
  if (archive_libzstd_version() != nullptr) archive_read_support_filter_zstd(reader.get());
  archive_read_open(reader.get(), &source, nullptr, give_block, nullptr);
  return reader;
}

// "./proc/1/" -> "proc/1"; "" is the root itself.
std::string_view without_dots(std::string_view path) {
  while (path.substr(0, 2) == "./") path.remove_prefix(2);
  while (path.size() > 1 && path.back() == '/') path.remove_suffix(1);
  return path == "." ? std::string_view() : path;
}

std::string_view or_empty(const char* text, const char* other) {
  if (text != nullptr) return text;
  return other == nullptr ? std::string_view() : std::string_view(other);
}

// Members of an archive, one after the other, into a tree.
class Unpacker {
 public:
  Unpacker(archive* reader, const TreeLimits& limits) : reader_(reader), room_(limits) {}

  Result<void> take(archive_entry* entry) {
    const std::string raw(or_empty(archive_entry_pathname(entry), archive_entry_pathname_utf8(entry)));
    const std::string_view path = without_dots(raw);
    // As many as there may be nodes, whether they are the same one again and again or not.
    if (auto counted = room_.take_node(path); !counted) return counted;
    const std::string name = "member '" + sanitize(raw) + "'";
    const auto type = archive_entry_filetype(entry);
    if (path.empty() && type == AE_IFDIR) return {};
    if (auto fits = check_tree_path(path); !fits) return prepend(name, fits.error());
    if (auto counted = room_.take_parents(out_.tree, path); !counted) return counted;
    if (archive_entry_hardlink(entry) != nullptr || archive_entry_hardlink_utf8(entry) != nullptr) {
      return fail(ErrorKind::malformed, name + ": a hard link; " + std::string(kExpectedNodes));
    }
    if (archive_entry_sparse_count(entry) > 0) {
      return fail(ErrorKind::malformed, name + ": a sparse file; expected one without holes");
    }
    if (type == AE_IFDIR) out_.tree.add_directory(path);
    if (type == AE_IFLNK) return take_link(entry, path, name);
    if (type == AE_IFREG) return take_file(entry, path, name);
    if (type == AE_IFDIR) return {};
    return fail(ErrorKind::malformed, name + ": neither file, directory nor link; " + std::string(kExpectedNodes));
  }

  LoadedTree finish() { return std::move(out_); }

 private:
  Result<void> take_link(archive_entry* entry, std::string_view path, const std::string& name) {
    const std::string_view target = or_empty(archive_entry_symlink(entry), archive_entry_symlink_utf8(entry));
    if (target.empty()) return fail(ErrorKind::malformed, name + ": a link without a target");
    if (auto fits = room_.take_bytes(target.size()); !fits) return prepend(name, fits.error());
    out_.tree.add_link(path, std::string(target));
    return {};
  }

  Result<void> take_file(archive_entry* entry, std::string_view path, const std::string& name) {
    // The declared size is asked first, and never believed: memory is taken for what really comes.
    const auto declared = static_cast<std::uint64_t>(std::max<la_int64_t>(archive_entry_size(entry), 0));
    if (auto fits = room_.take_bytes(declared); !fits) return prepend(name, fits.error());
    std::string text;
    std::array<char, kArchiveBlock> block{};
    while (true) {
      const la_ssize_t size = archive_read_data(reader_, block.data(), block.size());
      if (size == 0) break;
      if (size < 0 || text.size() + static_cast<std::size_t>(size) > declared) {
        return fail(ErrorKind::malformed, name + ": " + (size < 0 ? trouble_of(reader_) : "longer than it says"));
      }
      text.append(block.data(), static_cast<std::size_t>(size));
    }
    if (text.size() < declared) return fail(ErrorKind::malformed, name + ": it is cut off");
    const auto time = std::clamp<std::int64_t>(archive_entry_mtime(entry), 0, kMaxTreeSeconds);
    out_.modified.insert_or_assign(std::string(path), std::chrono::seconds(time));
    out_.tree.add_file(path, std::move(text));
    return {};
  }

  archive* reader_;
  TreeRoom room_;
  LoadedTree out_;
};

// An archive of tar ends with zeros; without a checksum around it that is how one that was cut off is told.
bool has_end(int fd, std::uint64_t size) {
  std::array<char, 1024> end{};
  if (size < end.size()) return false;
  const ssize_t got = pread(fd, end.data(), end.size(), static_cast<off_t>(size - end.size()));
  return got == static_cast<ssize_t>(end.size()) && std::all_of(end.begin(), end.end(), [](char c) { return c == 0; });
}

Result<LoadedTree> unpack(int fd, std::uint64_t size, const TreeLimits& limits) {
  const auto source = std::make_unique<Source>();
  source->fd = fd;
  const Archive reader = open_reader(*source);
  if (!reader) return fail(ErrorKind::io, "no memory for an archive");
  Unpacker unpacker(reader.get(), limits);
  for (bool first = true;; first = false) {
    archive_entry* entry = nullptr;
    const int code = archive_read_next_header(reader.get(), &entry);
    if (code == ARCHIVE_EOF) break;
    if (!is_well(code)) {
      const bool none = first && archive_format(reader.get()) == 0;
      return fail(ErrorKind::malformed,
                  (none ? "no tar archive, plain or through gzip, xz or zstd: " : "") + trouble_of(reader.get()));
    }
    // Packed twice, a file of a few bytes would keep the inner one busy for ever.
    if (first && archive_filter_count(reader.get()) > 2) return fail(ErrorKind::malformed, "compressed more than once");
    if (auto taken = unpacker.take(entry); !taken) return Failure(taken.error());
  }
  const bool plain = archive_filter_code(reader.get(), 0) == ARCHIVE_FILTER_NONE;
  if (plain && !has_end(fd, size)) return fail(ErrorKind::malformed, "the archive is cut off");
  return unpacker.finish();
}

}  // namespace

Result<void> write_tree_archive(const FileTree& tree, Nanoseconds time, bool gzip, int fd, std::uint64_t room) {
  const Archive writer(archive_write_new());
  if (!writer) return fail(ErrorKind::io, "no memory for an archive");
  Sink sink{fd, room};
  const auto trouble = [&] {
    return Failure(Error{sink.full ? ErrorKind::unsupported : ErrorKind::io, trouble_of(writer.get()),
                         sink.full ? 0 : archive_errno(writer.get())});
  };
  if (archive_write_set_format_gnutar(writer.get()) != ARCHIVE_OK ||
      (gzip ? archive_write_add_filter_gzip(writer.get()) : archive_write_add_filter_none(writer.get())) !=
          ARCHIVE_OK ||
      (gzip && archive_write_set_filter_option(writer.get(), "gzip", "timestamp", nullptr) != ARCHIVE_OK) ||
      archive_write_open(writer.get(), &sink, nullptr, take_block, nullptr) != ARCHIVE_OK) {
    return trouble();
  }
  for (const auto& [path, node] : tree.nodes()) {
    if (!write_member(writer.get(), path, node, time)) return trouble();
  }
  if (archive_write_close(writer.get()) != ARCHIVE_OK) return trouble();
  return {};
}

Result<LoadedTree> read_tree_archive(const std::string& path, const TreeLimits& limits) {
  // A FIFO must not hold us.
  const UniqueFd file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!file) return fail_errno(errno, path);
  struct stat found {};
  if (fstat(file.get(), &found) != 0) return fail_errno(errno, path);
  if (!S_ISREG(found.st_mode)) return fail(ErrorKind::malformed, path + ": expected an archive, a regular file");
  const auto size = static_cast<std::uint64_t>(found.st_size);
  if (size > limits.max_bytes) return prepend(path, too_many_bytes(limits));
  auto loaded = unpack(file.get(), size, limits);
  if (!loaded) return prepend(path, loaded.error());
  unwrap_tree(*loaded);
  return loaded;
}

}  // namespace defused
