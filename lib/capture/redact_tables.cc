// SPDX-License-Identifier: Apache-2.0
// mountinfo, cgroup and links: what holds paths.
#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "base/text.h"
#include "capture/redact_files.h"

namespace defused {

namespace {

constexpr auto kNone = std::string_view::npos;
constexpr std::string_view kNotIt = "*";  // neither a number nor a device

// Options of mounts and superblocks without a value, of whichever file system; those of cgroup are controllers.
constexpr auto kFlags = std::to_array<std::string_view>({
    "rw",
    "ro",
    "nosuid",
    "nodev",
    "noexec",
    "relatime",
    "noatime",
    "nodiratime",
    "strictatime",
    "lazytime",
    "nosymfollow",
    "idmapped",
    "sync",
    "dirsync",
    "mand",
    "allow_other",
    "default_permissions",
    "dax",
    "discard",
    "index=on",
    "index=off",
    "metacopy=on",
    "metacopy=off",
    "redirect_dir=on",
    "redirect_dir=off",
    "xino=on",
    "xino=off",
    "xino=auto",
    "volatile",
    "userxattr",
    "hard",
    "soft",
    "nolock",
    "inode32",
    "inode64",
    "noquota",
    "nsdelegate",
    "memory_recursiveprot",
    "memory_localevents",
    "xattr",
});

// Options whose value is a number.
constexpr auto kNumbers = std::to_array<std::string_view>({
    "user_id", "group_id", "max_read", "blksize", "size",   "nr_inodes", "nr_blocks", "mode",
    "uid",     "gid",      "ptmxmode", "resuid",  "resgid", "fd",        "pgrp",      "timeout",
    "retrans", "rsize",    "wsize",    "hidepid", "commit", "minproto",  "maxproto",  "pagesize",
});

constexpr auto kPropagation = std::to_array<std::string_view>({"shared:", "master:", "propagate_from:"});

constexpr auto kControllers = std::to_array<std::string_view>({
    "cpu",
    "cpuacct",
    "cpuset",
    "blkio",
    "memory",
    "devices",
    "freezer",
    "net_cls",
    "net_prio",
    "perf_event",
    "hugetlb",
    "pids",
    "rdma",
    "misc",
    "name=systemd",
});

template <std::size_t size>
bool is_one_of(const std::array<std::string_view, size>& words, std::string_view text) {
  return std::find(words.begin(), words.end(), text) != words.end();
}

bool is_number(std::string_view text) {
  constexpr std::size_t kLongest = 20;
  return !text.empty() && text.size() <= kLongest && consists_of(text, "0123456789");
}

// 65536k, 40%
bool is_amount(std::string_view text) {
  if (!text.empty() && std::string_view("kKmMgG%").find(text.back()) != kNone) text.remove_suffix(1);
  return is_number(text);
}

std::string_view number(std::string_view text) { return is_number(text) ? text : kNotIt; }

// The only one of what the kernel escapes that another name may hold: " (deleted)".
std::string escape_blanks(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == ' ') {
      out += "\\040";
    } else {
      out += c;
    }
  }
  return out;
}

// rw,user_id=0,group_id=0,lowerdir=/secret -> rw,user_id=0,group_id=0. A field that was there is there.
std::string redact_options(std::string_view options) {
  if (options.empty()) return {};
  std::string out;
  for (const std::string_view option : split_fields(options, ',')) {
    std::string_view value = option;
    const std::string_view key = take_field(value, '=');
    const bool is_flag = is_one_of(kFlags, option) || is_one_of(kControllers, option);
    if (!is_flag && !(is_one_of(kNumbers, key) && is_amount(value))) continue;
    if (!out.empty()) out += ',';
    out += option;
  }
  return out.empty() ? "defaults" : out;
}

// shared:7
std::string_view redact_propagation(std::string_view field) {
  const std::size_t colon = field.find(':');
  const bool is_known =
      colon != kNone && is_one_of(kPropagation, field.substr(0, colon + 1)) && is_number(field.substr(colon + 1));
  return field.empty() || field == "unbindable" || is_known ? field : kNotIt;
}

// 0:40
std::string redact_device(std::string_view text) {
  if (text.find(':') == kNone) return std::string(kNotIt);
  const std::string_view major = take_field(text, ':');
  return std::string(number(major)) + ":" + std::string(number(text));
}

// All fields, empty ones too: a parser counts them.
std::vector<std::string_view> all_fields(std::string_view line) {
  std::vector<std::string_view> fields;
  while (line.find(' ') != kNone) fields.push_back(take_field(line, ' '));
  fields.push_back(line);
  return fields;
}

// 66 43 0:40 / /mnt/lab_flush rw,nosuid,nodev,relatime shared:7 - fuse.ndrive ndrive rw,user_id=0,group_id=0
// A line may end anywhere.
std::string redact_mount(std::string_view line, Pseudonyms& names) {
  constexpr std::size_t kFirstPropagation = 6;
  const auto fields = all_fields(line);
  const auto path = [&](std::string_view field) { return escape_blanks(names.path(unescape_octal(field))); };
  std::size_t dash = kFirstPropagation;
  while (dash < fields.size() && fields[dash] != "-") ++dash;
  std::string out;
  for (std::size_t i = 0; i < std::min(fields.size(), dash + 4); ++i) {
    const std::string_view field = fields[i];
    if (i > 0) out += ' ';
    if (i < 2) {
      out += number(field);
    } else if (i == 2) {
      out += redact_device(field);
    } else if (i < 5) {
      out += path(field);
    } else if (i == 5 || i == dash + 3) {
      out += redact_options(field);
    } else if (i < dash) {
      out += redact_propagation(field);
    } else if (i == dash) {
      out += '-';
    } else if (i == dash + 1) {
      out += names.fstype(field);
    } else {
      out += escape_blanks(names.source(unescape_octal(field), fields[dash + 1]));
    }
  }
  return out;
}

// cpu,cpuacct or name=systemd, "" for v2
std::string redact_controllers(std::string_view controllers, Pseudonyms& names) {
  std::string out;
  for (std::string_view controller : split_fields(controllers, ',')) {
    if (!out.empty()) out += ',';
    if (is_one_of(kControllers, controller)) {
      out += controller;
      continue;
    }
    constexpr std::string_view kNamed = "name=";
    if (controller.substr(0, kNamed.size()) == kNamed) {
      out += kNamed;
      controller.remove_prefix(kNamed.size());
    }
    out += names.component(controller);
  }
  return out;
}

}  // namespace

std::string redact_mountinfo(std::string_view text, Pseudonyms& names) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const bool ended = text.find('\n') != kNone;
    out += redact_mount(take_field(text, '\n'), names);
    if (ended) out += '\n';
  }
  return out;
}

// 9:name=systemd:/docker/3bd9...
// 0::/docker/3bd9...
std::string redact_cgroup(std::string_view text, Pseudonyms& names) {
  std::string out;
  text = whole_lines(text);
  while (!text.empty()) {
    std::string_view path = take_field(text, '\n');
    const std::string_view hierarchy = take_field(path, ':');
    const std::string_view controllers = take_field(path, ':');
    if (!is_number(hierarchy) || path.substr(0, 1) != "/") continue;
    out.append(hierarchy).append(":").append(redact_controllers(controllers, names)).append(":");
    out.append(names.path(path)).append("\n");
  }
  return out;
}

// /dev/fuse, /var/log/secret.log (deleted), socket:[4711], anon_inode:[eventfd]
std::string redact_descriptor_link(std::string_view target, Pseudonyms& names) {
  constexpr std::string_view kAnonymous = "anon_inode:";
  constexpr std::size_t kLongest = 48;
  const bool is_anonymous = target.substr(0, kAnonymous.size()) == kAnonymous && target.size() <= kLongest &&
                            consists_of(target, "abcdefghijklmnopqrstuvwxyz0123456789_-:[]");
  return is_anonymous ? std::string(target) : names.path(target);
}

std::string redact_namespace_link(std::string_view target) {
  return is_kernel_object(target) ? std::string(target) : std::string(kNotIt);
}

}  // namespace defused
