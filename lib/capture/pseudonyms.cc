// SPDX-License-Identifier: Apache-2.0
#include "capture/pseudonyms.h"

#include <algorithm>
#include <array>
#include <cstddef>

#include "base/text.h"

namespace defused {

namespace {

constexpr auto kNone = std::string_view::npos;
constexpr std::size_t kIdLength = 64;         // of a container
constexpr std::size_t kUidLength = 36;        // of a pod: 8-4-4-4-12
constexpr std::size_t kStaticUidLength = 32;  // of a static one

// Whole components that stay: what lib/detect/container.cc and lib/procfs/parse_tables.cc look for, what systemd,
// Docker and Kubernetes call the same on every host, and the first directories of every Linux.
constexpr auto kWords = std::to_array<std::string_view>({
    // runtimes and their directories
    "docker",
    "var-lib-docker",
    "moby",
    "ecs",
    "containerd",
    "cri-containerd",
    "nerdctl",
    "k8s.io",
    "default",
    "io.containerd.runtime.v2.task",
    "io.containerd.grpc.v1.cri",
    "crio",
    "libpod",
    ".local",
    "containers",
    "overlay2",
    "overlay",
    "fuse-overlayfs",
    "aufs",
    "mnt",
    "diff",
    "dir",
    "graph",
    "subvolumes",
    "layers",
    "volumes",
    "plugins",
    "sha256",
    "snapshots",
    "sandboxes",
    "libpod_parent",
    "lxc",
    "lxc.monitor",
    "lxc.payload",
    "kubelet",
    "pods",
    "kubepods",
    "burstable",
    "besteffort",
    "guaranteed",
    "supervisor",
    "merged",
    "rootfs",
    // units of systemd
    "-.slice",
    "system.slice",
    "user.slice",
    "machine.slice",
    "init.scope",
    "kubepods.slice",
    "kubepods-burstable.slice",
    "kubepods-besteffort.slice",
    // directories of every host
    "proc",
    "sys",
    "dev",
    "var",
    "lib",
    "run",
    "etc",
    "usr",
    "bin",
    "sbin",
    "lib64",
    "tmp",
    "home",
    "root",
    "opt",
    "srv",
    "media",
    "boot",
    "fs",
    "fuse",
    "fuseblk",
    "connections",
    "cgroup",
    "unified",
    "systemd",
    "self",
    "shm",
    "pts",
    "mqueue",
    "hugepages",
    "null",
    "zero",
    "full",
    "random",
    "urandom",
    "tty",
    "console",
    "ptmx",
    "kernel",
    "debug",
    "tracing",
    "security",
    "bpf",
    "pstore",
    "config",
    "firmware",
    "deleted",
});

// Endings of units: they stay, the name before them does not.
constexpr auto kUnits =
    std::to_array<std::string_view>({".slice", ".scope", ".service", ".socket", ".mount", ".automount", ".swap",
                                     ".device", ".target", ".timer", ".path"});

// What stands before the 64 digits in one component. Those with `conmon` come first, they are no containers.
constexpr auto kIdPrefixes = std::to_array<std::string_view>({"docker-", "cri-containerd-", "nerdctl-", "crio-conmon-",
                                                              "crio-", "libpod-payload-", "libpod-conmon-", "libpod-"});

// What stands before the name of an LXC container.
constexpr auto kLxcPrefixes = std::to_array<std::string_view>({"lxc.payload.", "lxc.monitor."});

// What may stand before `pod<uid>` between dashes.
constexpr auto kSliceWords =
    std::to_array<std::string_view>({"kubelet", "kubepods", "burstable", "besteffort", "guaranteed"});

// Schemes of sources, with what some put before them.
constexpr auto kSchemes = std::to_array<std::string_view>(
    {"http",    "https", "s3",   "gs",   "nfs",  "sftp", "ftp",  "ssh",    "redis",   "rediss", "postgres", "mysql",
     "sqlite3", "etcd",  "tikv", "ceph", "hdfs", "dav",  "davs", "webdav", "juicefs", "memory", "file",     "smb"});

// Sources that the kernel or systemd writes for what has none.
constexpr auto kSources = std::to_array<std::string_view>(
    {"none", "shm", "dev", "udev", "run", "lock", "systemd-1", "cgroup_root", "hugetlbfs", "vartmp", "tmp"});

template <std::size_t size>
bool is_one_of(const std::array<std::string_view, size>& words, std::string_view text) {
  return std::find(words.begin(), words.end(), text) != words.end();
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_hex_digit(char c) { return is_digit(c) || (c >= 'a' && c <= 'f'); }
bool is_hex(std::string_view text) { return std::all_of(text.begin(), text.end(), is_hex_digit); }
bool is_id(std::string_view text) { return text.size() == kIdLength && is_hex(text); }

constexpr std::size_t kLongestType = 32;
bool is_type_character(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '-';
}

bool starts_with(std::string_view text, std::string_view start) { return text.substr(0, start.size()) == start; }
bool ends_with(std::string_view text, std::string_view end) {
  return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
}

bool is_uid(std::string_view text) {
  if (text.size() == kStaticUidLength) return is_hex(text);
  if (text.size() != kUidLength) return false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool dash = i == 8 || i == 13 || i == 18 || i == 23;
    if (dash ? text[i] != '-' && text[i] != '_' : !is_hex_digit(text[i])) return false;
  }
  return true;
}

// The first run of hexadecimal digits that is as long as an id, or longer.
std::string_view long_run(std::string_view text) {
  std::size_t begin = 0;
  for (std::size_t i = 0; i <= text.size(); ++i) {
    if (i < text.size() && is_hex_digit(text[i])) continue;
    if (i - begin >= kIdLength) return text.substr(begin, i - begin);
    begin = i + 1;
  }
  return {};
}

std::uint64_t number_of(std::map<std::string, std::uint64_t, std::less<>>& known, std::string_view text) {
  const auto found = known.find(text);
  if (found != known.end()) return found->second;
  const std::uint64_t number = known.size() + 1;
  known.emplace(text, number);
  return number;
}

// `kubepods-burstable-`: whether all of it says the same everywhere.
bool is_slice_prefix(std::string_view text) {
  const auto words = split_fields(text, '-');
  return std::all_of(words.begin(), words.end(), [](std::string_view word) { return is_one_of(kSliceWords, word); });
}

std::string_view unit_ending(std::string_view text) {
  for (const std::string_view unit : kUnits) {
    if (ends_with(text, unit)) return unit;
  }
  return {};
}

// A name that `machine-NAME.scope` has for a virtual machine, which is no container.
std::string_view machine_prefix(std::string_view text) {
  for (const std::string_view prefix : {"qemu-", "qemu\\x2d"}) {
    if (starts_with(text, prefix)) return prefix;
  }
  return {};
}

}  // namespace

bool is_kernel_object(std::string_view text) {
  const std::string_view word = take_field(text, ':');
  const auto is_letter = [](char c) { return (c >= 'a' && c <= 'z') || c == '_'; };
  constexpr std::size_t kLongest = 20;
  return !word.empty() && word.size() <= kLongest && std::all_of(word.begin(), word.end(), is_letter) &&
         text.size() > 2 && text.size() <= kLongest + 2 && text.front() == '[' && text.back() == ']' &&
         std::all_of(text.begin() + 1, text.end() - 1, is_digit);
}

std::string Pseudonyms::name(std::string_view comm) {
  return comm.empty() ? "" : "name-" + std::to_string(number_of(names_, comm));
}

// Digits that count up, in groups of eight, so that the first twelve, which people use, tell ids apart.
std::string Pseudonyms::id(std::string_view digits) {
  std::string key(digits);
  key.erase(std::remove_if(key.begin(), key.end(), [](char c) { return !is_hex_digit(c); }), key.end());
  constexpr std::string_view kDigits = "0123456789abcdef";
  constexpr unsigned kGroup = 8;
  const std::uint64_t number = number_of(ids_, key);
  std::string out(digits);
  unsigned at = 0;
  for (char& c : out) {
    if (!is_hex_digit(c)) continue;
    c = kDigits[(number >> (4 * (kGroup - 1 - at))) & 0xF];
    at = (at + 1) % kGroup;
  }
  return out;
}

// What is known by nothing but itself. What lib/procfs counts as a hint at a container stays one: long runs of digits,
// `..kubelet/pods/`, `..lxc.payload.`; and a point, which LXC's directories are known by.
std::string Pseudonyms::plain(std::string_view text) {
  if (text.empty()) return {};
  const bool hidden = text.front() == '.';
  std::string out = hidden ? ".p-" : "p-";
  out += std::to_string(number_of(components_, text));
  if (const std::string_view run = long_run(text); !run.empty()) out += "-" + id(run);
  if (text.find("lxc.payload.") != kNone) {
    out += "-lxc.payload.";
  } else if (text.find('.') != kNone && !hidden) {
    out += ".x";
  }
  if (ends_with(text, "kubelet")) out += "-kubelet";
  return out;
}

// A component without the ending of a unit.
std::string Pseudonyms::core(std::string_view text) {
  if (is_id(text) || is_uid(text)) return id(text);
  const std::size_t pod = text.rfind("pod");
  if (pod != kNone && (pod == 0 || text[pod - 1] == '-') && is_uid(text.substr(pod + 3))) {
    const std::string_view prefix = text.substr(0, pod);
    std::string out = is_slice_prefix(prefix) ? std::string(prefix) : plain(prefix) + "-";
    return out.append("pod").append(id(text.substr(pod + 3)));
  }
  for (const std::string_view prefix : kIdPrefixes) {
    if (starts_with(text, prefix) && is_id(text.substr(prefix.size()))) {
      return std::string(prefix) + id(text.substr(prefix.size()));
    }
  }
  return plain(text);
}

// A component without colons before an id.
std::string Pseudonyms::part(std::string_view text) {
  if (text.empty() || text == "." || text == ".." || is_one_of(kWords, text)) return std::string(text);
  for (const std::string_view prefix : kLxcPrefixes) {
    if (starts_with(text, prefix)) return std::string(prefix) + plain(text.substr(prefix.size()));
  }
  const std::string_view ending = unit_ending(text);
  const std::string_view stem = text.substr(0, text.size() - ending.size());
  if (ending == ".scope" && starts_with(stem, "machine-")) {
    const std::string_view unit = stem.substr(std::string_view("machine-").size());
    const std::string_view prefix = machine_prefix(unit);
    return "machine-" + std::string(prefix) + plain(unit.substr(prefix.size())) + ".scope";
  }
  if (constexpr std::string_view kService = "systemd-nspawn@"; ending == ".service" && starts_with(stem, kService)) {
    const std::string_view unit = stem.substr(kService.size());
    const std::string_view prefix = machine_prefix(unit);
    return std::string(kService) + std::string(prefix) + plain(unit.substr(prefix.size())) + ".service";
  }
  return core(stem) + std::string(ending);
}

// `slice:prefix:<id>`, as a runtime writes it that was set up for systemd on a host without, is three of them.
std::string Pseudonyms::component(std::string_view component) {
  const std::size_t colon = component.rfind(':');
  if (colon == kNone || !is_id(component.substr(colon + 1))) return part(component);
  std::string out;
  while (component.find(':') != kNone) out.append(part(take_field(component, ':'))).append(":");
  return out + part(component);
}

std::string Pseudonyms::path(std::string_view path) {
  if (is_kernel_object(path)) return std::string(path);
  constexpr std::string_view kDeleted = " (deleted)";
  const bool deleted = ends_with(path, kDeleted);
  if (deleted) path.remove_suffix(kDeleted.size());
  std::string out;
  while (path.find('/') != kNone) out.append(component(take_field(path, '/'))).append("/");
  out += component(path);
  if (deleted) out += kDeleted;
  return out;
}

std::string Pseudonyms::source(std::string_view source, std::string_view type) {
  const bool is_fuse = starts_with(type, "fuse") && type != "fusectl";
  if (!is_fuse && (source == type || is_one_of(kSources, source))) return fstype(source);
  std::string out;
  if (const std::size_t at = source.find("://"); at != kNone) {
    const auto schemes = split_fields(source.substr(0, at), ':');
    const auto is_known = [](std::string_view scheme) { return is_one_of(kSchemes, scheme); };
    if (!schemes.empty() && std::all_of(schemes.begin(), schemes.end(), is_known)) {
      out = source.substr(0, at + 3);
      source.remove_prefix(at + 3);
    }
  }
  return out + path(source);
}

std::string Pseudonyms::fstype(std::string_view type) {
  const auto type_word = [this](std::string_view word) {
    const bool keep = word.size() <= kLongestType && std::all_of(word.begin(), word.end(), is_type_character);
    return keep ? std::string(word) : "p-" + std::to_string(number_of(components_, word));
  };
  std::string out;
  while (type.find('.') != kNone) out.append(type_word(take_field(type, '.'))).append(".");
  return out + type_word(type);
}

}  // namespace defused
