// SPDX-License-Identifier: Apache-2.0
#include "remedy/evidence_store.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <memory>
#include <set>
#include <string_view>
#include <vector>

#include "base/text.h"
#include "model/codec.h"
#include "remedy/state_files.h"

namespace defused {

namespace {

constexpr std::string_view kSuffix = ".tar.gz";
constexpr const char* kStem = "unfinished";
constexpr const char* kPattern = "????????T??????.???Z-*.tar.gz";

// 20261124T121500.000Z: sorts by time; and no colon, after which tar would look for a host of that name.
std::string compact_time(Nanoseconds wall) {
  std::string text = format_wall_time(wall);
  text.erase(std::remove_if(text.begin(), text.end(), [](char c) { return c == '-' || c == ':'; }), text.end());
  return text;
}

// Whether a recorded path may stand in an archive: relative, without "..", "." and empty parts, and printable.
bool is_plain(std::string_view path) {
  if (sanitize(path, path.size()) != path) return false;
  while (true) {
    const std::size_t slash = path.find('/');
    const std::string_view part = path.substr(0, slash);
    if (part.empty() || part == "." || part == "..") return false;
    if (slash == std::string_view::npos) return true;
    path.remove_prefix(slash + 1);
  }
}

struct Member {
  ReadRecorder::Kind kind = ReadRecorder::Kind::file;
  std::string_view text;
};

// What the archive holds, in the order of the names: a directory before what lies in it.
class Contents {
 public:
  void add_file(const std::string& path, std::string_view text) { add(path, {ReadRecorder::Kind::file, text}); }

  // Names that a listing told and nobody read come back empty: a replay lists the same.
  void add_record(const std::string& root, const ReadRecorder& record) {
    add_directory(root);
    for (const auto& [path, entry] : record.entries()) {
      if (entry.kind == ReadRecorder::Kind::directory) continue;
      const bool empty_link = entry.kind == ReadRecorder::Kind::link && entry.text.empty();
      if (is_plain(path) && !empty_link) add(root + "/" + path, {entry.kind, entry.text});
    }
    for (const auto& [path, entry] : record.entries()) {
      if (entry.kind != ReadRecorder::Kind::directory || !(path.empty() || is_plain(path))) continue;
      const std::string directory = path.empty() ? root : root + "/" + path;
      add_directory(directory);
      add_listed(directory, entry.text);
    }
  }

  [[nodiscard]] const std::map<std::string, Member>& members() const { return members_; }

 private:
  void add_listed(const std::string& directory, std::string_view listing) {
    while (!listing.empty()) {
      std::string_view name = take_field(listing, '\n');
      const bool is_directory = !name.empty() && name.back() == '/';
      if (is_directory) name.remove_suffix(1);
      if (!is_plain(name) || name.find('/') != std::string_view::npos) continue;
      const std::string path = directory + "/" + std::string(name);
      if (is_directory) {
        add_directory(path);
      } else {
        members_.emplace(path, Member{ReadRecorder::Kind::file, {}});
      }
    }
  }

  void add(const std::string& path, Member member) {
    if (const std::size_t slash = path.rfind('/'); slash != std::string::npos) add_directory(path.substr(0, slash));
    members_[path] = member;
  }

  void add_directory(const std::string& path) {
    for (std::size_t at = path.find('/');; at = path.find('/', at + 1)) {
      // What was a file to one reading and has something in it to another is a directory.
      members_[path.substr(0, at)] = {ReadRecorder::Kind::directory, {}};
      if (at == std::string::npos) return;
    }
  }

  std::map<std::string, Member> members_;
};

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
    archive_set_error(writer, EFBIG, "larger than all bundles may be");
    return -1;
  }
  if (auto written = write_all(sink.fd, std::string_view(static_cast<const char*>(block), size)); !written) {
    archive_set_error(writer, written.error().code, "%s", written.error().message.c_str());
    return -1;
  }
  sink.room -= size;
  return static_cast<la_ssize_t>(size);
}

struct FreeArchive {
  void operator()(archive* writer) const { archive_write_free(writer); }
  void operator()(archive_entry* entry) const { archive_entry_free(entry); }
};
using Writer = std::unique_ptr<archive, FreeArchive>;

// A warning is about a name that is not in the character set of the locale: it is written as it is.
bool is_well(int code) { return code >= ARCHIVE_WARN; }

bool write_member(archive* writer, const std::string& path, const Member& member, Nanoseconds time) {
  using Kind = ReadRecorder::Kind;
  const std::unique_ptr<archive_entry, FreeArchive> entry(archive_entry_new());
  if (!entry) return false;
  archive_entry_set_pathname(entry.get(), path.c_str());
  archive_entry_set_mtime(entry.get(), std::chrono::floor<std::chrono::seconds>(time).count(), 0);
  constexpr __LA_MODE_T kOwnerOnly = 0600;
  constexpr __LA_MODE_T kDirectory = 0700;
  archive_entry_set_perm(entry.get(), member.kind == Kind::directory ? kDirectory : kOwnerOnly);
  if (member.kind == Kind::link) {
    archive_entry_set_filetype(entry.get(), AE_IFLNK);
    archive_entry_set_symlink(entry.get(), std::string(member.text).c_str());
    return is_well(archive_write_header(writer, entry.get()));
  }
  archive_entry_set_filetype(entry.get(), member.kind == Kind::directory ? AE_IFDIR : AE_IFREG);
  archive_entry_set_size(entry.get(), static_cast<la_int64_t>(member.text.size()));
  if (!is_well(archive_write_header(writer, entry.get()))) return false;
  const auto size = static_cast<la_ssize_t>(member.text.size());
  return member.text.empty() || archive_write_data(writer, member.text.data(), member.text.size()) == size;
}

// The same readings give the same bytes: names in order, no owner, no time but that of the action.
Result<void> write_archive(const Contents& contents, Nanoseconds time, Sink& sink) {
  const Writer writer(archive_write_new());
  if (!writer) return fail(ErrorKind::io, "no memory for an archive");
  const auto trouble = [&] {
    const char* text = archive_error_string(writer.get());
    return Failure(Error{sink.full ? ErrorKind::unsupported : ErrorKind::io,
                         std::string("writing the archive: ") + (text == nullptr ? "unknown" : text), 0});
  };
  if (archive_write_set_format_gnutar(writer.get()) != ARCHIVE_OK ||
      archive_write_add_filter_gzip(writer.get()) != ARCHIVE_OK ||
      archive_write_set_filter_option(writer.get(), "gzip", "timestamp", nullptr) != ARCHIVE_OK ||
      archive_write_open(writer.get(), &sink, nullptr, take_block, nullptr) != ARCHIVE_OK) {
    return trouble();
  }
  for (const auto& [path, member] : contents.members()) {
    if (!write_member(writer.get(), path, member, time)) return trouble();
  }
  if (archive_write_close(writer.get()) != ARCHIVE_OK) return trouble();
  return {};
}

// What a reader should know before trusting the tree to be whole.
std::string describe(const EvidenceBundle& bundle) {
  const auto left_out = [](const ReadRecorder* record) { return record == nullptr ? 0 : record->left_out(); };
  return "{\"schema\":\"defused.evidence/v1\",\"time\":\"" + format_wall_time(bundle.at_wall) +
         "\",\"connection\":" + std::to_string(bundle.connection) +
         ",\"proc_left_out\":" + std::to_string(left_out(bundle.proc)) +
         ",\"fusectl_left_out\":" + std::to_string(left_out(bundle.fusectl)) + "}\n";
}

struct Kept {
  std::string name;
  std::uint64_t bytes = 0;
};

// Bundles of ours, the oldest first.
std::vector<Kept> list_bundles(int directory, const std::string& path) {
  std::vector<Kept> bundles;
  for (const std::string& name : list_state_directory(directory, path).value_or(std::vector<std::string>())) {
    struct stat found {};
    if (!matches_glob(kPattern, name) || fstatat(directory, name.c_str(), &found, AT_SYMLINK_NOFOLLOW) != 0) continue;
    bundles.push_back({name, static_cast<std::uint64_t>(found.st_size)});
  }
  return bundles;
}

void forget_old_ones(int directory, const std::string& path, const std::string& just_made, std::uint32_t max_bundles,
                     std::uint64_t max_bytes) {
  std::vector<Kept> bundles = list_bundles(directory, path);
  std::size_t count = bundles.size();
  std::uint64_t bytes = 0;
  for (const Kept& bundle : bundles) bytes += bundle.bytes;
  for (const Kept& bundle : bundles) {
    if (count <= max_bundles && bytes <= max_bytes) return;
    if (bundle.name == just_made) continue;
    if (unlinkat(directory, bundle.name.c_str(), 0) != 0) continue;
    --count;
    bytes -= bundle.bytes;
  }
}

Result<UniqueFd> make_evidence_directory(const std::string& state_directory, const std::string& path) {
  const auto above = make_state_directory(state_directory);
  if (!above) return Failure(above.error());
  const bool made = mkdirat(above->get(), EvidenceStore::kDirectory, kStateDirectoryMode) == 0;
  if (!made && errno != EEXIST) return fail_errno(errno, "creating " + path);
  UniqueFd directory(openat(above->get(), EvidenceStore::kDirectory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!directory) return fail_errno(errno, "opening " + path);
  if (made) {
    if (auto durable = make_durable(above->get(), state_directory); !durable) return Failure(durable.error());
  }
  return directory;
}

}  // namespace

EvidenceStore::EvidenceStore(std::string state_directory, std::uint32_t max_bundles, std::uint64_t max_bytes)
    : state_directory_(std::move(state_directory)), max_bundles_(max_bundles), max_bytes_(max_bytes) {}

Result<std::string> EvidenceStore::keep(const EvidenceBundle& bundle) {
  if (max_bundles_ == 0) return fail(ErrorKind::unsupported, "no evidence is to be kept: remedy.evidence_bundles is 0");
  const std::string path = state_directory_ + "/" + kDirectory;
  const auto directory = make_evidence_directory(state_directory_, path);
  if (!directory) return Failure(directory.error());

  const std::string about = describe(bundle);
  Contents contents;
  contents.add_file("about.json", about);
  contents.add_file("intent.json", bundle.intent);
  contents.add_file("report.json", bundle.report);
  if (bundle.proc != nullptr) contents.add_record("proc", *bundle.proc);
  if (bundle.fusectl != nullptr) contents.add_record("sys/fs/fuse/connections", *bundle.fusectl);

  std::string name = compact_time(bundle.at_wall);
  name.append("-").append(std::to_string(bundle.connection)).append(kSuffix);
  auto file = TemporaryFile::create(directory->get(), path, kStem);
  if (!file) return Failure(file.error());
  Sink sink{file->fd(), max_bytes_};
  if (auto written = write_archive(contents, bundle.at_wall, sink); !written) return prepend(name, written.error());
  if (auto made = file->put_in_place(name); !made) return Failure(made.error());
  forget_old_ones(directory->get(), path, name, max_bundles_, max_bytes_);
  return name;
}

}  // namespace defused
