// SPDX-License-Identifier: Apache-2.0
// What the kernel says in its own words and numbers: stacks, descriptors, limits, versions. Addresses become 0.
#include <algorithm>
#include <array>
#include <string>

#include "base/text.h"
#include "capture/redact_files.h"

namespace defused {

namespace {

constexpr auto kNone = std::string_view::npos;
constexpr std::string_view kNotIt = "*";
constexpr std::string_view kDigits = "0123456789";
constexpr std::string_view kHex = "0123456789abcdefABCDEFx";

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// A symbol of the kernel. That of a BPF program is a name that somebody chose.
bool is_symbol(std::string_view text) {
  constexpr std::size_t kLongest = 512;  // include/linux/kallsyms.h, KSYM_NAME_LEN
  const auto fits = [](char c) {
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '.' || c == '$';
  };
  return !text.empty() && text.size() <= kLongest && std::all_of(text.begin(), text.end(), fits) &&
         text.substr(0, 9) != "bpf_prog_";
}

// [fuse]
bool is_module(std::string_view text) {
  return text.size() > 2 && text.size() <= 64 && text.front() == '[' && text.back() == ']' &&
         is_symbol(text.substr(1, text.size() - 2));
}

// request_wait_answer+0x151/0x210 [fuse]; behind the symbol all may be missing.
std::string redact_frame(std::string_view frame) {
  std::string_view rest = frame;
  std::string_view offset = take_field(rest, ' ');
  const std::string_view symbol = take_field(offset, '+');
  if (frame.find('+') == kNone) return {};  // may be cut short, and is not counted
  std::string out = is_symbol(symbol) ? std::string(symbol) : "bpf_prog";
  out += '+';
  if (out.size() > symbol.size() && consists_of(offset, std::string(kHex) + "/")) out += offset;
  if (is_module(rest)) out.append(" ").append(rest);
  return out;
}

// What fs/proc/fd.c prints for every file, and fs/fuse/dev.c for its device.
bool is_kept_key(std::string_view key) {
  return key == "pos" || key == "flags" || key == "mnt_id" || key == "ino" || key == "fuse_connection";
}

// fs/proc/base.c, lnames
constexpr auto kLimits = std::to_array<std::string_view>({
    "Max cpu time ",
    "Max file size ",
    "Max data size ",
    "Max stack size ",
    "Max core file size ",
    "Max resident set ",
    "Max processes ",
    "Max open files ",
    "Max locked memory ",
    "Max address space ",
    "Max file locks ",
    "Max pending signals ",
    "Max msgqueue size ",
    "Max nice priority ",
    "Max realtime priority ",
    "Max realtime timeout ",
});
constexpr auto kLimitWords =
    std::to_array<std::string_view>({"unlimited", "seconds", "bytes", "processes", "files", "locks", "signals", "us"});

// #1, 6.1.192-2, (2026-11-16), PREEMPT_DYNAMIC: numbers, and the words that say how it was built.
bool is_version_word(std::string_view word) {
  constexpr auto kKnown =
      std::to_array<std::string_view>({"SMP", "PREEMPT", "PREEMPT_DYNAMIC", "PREEMPT_RT", "Debian"});
  if (std::find(kKnown.begin(), kKnown.end(), word) != kKnown.end()) return true;
  const auto fits = [](char c) {
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           std::string_view("._+~:-()#").find(c) != kNone;
  };
  if (word.size() > 40 || !std::all_of(word.begin(), word.end(), fits)) return false;
  const std::size_t first = word.find_first_not_of("#(");
  return first != kNone && is_digit(word[first]);
}

}  // namespace

// [<0>] request_wait_answer+0x151/0x210 [fuse]
std::string redact_stack(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const bool ended = text.find('\n') != kNone;
    std::string_view line = trim(take_field(text, '\n'));
    if (line.substr(0, 2) == "[<") {
      const std::size_t end = line.find(">]");
      line = end == kNone ? std::string_view{} : trim(line.substr(end + 2));
    }
    const std::string frame = redact_frame(line);
    if (!frame.empty()) out.append("[<0>] ").append(frame).append(ended ? "\n" : "");
  }
  return out;
}

std::string redact_wchan(std::string_view text) {
  const std::string_view symbol = trim(text);
  return symbol.empty() || is_symbol(symbol) ? std::string(symbol) : std::string(kNotIt);
}

// 202 0x7ffd12 0x80 ..: the number of the call. "running".
std::string redact_syscall(std::string_view text) {
  const std::string_view call = trim(text.substr(0, text.find_first_of(" \n")));
  const bool is_call = call.size() <= 20 && consists_of(call, "-0123456789");
  return (is_call || call == "running" ? std::string(call) : std::string(kNotIt)) + "\n";
}

// pos:	0
// mnt_id:	59
// fuse_connection:	40
// One line says that a driver said more: without it a text that was cut short could be taken for one that goes on.
std::string redact_descriptor_info(std::string_view text) {
  std::string out;
  bool more = false;
  std::string_view rest = whole_lines(text);
  const bool cut = rest.size() != text.size();
  while (!rest.empty()) {
    std::string_view line = take_field(rest, '\n');
    const std::string_view key = take_field(line, ':');
    const std::string_view value = trim(line);
    if (is_kept_key(key)) {
      const bool is_number = !value.empty() && value.size() <= 20 && consists_of(value, kDigits);
      out.append(key).append(":\t").append(is_number ? value : kNotIt).append("\n");
    } else if (key != "lock" && !more) {
      out += "more:\t0\n";
      more = true;
    }
  }
  return cut ? out.append(kNotIt) : out;
}

// Max open files            1024                 1048576              files
std::string redact_limits(std::string_view text) {
  std::string out;
  text = whole_lines(text);
  while (!text.empty()) {
    const std::string_view line = take_field(text, '\n');
    const auto* known = std::find_if(kLimits.begin(), kLimits.end(),
                                     [&](std::string_view name) { return line.substr(0, name.size()) == name; });
    if (known == kLimits.end()) continue;
    out += trim(*known);
    for (const std::string_view field : split_fields(line.substr(known->size()), ' ')) {
      const bool is_word = std::find(kLimitWords.begin(), kLimitWords.end(), field) != kLimitWords.end();
      out.append(" ").append(is_word || consists_of(field, kDigits) ? field : kNotIt);
    }
    out += '\n';
  }
  return out;
}

// ffffffff81844100 t fuse_flush	[fuse]: what lib/procfs looks for, without the addresses, which tell where a
// kernel lies.
std::string redact_symbols(std::string_view text) {
  std::string out;
  text = whole_lines(text);
  while (!text.empty()) {
    std::string_view line = take_field(text, '\n');
    take_field(line, ' ');
    const std::string_view kind = take_field(line, ' ');
    const std::string_view symbol = take_field(line, '\t');
    constexpr std::string_view kFuse = "fuse_";
    if (kind.size() != 1 || symbol.substr(0, kFuse.size()) != kFuse || !is_symbol(symbol)) continue;
    out.append("0000000000000000 t ").append(symbol);
    if (is_module(line)) out.append("\t").append(line);
    out += '\n';
  }
  return out;
}

std::string redact_release(std::string_view text) {
  constexpr std::size_t kLongest = 64;
  const std::string_view release = trim(text);
  const auto fits = [](char c) {
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           std::string_view("._+~-").find(c) != kNone;
  };
  const bool is_release = release.size() <= kLongest && (release.empty() || is_digit(release.front())) &&
                          std::all_of(release.begin(), release.end(), fits);
  return is_release ? std::string(release) : std::string(kNotIt);
}

// Linux version 6.1.0-56-cloud-amd64 (debian-kernel@lists.debian.org) (gcc-12 ..) #1 SMP PREEMPT_DYNAMIC Debian ..: the
// release, and of the rest the number of the build and what it is.
std::string redact_version(std::string_view text) {
  std::string_view rest = text;
  take_field(rest, ' ');
  take_field(rest, ' ');
  std::string out = "Linux version " + redact_release(take_field(rest, ' '));
  if (const std::size_t number = rest.rfind(") #"); number != kNone) rest.remove_prefix(number + 2);
  if (rest.substr(0, 1) != "#") rest = {};  // cut short, or who built it
  for (const std::string_view word : split_fields(trim(rest), ' ')) {
    if (is_version_word(word)) out.append(" ").append(word);
  }
  return out + "\n";
}

std::string redact_numbers(std::string_view text) {
  constexpr std::size_t kLongest = 1U << 20U;
  if (text.size() <= kLongest && consists_of(text, "0123456789. \t\n-")) return std::string(text);
  return std::string(kNotIt) + "\n";
}

}  // namespace defused
