// SPDX-License-Identifier: Apache-2.0
#include "capture/redact.h"

#include <algorithm>
#include <array>
#include <optional>
#include <set>
#include <vector>

#include "base/text.h"
#include "capture/about.h"
#include "capture/redact_files.h"

namespace defused {

namespace {

using Kind = FileTree::Kind;
using Parts = std::vector<std::string_view>;

// What a path of a look holds.
enum class Content {
  unknown,
  directory,
  status,
  stat,
  stack,
  wchan,
  syscall,
  sched,
  cgroup,
  mountinfo,
  limits,
  comm,
  numbers,
  descriptor_info,
  descriptor_link,
  namespace_link,
  version,
  release,
  symbols,
  kernel_lines,
  errors,
  look,
};

struct Named {
  std::string_view name;
  Content content;
};

template <std::size_t size>
Content find_named(const std::array<Named, size>& table, std::string_view name) {
  const auto found = std::find_if(table.begin(), table.end(), [&](const Named& it) { return it.name == name; });
  return found == table.end() ? Content::unknown : found->content;
}

bool is_number(std::string_view text) { return text.size() <= 10 && parse_u64(text).has_value(); }

// proc/self/sched-on-cpu17 (lib/procfs/thread_ages.h)
bool is_clock(const Parts& parts) {
  constexpr std::string_view kPrefix = "sched-on-cpu";
  return parts.size() == 3 && parts[1] == "self" && parts[2].substr(0, kPrefix.size()) == kPrefix &&
         is_number(parts[2].substr(kPrefix.size()));
}

// Below proc/PID and proc/PID/task/TID.
Content content_of_task(const Parts& parts, std::size_t at) {
  static constexpr auto kFiles = std::to_array<Named>({
      {"status", Content::status},
      {"stat", Content::stat},
      {"stack", Content::stack},
      {"wchan", Content::wchan},
      {"syscall", Content::syscall},
      {"sched", Content::sched},
      {"cgroup", Content::cgroup},
      {"comm", Content::comm},
      {"limits", Content::limits},
      {"mountinfo", Content::mountinfo},
      {"children", Content::numbers},
      {"fd", Content::directory},
      {"fdinfo", Content::directory},
      {"ns", Content::directory},
      {"task", Content::directory},
  });
  static constexpr auto kNamespaces = std::to_array<Named>({
      {"pid", Content::namespace_link},
      {"mnt", Content::namespace_link},
      {"user", Content::namespace_link},
      {"net", Content::namespace_link},
      {"ipc", Content::namespace_link},
      {"uts", Content::namespace_link},
      {"cgroup", Content::namespace_link},
      {"time", Content::namespace_link},
      {"pid_for_children", Content::namespace_link},
      {"time_for_children", Content::namespace_link},
  });
  const std::size_t left = parts.size() - at;
  if (left == 0) return Content::directory;
  if (left == 1) return is_clock(parts) ? Content::sched : find_named(kFiles, parts[at]);
  if (parts[at] == "ns" && left == 2) return find_named(kNamespaces, parts[at + 1]);
  if (!is_number(parts[at + 1])) return Content::unknown;
  if (parts[at] == "fd" && left == 2) return Content::descriptor_link;
  if (parts[at] == "fdinfo" && left == 2) return Content::descriptor_info;
  return Content::unknown;
}

Content content_of_rest(std::string_view path) {
  static constexpr auto kFiles = std::to_array<Named>({
      {"proc", Content::directory},
      {"proc/version", Content::version},
      {"proc/uptime", Content::numbers},
      {"proc/kallsyms", Content::symbols},
      {"proc/sys", Content::directory},
      {"proc/sys/fs", Content::directory},
      {"proc/sys/fs/fuse", Content::directory},
      {"proc/sys/fs/fuse/default_request_timeout", Content::numbers},
      {"proc/sys/fs/fuse/max_request_timeout", Content::numbers},
      {"proc/sys/kernel", Content::directory},
      {"proc/sys/kernel/osrelease", Content::release},
      {"proc/sys/kernel/pid_max", Content::numbers},
      {"sys", Content::directory},
      {"sys/fs", Content::directory},
      {"sys/fs/fuse", Content::directory},
      {"sys/fs/fuse/connections", Content::directory},
      {"bpf", Content::directory},
      {"bpf/files", Content::kernel_lines},
      {"bpf/waits", Content::kernel_lines},
      {"errors", Content::errors},
      {"look.json", Content::look},
  });
  return find_named(kFiles, path);
}

// Below sys/fs/fuse/connections/N.
Content content_of_connection(const Parts& parts) {
  constexpr std::size_t kConnection = 5;
  if (parts.size() == kConnection) return Content::directory;
  const std::string_view name = parts.back();
  const bool known = name == "waiting" || name == "max_background" || name == "congestion_threshold" || name == "abort";
  return known && parts.size() == kConnection + 1 ? Content::numbers : Content::unknown;
}

Content content_of(std::string_view path) {
  constexpr std::string_view kConnections = "sys/fs/fuse/connections/";
  const Parts parts = split_fields(path, '/');
  if (parts.size() > 1 && parts[0] == "proc" && (is_number(parts[1]) || parts[1] == "self")) {
    constexpr std::size_t kProcess = 2;
    constexpr std::size_t kThread = 4;
    const bool is_of_thread = parts.size() >= kThread && parts[2] == "task" && is_number(parts[3]);
    return content_of_task(parts, is_of_thread ? kThread : kProcess);
  }
  if (path.substr(0, kConnections.size()) == kConnections && is_number(parts[4])) return content_of_connection(parts);
  return content_of_rest(path);
}

Kind kind_of(Content content) {
  switch (content) {
    case Content::directory: return Kind::directory;
    case Content::descriptor_link:
    case Content::namespace_link: return Kind::link;
    default: return Kind::file;
  }
}

// 4711 4712 123456 17 group 40 complete 40,41: what the kernel itself said (lib/bpf/recorded_readers.h).
std::string redact_kernel_lines(std::string_view text) {
  constexpr auto kWords = std::to_array<std::string_view>({"device", "file", "group", "thread", "complete", "more"});
  const auto is_kept = [&](std::string_view word) {
    const bool is_figure = word.find_first_not_of("0123456789,-") == std::string_view::npos;
    return is_figure || std::find(kWords.begin(), kWords.end(), word) != kWords.end();
  };
  std::string out;
  while (!text.empty()) {
    const bool ended = text.find('\n') != std::string_view::npos;
    const std::string_view line = take_field(text, '\n');
    const auto words = split_fields(line, ' ');
    const bool keep = ended && std::all_of(words.begin(), words.end(), is_kept);
    out.append(keep ? line : "*").append(ended ? "\n" : "");  // what nobody can read stays so
  }
  return out;
}

// denied 13 proc/1/fdinfo
std::string redact_errors(std::string_view text) {
  constexpr auto kKinds = std::to_array({ErrorKind::gone, ErrorKind::denied, ErrorKind::timeout, ErrorKind::malformed,
                                         ErrorKind::unsupported, ErrorKind::io});
  std::string out;
  text = whole_lines(text);
  while (!text.empty()) {
    const std::string_view line = take_field(text, '\n');
    std::string_view path = line;
    const std::string_view kind = take_field(path, ' ');
    const std::string_view code = take_field(path, ' ');
    const bool is_kind = std::any_of(kKinds.begin(), kKinds.end(), [&](ErrorKind it) { return to_string(it) == kind; });
    if (is_kind && is_number(code) && content_of(path) != Content::unknown) out.append(line).append("\n");
  }
  return out;
}

std::string redact_look(std::string_view text) {
  const auto look = parse_look(text);
  return look ? render_look(*look) : std::string();
}

std::set<std::string, std::less<>> find_kernel_threads(const FileTree& look) {
  std::set<std::string, std::less<>> found;
  for (const auto& [path, node] : look.nodes()) {
    const Parts parts = split_fields(path, '/');
    if (node.kind != Kind::file || parts.size() < 3 || parts.front() != "proc" || parts.back() != "status") continue;
    if (is_status_of_kernel_thread(node.text)) found.emplace(parts[parts.size() - 2]);
  }
  return found;
}

// Whether the file is of a kernel thread: "proc/2/comm", "proc/2/task/2/comm".
bool is_of(const std::set<std::string, std::less<>>& kernel_threads, std::string_view path) {
  const Parts parts = split_fields(path, '/');
  return parts.size() > 2 && kernel_threads.count(parts[1]) > 0;
}

std::string redact_text(Content content, std::string_view text, bool keep_name, Pseudonyms& names) {
  switch (content) {
    case Content::status: return redact_status(text, keep_name, names);
    case Content::stat: return redact_stat(text, keep_name, names);
    case Content::sched: return redact_sched(text, keep_name, names);
    case Content::comm: return redact_comm_file(text, keep_name, names);
    case Content::cgroup: return redact_cgroup(text, names);
    case Content::mountinfo: return redact_mountinfo(text, names);
    case Content::descriptor_link: return redact_descriptor_link(text, names);
    case Content::namespace_link: return redact_namespace_link(text);
    case Content::descriptor_info: return redact_descriptor_info(text);
    case Content::stack: return redact_stack(text);
    case Content::wchan: return redact_wchan(text);
    case Content::syscall: return redact_syscall(text);
    case Content::limits: return redact_limits(text);
    case Content::numbers: return redact_numbers(text);
    case Content::version: return redact_version(text);
    case Content::release: return redact_release(text);
    case Content::symbols: return redact_symbols(text);
    case Content::kernel_lines: return redact_kernel_lines(text);
    case Content::errors: return redact_errors(text);
    case Content::look: return redact_look(text);
    case Content::directory:
    case Content::unknown: break;
  }
  return {};
}

}  // namespace

FileTree Redactor::redact(const FileTree& look) {
  FileTree out;
  const auto kernel_threads = find_kernel_threads(look);
  for (const auto& [path, node] : look.nodes()) {
    const Content content = content_of(path);
    const bool is_listed = node.kind == Kind::file && node.text.empty();  // there, and nobody read it
    if (content == Content::unknown || (kind_of(content) != node.kind && !is_listed)) {
      if (node.kind != Kind::directory && !is_listed) ++dropped_;
      continue;
    }
    std::string text = is_listed ? std::string() : redact_text(content, node.text, is_of(kernel_threads, path), names_);
    if (node.kind == Kind::directory) {
      out.add_directory(path);
    } else if (node.kind == Kind::link) {
      out.add_link(path, std::move(text));
    } else {
      out.add_file(path, std::move(text));
    }
  }
  return out;
}

}  // namespace defused
