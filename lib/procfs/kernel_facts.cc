// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <string>

#include "base/text.h"
#include "procfs/proc_root.h"

namespace defused {

namespace {

struct Symbols {
  bool readable = false;
  bool flush = false;        // fuse_flush
  bool flush_async = false;  // fuse_flush_async: 6.3 to 6.5.2, where an exiting thread does not wait (KERNEL.md 1)
  bool fdinfo = false;       // fuse_dev_show_fdinfo: fdinfo of /dev/fuse names its connection (f09222980d77, 6.16)
};

void note_symbol(std::string_view line, Symbols& symbols) {
  // ffffffff81844100 t fuse_flush	[fuse]
  take_field(line, ' ');
  take_field(line, ' ');
  const std::string_view name = take_field(line, '\t');
  if (name == "fuse_flush") symbols.flush = true;
  if (name == "fuse_flush_async") symbols.flush_async = true;
  if (name == "fuse_dev_show_fdinfo") symbols.fdinfo = true;
}

Symbols read_symbols(const ProcRoot& proc) {
  Symbols symbols;
  constexpr std::size_t kMaxBytes = 64U << 20U;
  const auto file = proc.files().read_unrecorded("kallsyms", kMaxBytes);
  if (!file) return symbols;
  symbols.readable = true;
  const std::string_view text = whole_lines(file->text);
  std::string lines;  // of ten megabytes, those that count
  for (std::size_t at = text.find(" fuse_"); at != std::string_view::npos; at = text.find(" fuse_", at + 1)) {
    const std::size_t begin = text.rfind('\n', at) + 1;  // npos + 1 is 0: the first line
    const std::string_view line = text.substr(begin, text.find('\n', at) - begin);
    note_symbol(line, symbols);
    lines.append(line).append("\n");
  }
  proc.files().note_read("kallsyms", ReadRecorder::Kind::file, lines);
  return symbols;
}

std::optional<std::uint64_t> read_knob(const ProcRoot& proc, const std::string& name) {
  if (!proc.fuse_knobs().valid()) return std::nullopt;
  const auto file = proc.fuse_knobs().read_file(name, 64);
  return file ? parse_u64(trim(file->text)) : std::nullopt;
}

// Linux version 6.1.0-56-cloud-amd64 (debian-kernel@lists.debian.org) ... -> 6.1.0-56-cloud-amd64
std::string parse_release(std::string_view version) {
  take_field(version, ' ');
  take_field(version, ' ');
  return sanitize(trim(take_field(version, ' ')));
}

// 6.18.44-cloud -> {6, 18}
std::pair<std::uint64_t, std::uint64_t> major_minor(std::string_view release) {
  const auto major = parse_u64(take_field(release, '.'));
  const std::string_view second = take_field(release, '.');
  const auto minor = parse_u64(second.substr(0, second.find_first_not_of("0123456789")));
  return {major.value_or(0), minor.value_or(0)};
}

}  // namespace

KernelFacts read_kernel_facts(const ProcRoot& proc) {
  KernelFacts facts;
  if (const auto version = proc.files().read_file("version", 1024)) {
    facts.release = parse_release(version->text);
  }
  const Symbols symbols = read_symbols(proc);
  if (symbols.flush) facts.fuse_flush_waits = symbols.flush_async ? FlushWaits::no : FlushWaits::yes;
  // Symbols decide where FUSE is loaded; a distribution may have the change in an older release. Else the release does.
  facts.fdinfo_names_connection =
      symbols.flush ? symbols.fdinfo : major_minor(facts.release) >= std::pair<std::uint64_t, std::uint64_t>(6, 16);
  read_request_timeouts(proc, facts);
  return facts;
}

void read_request_timeouts(const ProcRoot& proc, KernelFacts& facts) {
  facts.default_request_timeout_seconds = read_knob(proc, "default_request_timeout");
  facts.max_request_timeout_seconds = read_knob(proc, "max_request_timeout");
}

}  // namespace defused
