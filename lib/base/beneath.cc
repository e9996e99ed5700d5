// SPDX-License-Identifier: Apache-2.0
#include "base/beneath.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstring>

#include "base/text.h"

namespace defused {

namespace {

int open_with_openat2(int directory, const std::string& path, int flags) {
  open_how how{};
  how.flags = static_cast<__u64>(flags);
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV;
  return static_cast<int>(syscall(SYS_openat2, directory, path.c_str(), &how, sizeof how));
}

// For kernels before 5.6. Component by component without following links; names are ours, never a container's.
int open_by_components(int directory, std::string_view path, int flags) {
  UniqueFd held;
  int at = directory;
  while (true) {
    const std::string component(take_field(path, '/'));
    if (component.empty() || component == "..") {
      errno = EINVAL;
      return -1;
    }
    const bool last = path.empty();
    const int fd = openat(at, component.c_str(), (last ? flags : O_PATH | O_DIRECTORY | O_CLOEXEC) | O_NOFOLLOW);
    if (fd < 0 || last) return fd;
    held.reset(fd);
    at = fd;
  }
}

// A line of a recorded listing. What lies in it is not known from the names alone: an entry that nobody read must come
// back as what it was.
void append_listed(std::string_view name, unsigned char type, std::string& listing) {
  listing += name;
  listing += type == DT_DIR ? "/\n" : "\n";
}

}  // namespace

Beneath::Beneath(UniqueFd directory, ReadHook hook) : directory_(std::move(directory)), hook_(std::move(hook)) {}

Result<Beneath> Beneath::open_root(const std::string& path, ReadHook hook, std::string prefix) {
  UniqueFd fd(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) return fail_errno(errno, "opening " + path);
  Beneath root(std::move(fd), std::move(hook));
  root.prefix_ = std::move(prefix);
  return root;
}

std::optional<Error> Beneath::ask_hook(const std::string& path) const {
  if (!hook_) return std::nullopt;
  return hook_(prefix_ + path);
}

namespace {

// "self/ns/pid" -> "4711/ns/pid", where no link is followed: in the /proc of a confined prober, and without openat2.
// "" where `self` is something else than a link to a number.
std::string follow_self(int directory, const std::string& path) {
  constexpr std::string_view kSelf = "self/";
  if (path.compare(0, kSelf.size(), kSelf) != 0) return {};
  std::array<char, 32> target{};
  const ssize_t length = readlinkat(directory, "self", target.data(), target.size());
  if (length <= 0) return {};
  std::string number(target.data(), static_cast<std::size_t>(length));
  if (!parse_u64(number)) return {};
  return number.append(path, kSelf.size() - 1);
}

}  // namespace

Result<UniqueFd> Beneath::open_beneath(const std::string& path, int flags) const {
  if (auto refused = ask_hook(path)) return failed(path, prepend("opening " + path, *std::move(refused)));
  flags |= O_CLOEXEC | O_NOFOLLOW;
  UniqueFd fd(open_with_openat2(directory_.get(), path, flags));
  if (!fd && errno == ENOSYS) fd.reset(open_by_components(directory_.get(), path, flags));
  if (!fd && (errno == ELOOP || errno == ENOTDIR)) {
    const int error = errno;
    const std::string followed = follow_self(directory_.get(), path);
    errno = error;
    if (!followed.empty()) fd.reset(open_with_openat2(directory_.get(), followed, flags));
    if (!fd && errno == ENOSYS) fd.reset(open_by_components(directory_.get(), followed, flags));
  }
  if (!fd) return failed(path, fail_errno(errno, "opening " + path));
  return fd;
}

Result<Beneath> Beneath::open_directory(const std::string& path) const {
  auto fd = open_beneath(path, O_RDONLY | O_DIRECTORY);
  if (!fd) return Failure(fd.error());
  Beneath below(*std::move(fd), hook_);
  below.recorder_ = recorder_;
  if (hook_ || recorder_ != nullptr) below.prefix_ = prefix_ + path + "/";
  return below;
}

Result<UniqueFd> Beneath::open_file(const std::string& path, int flags) const { return open_beneath(path, flags); }

void Beneath::note_read(const std::string& path, ReadRecorder::Kind kind, std::string_view text, bool whole) const {
  if (recorder_ != nullptr) recorder_->note(recorded_name(path), kind, text, whole);
}

void Beneath::note_error(const std::string& path, const Error& error) const {
  if (recorder_ != nullptr) recorder_->note_error(recorded_name(path), {error.kind, error.code});
}

std::string Beneath::recorded_name(const std::string& path) const {
  std::string name = prefix_ + path;
  if (path == ".") name.erase(prefix_.empty() ? 0 : prefix_.size() - 1);
  return name;
}

Failure Beneath::failed(const std::string& path, Failure error) const {
  note_error(path, error.value());
  return error;
}

bool Beneath::is_put_off(const std::string& path, bool out_of_time) const {
  if (!out_of_time) {
    const auto told = ask_hook(path);
    if (!told || told->kind != ErrorKind::timeout || told->code != kNotAsked) return false;
  }
  note_error(path, Error{ErrorKind::timeout, {}, kNotAsked});
  return true;
}

Result<FileText> Beneath::read_file(const std::string& path, std::size_t max_bytes) const {
  auto file = read_unrecorded(path, max_bytes);
  if (file) note_read(path, ReadRecorder::Kind::file, file->text, !file->truncated);
  return file;
}

Result<FileText> Beneath::read_unrecorded(const std::string& path, std::size_t max_bytes) const {
  auto fd = open_beneath(path, O_RDONLY);
  if (!fd) return Failure(fd.error());
  auto file = read_up_to(fd->get(), max_bytes);
  if (!file) return failed(path, fail_errno(file.error().code, "reading " + path));
  return file;
}

Result<std::string> Beneath::read_link(const std::string& path) const {
  auto fd = open_beneath(path, O_PATH);
  if (!fd) return Failure(fd.error());
  std::array<char, PATH_MAX> target;  // NOLINT(cppcoreguidelines-pro-type-member-init): filled by readlinkat
  const ssize_t length = readlinkat(fd->get(), "", target.data(), target.size());
  if (length < 0) return failed(path, fail_errno(errno, "reading link " + path));
  std::string text(target.data(), static_cast<std::size_t>(length));
  note_read(path, ReadRecorder::Kind::link, text);
  return text;
}

template <typename Take>
Result<void> Beneath::for_each_entry(const std::string& path, Take take) const {
  auto fd = open_beneath(path, O_RDONLY | O_DIRECTORY);
  if (!fd) return Failure(fd.error());
  alignas(dirent64) std::array<char, 32768> buffer;  // NOLINT(cppcoreguidelines-pro-type-member-init)
  while (true) {
    const ssize_t got = getdents64(fd->get(), buffer.data(), buffer.size());
    if (got < 0) return failed(path, fail_errno(errno, "listing " + path));
    if (got == 0) return {};
    for (ssize_t at = 0; at < got;) {
      const auto* entry = reinterpret_cast<const dirent64*>(buffer.data() + at);
      at += entry->d_reclen;
      const std::string_view name(entry->d_name);
      if (name == "." || name == "..") continue;
      if (!take(name, static_cast<std::uint64_t>(entry->d_ino), entry->d_type)) return {};
    }
  }
}

Result<std::vector<std::string>> Beneath::list(const std::string& path, std::size_t max_names, bool& truncated) const {
  std::vector<std::string> names;
  std::string listing;
  truncated = false;
  const auto listed = for_each_entry(path, [&](std::string_view name, std::uint64_t /*inode*/, unsigned char type) {
    truncated = names.size() == max_names;
    if (truncated) return false;
    names.emplace_back(name);
    if (recorder_ != nullptr) append_listed(name, type, listing);
    return true;
  });
  if (!listed) return Failure(listed.error());
  note_read(path, ReadRecorder::Kind::directory, listing);
  const auto is_before = [](const std::string& a, const std::string& b) {
    return a.size() == b.size() ? a < b : a.size() < b.size();
  };
  // As /proc lists them nearly always.
  if (!std::is_sorted(names.begin(), names.end(), is_before)) std::sort(names.begin(), names.end(), is_before);
  return names;
}

Result<std::vector<NumberedEntry>> Beneath::list_numbers(const std::string& path, std::size_t max_names,
                                                         bool& truncated) const {
  std::vector<NumberedEntry> entries;
  std::string listing;
  truncated = false;
  const auto listed = for_each_entry(path, [&](std::string_view name, std::uint64_t inode, unsigned char type) {
    const auto number = parse_u64(name);
    if (!number) return true;
    truncated = entries.size() == max_names;
    if (truncated) return false;
    entries.push_back({*number, inode});
    if (recorder_ != nullptr) append_listed(name, type, listing);
    return true;
  });
  if (!listed) return Failure(listed.error());
  note_read(path, ReadRecorder::Kind::directory, listing);
  const auto is_before = [](const NumberedEntry& a, const NumberedEntry& b) { return a.number < b.number; };
  if (!std::is_sorted(entries.begin(), entries.end(), is_before)) std::sort(entries.begin(), entries.end(), is_before);
  return entries;
}

}  // namespace defused
