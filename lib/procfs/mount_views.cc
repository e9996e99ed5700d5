// SPDX-License-Identifier: Apache-2.0
#include "procfs/mount_views.h"

#include "procfs/parse.h"

namespace defused {

bool is_candidate(const ProcessBrief& process, const OwnProcesses& own) {
  if (process.kernel_thread || process.is_finished()) return false;
  const bool ours = own.self != 0 && (process.pid == own.self || process.pid == own.parent ||
                                      process.ppid == own.self || (own.parent > 1 && process.ppid == own.parent));
  return !ours;
}

MountViews::Look MountViews::note(pid_t pid, const Error& error) {
  if (error.kind == ErrorKind::gone) return Look::nothing;
  missed_(pid, error);
  complete_ = false;
  return Look::gap;
}

MountViews::Look MountViews::add(pid_t pid, const std::string& base) {
  constexpr std::size_t kFirstLine = 64;  // "22 27 0:21 /": the two ids are within
  const auto head = proc_.files().read_file(base + "mountinfo", kFirstLine);
  if (!head) {
    // EINVAL: a process past exit_task_namespaces sees nothing any more.
    return head.error().kind == ErrorKind::unsupported ? Look::nothing : note(pid, head.error());
  }
  if (head->text.empty()) return Look::nothing;
  const auto key = parse_first_mount(head->text);
  if (!key) return note(pid, key.error());
  const auto known = by_first_mount_.find(*key);
  if (known == by_first_mount_.end()) {
    // Where it ended meanwhile, the next one of its namespace shows the table.
    if (const Look look = read_table(pid, base, *key); look != Look::seen) return look;
  } else {
    last_ = known->second;
  }
  add_same(pid);
  return Look::seen;
}

void MountViews::add_same(pid_t pid) {
  auto& pids = views_[last_].pids;
  if (pids.empty() || pids.back() != pid) pids.push_back(pid);
}

MountViews::Look MountViews::read_table(pid_t pid, const std::string& base, std::pair<int, int> key) {
  const auto file = proc_.files().read_file(base + "mountinfo", limits_.max_mount_bytes);
  auto table = file ? parse_mountinfo(file->text, limits_.max_mount_lines) : Result<MountTable>(Failure(file.error()));
  if (!table) return note(pid, table.error());
  mounts_ += table->fuse_mounts.size();
  if (mounts_ > limits_.max_index_mounts) {
    mounts_ -= table->fuse_mounts.size();
    return note(pid, Error{ErrorKind::unsupported, "too many FUSE mounts", 0});
  }
  if (file->truncated || !table->complete) note(pid, Error{ErrorKind::unsupported, "too many lines", 0});
  last_ = views_.size();
  by_first_mount_.emplace(key, last_);
  views_.push_back(Viewer{{}, *std::move(table)});
  return Look::seen;
}

}  // namespace defused
