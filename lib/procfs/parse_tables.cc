// SPDX-License-Identifier: Apache-2.0
// stack, mountinfo, cgroup, fdinfo and namespace links.
#include <algorithm>
#include <array>
#include <limits>
#include <string>

#include "base/text.h"
#include "procfs/malformed.h"
#include "procfs/parse.h"

namespace defused {

namespace {

bool is_octal(char digit) { return digit >= '0' && digit <= '7'; }

std::string clean_path(std::string_view field) { return sanitize(unescape_octal(field)); }

bool is_fuse_type(std::string_view fstype) {
  const std::string_view type = take_field(fstype, '.');  // "fuse.s3fs": a subtype
  return type == "fuse" || type == "fuseblk";
}

bool is_hex(char character) { return (character >= '0' && character <= '9') || (character >= 'a' && character <= 'f'); }

// Whether a path may name a container: 64 hexadecimal digits (a container id, or an image layer), a pod, an LXC name.
bool names_container(std::string_view path) {
  for (const std::string_view part : {"kubelet/pods/", "/lxc/", "lxc.payload."}) {
    if (path.find(part) != std::string_view::npos) return true;
  }
  constexpr std::size_t kIdLength = 64;
  std::size_t run = 0;
  for (const char character : path) {
    run = is_hex(character) ? run + 1 : 0;
    if (run == kIdLength) return true;
  }
  return false;
}

std::optional<ConnectionId> parse_device(std::string_view text) {
  const auto major = parse_u64(take_field(text, ':'));
  const auto minor = parse_u64(text);
  if (!major || !minor || *major > kMaxMajor || *minor > kMaxMinor) return std::nullopt;
  return connection_of_device(static_cast<std::uint32_t>(*major), static_cast<std::uint32_t>(*minor));
}

std::optional<int> parse_mount_id(std::string_view text) {
  const auto number = parse_u64(text);
  if (!number || *number > static_cast<std::uint64_t>(std::numeric_limits<int>::max())) return std::nullopt;
  return static_cast<int>(*number);
}

// 66 43 0:40 / /mnt/lab_flush rw,nosuid,nodev,relatime shared:7 - fuse.ndrive ndrive rw,user_id=0,group_id=0
bool take_mount_line(std::string_view line, MountTable& table) {
  std::string_view rest = line;
  const auto mount_id = parse_mount_id(take_field(rest, ' '));
  const auto parent_id = parse_mount_id(take_field(rest, ' '));
  const auto device = parse_device(take_field(rest, ' '));
  const std::string_view root = take_field(rest, ' ');
  const std::string_view mount_point = take_field(rest, ' ');
  if (!mount_id || !parent_id || !device || mount_point.empty()) return false;
  take_field(rest, ' ');                  // per-mount options
  while (take_field(rest, ' ') != "-") {  // optional fields: shared:N master:N ...
    if (rest.empty()) return false;
  }
  const std::string_view fstype = take_field(rest, ' ');
  const std::string_view source = take_field(rest, ' ');
  if (fstype.empty()) return false;
  if (fstype == "overlay") table.has_overlay = true;
  if (fstype == "virtiofs") table.has_virtiofs = true;
  for (const std::string_view path : {root, mount_point}) {
    if (table.container_hints.size() < kMaxContainerHints && names_container(path)) {
      table.container_hints.push_back(clean_path(path));
    }
  }
  if (!is_fuse_type(fstype)) return true;
  table.fuse_mounts.push_back(
      FuseMount{*mount_id, *device, clean_path(fstype), clean_path(source), clean_path(mount_point)});
  return true;
}

}  // namespace

std::string strip_symbol(std::string_view symbol) {
  symbol = symbol.substr(0, symbol.find('+'));
  static constexpr std::array<std::string_view, 6> kSuffixes = {".isra.", ".part.", ".constprop.",
                                                                ".cold",  ".llvm.", ".lto_priv."};
  std::size_t end = symbol.size();
  for (const std::string_view suffix : kSuffixes) end = std::min(end, symbol.find(suffix));
  return sanitize(symbol.substr(0, end));
}

// [<0>] put_files_struct.part.0+0x5a/0xc0
// [<ffffffff812aa77a>] request_wait_answer+0x10/0x20 [fuse]
// [<ffffffffffffffff>] 0xffffffffffffffff
std::vector<std::string> parse_stack(std::string_view text) {
  std::vector<std::string> frames;
  while (!text.empty() && frames.size() < kMaxStackFrames) {
    std::string_view line = trim(take_field(text, '\n'));
    if (line.substr(0, 2) == "[<") {
      const std::size_t end = line.find(">]");
      line = end == std::string_view::npos ? std::string_view{} : trim(line.substr(end + 2));
    }
    const std::string_view symbol = take_field(line, ' ');
    // Without its offset a name may be cut short: "fuse_d" is not "fuse_dev_do_read".
    if (symbol.substr(0, 2) == "0x" || symbol.find('+') == std::string_view::npos) continue;
    frames.push_back(strip_symbol(symbol));
  }
  return frames;
}

Result<MountTable> parse_mountinfo(std::string_view text, std::size_t max_lines) {
  MountTable table;
  const std::string_view whole = whole_lines(text);
  table.complete = whole.size() == text.size();
  text = whole;
  for (std::size_t line_number = 0; !text.empty(); ++line_number) {
    if (line_number == max_lines) {
      table.complete = false;
      return table;
    }
    const std::string_view line = take_field(text, '\n');
    if (!take_mount_line(line, table)) return malformed("mountinfo", line);
  }
  return table;
}

Result<std::pair<int, int>> parse_first_mount(std::string_view text) {
  std::string_view rest = text;
  const auto mount_id = parse_mount_id(take_field(rest, ' '));
  const auto parent_id = parse_mount_id(take_field(rest, ' '));
  if (!mount_id || !parent_id || rest.empty()) return malformed("mountinfo", text);
  return std::pair(*mount_id, *parent_id);
}

// 9:name=systemd:/docker/3bd9...
// 0::/docker/3bd9...
std::vector<std::string> parse_cgroup(std::string_view text) {
  std::vector<std::string> paths;
  const auto add = [&](std::string path, bool first) {
    if (path.size() <= 1 || std::find(paths.begin(), paths.end(), path) != paths.end()) return;
    paths.insert(first ? paths.begin() : paths.end(), std::move(path));
  };
  text = whole_lines(text);
  while (!text.empty()) {
    std::string_view line = take_field(text, '\n');
    const bool unified = line.substr(0, 3) == "0::";
    const bool numbered = parse_u64(take_field(line, ':')).has_value();
    take_field(line, ':');
    if (!numbered || line.substr(0, 1) != "/") continue;
    constexpr std::size_t kLongestPath = 4096;  // of a pod in a container: the id at its end says whose it is
    add(sanitize(line, kLongestPath), unified);
  }
  return paths;
}

namespace {

std::optional<std::uint32_t> parse_octal(std::string_view text) {
  constexpr std::size_t kMaxDigits = 10;  // 30 bits: more than the kernel has flags
  if (text.empty() || text.size() > kMaxDigits || !std::all_of(text.begin(), text.end(), is_octal)) return std::nullopt;
  std::uint32_t value = 0;
  for (const char digit : text) value = (value << 3U) | static_cast<std::uint32_t>(digit - '0');
  return value;
}

// What fs/proc/fd.c prints for every file. What its driver adds, such as fuse_connection, stands behind it - and the
// locks are as many as a process likes.
bool is_common_key(std::string_view key) {
  return key == "pos" || key == "flags" || key == "mnt_id" || key == "ino" || key == "lock";
}

}  // namespace

// pos:	0
// flags:	02100002
// mnt_id:	59
// ino:	90
// fuse_connection:	40
Result<DescriptorInfo> parse_fdinfo(std::string_view text, bool truncated) {
  DescriptorInfo info;
  std::string_view rest = whole_lines(text);
  bool could_go_on = truncated || rest.size() != text.size();
  while (!rest.empty()) {
    std::string_view line = take_field(rest, '\n');
    const std::string_view key = take_field(line, ':');
    const std::string_view value = trim(line);
    if (key == "mnt_id" && info.mount_id < 0) {  // the first: a driver may print a name that somebody chose
      const auto id = parse_mount_id(value);
      if (!id) return malformed("fdinfo: mnt_id", value);
      info.mount_id = *id;
    } else if (key == "flags") {
      const auto flags = parse_octal(value);
      if (!flags) return malformed("fdinfo: flags", value);
      info.flags = *flags;
    } else if (key == "fuse_connection") {
      const auto id = parse_u64(value);
      if (!id || *id > std::numeric_limits<std::uint32_t>::max()) return malformed("fdinfo: fuse_connection", value);
      info.fuse_connection = ConnectionId{static_cast<std::uint32_t>(*id)};
    }
    could_go_on = could_go_on && is_common_key(key);
  }
  if (could_go_on) return malformed("fdinfo: cut short before what the driver says", text);
  if (info.mount_id < 0) return fail(ErrorKind::malformed, "fdinfo: no mnt_id");
  return info;
}

// pid:[4026532178]
Result<NamespaceId> parse_namespace_link(std::string_view text, std::string_view kind) {
  std::string_view rest = text;
  const std::string_view name = take_field(rest, ':');
  if (name != kind || rest.size() < 3 || rest.front() != '[' || rest.back() != ']') {
    return malformed("namespace link", text);
  }
  const auto inode = parse_u64(rest.substr(1, rest.size() - 2));
  if (!inode) return malformed("namespace link", text);
  return NamespaceId{*inode};
}

}  // namespace defused
