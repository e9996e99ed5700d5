// SPDX-License-Identifier: Apache-2.0
#include "daemon/lost_processes.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace defused {

namespace {

std::uint64_t inode_of(const UniqueFd& descriptor) {
  struct stat status {};
  return descriptor && fstat(descriptor.get(), &status) == 0 ? static_cast<std::uint64_t>(status.st_ino) : 0;
}

// Since Linux 6.9 (pidfs) each process has an inode of its own, which is not used again before the next boot; before,
// all pidfds are one inode, so that of ourselves is the same.
std::uint64_t identify(const UniqueFd& pidfd) {
  const std::uint64_t inode = inode_of(pidfd);
  return inode == inode_of(open_pidfd(getpid())) ? 0 : inode;
}

}  // namespace

std::string name_of(const ProcessId& id) {
  return std::to_string(id.pid) + " (started at tick " + std::to_string(id.start_ticks) + ")";
}

LostProcesses::LostProcesses(std::string record_path, Logger& log) : record_path_(std::move(record_path)), log_(log) {
  take_over();
}

void LostProcesses::take_over() {
  const auto recorded = read_lost_probers(record_path_);
  if (!recorded) return log_.warn("the record of lost probers is set aside: " + recorded.error().message);
  for (const auto& [id, inode] : *recorded) {
    Lost lost;
    lost.what = "process of an earlier service";
    lost.child.id = id;
    lost.inode = inode;
    if (look_up(lost)) lost_.push_back(std::move(lost));
  }
  if (lost_.size() != recorded->size()) write_record();
}

// False: it is not there any more.
bool LostProcesses::look_up(Lost& lost) {
  lost.child.pidfd = open_pidfd(lost.child.id.pid);
  if (!lost.child.pidfd) return errno != ESRCH && errno != EINVAL && errno != ENOENT;  // a thread's number by now
  const std::uint64_t inode = identify(lost.child.pidfd);
  lost.is_proven = inode != 0 && lost.inode != 0;
  if (lost.is_proven && inode != lost.inode) return false;
  return !has_ended(lost);
}

bool LostProcesses::has_ended(Lost& lost) {
  if (lost.is_ours) return reap_child(lost.child);
  pollfd ended{lost.child.pidfd.get(), POLLIN, 0};
  return lost.child.pidfd.valid() && poll(&ended, 1, 0) == 1;
}

void LostProcesses::set_running(const std::vector<const Child*>& running) {
  running_.clear();
  for (const Child* child : running) running_.push_back(LostProber{child->id, identify(child->pidfd)});
  write_record();
}

void LostProcesses::add(Child child) {
  Lost lost;
  lost.what = "prober";
  lost.inode = identify(child.pidfd);
  lost.is_ours = lost.is_proven = true;
  lost.child = std::move(child);
  forward_log(lost.child);
  lost.child.log.reset();
  lost.child.channel.reset();
  lost_.push_back(std::move(lost));
  write_record();
}

void LostProcesses::add_reader(ProcessId id, UniqueFd pidfd) {
  Lost lost;
  lost.what = "reader";
  lost.inode = identify(pidfd);
  lost.is_proven = pidfd.valid();
  lost.child.id = id;
  lost.child.pidfd = std::move(pidfd);
  lost_.push_back(std::move(lost));
  write_record();
}

void LostProcesses::forget(const ProcessId& id) {
  const auto is_it = [&](const Lost& lost) { return lost.child.id == id && !lost.is_proven; };
  if (std::erase_if(lost_, is_it) > 0) write_record();
}

std::size_t LostProcesses::bury() {
  const std::size_t ended = std::erase_if(lost_, has_ended);
  if (ended > 0) write_record();
  return ended;
}

void LostProcesses::look_again() {
  const auto is_gone = [](Lost& lost) { return !lost.child.pidfd && !look_up(lost); };
  if (std::erase_if(lost_, is_gone) > 0) write_record();
}

std::vector<ProcessId> LostProcesses::unproven() const {
  std::vector<ProcessId> ids;
  for (const Lost& lost : lost_) {
    if (!lost.is_proven) ids.push_back(lost.child.id);
  }
  return ids;
}

std::vector<std::string> LostProcesses::names() const {
  std::vector<std::string> names;
  for (const Lost& lost : lost_) names.push_back(lost.what + (" " + name_of(lost.child.id)));
  return names;
}

void LostProcesses::add_polls(std::vector<pollfd>& polls) const {
  for (const Lost& lost : lost_) {
    if (lost.child.pidfd) polls.push_back({lost.child.pidfd.get(), POLLIN, 0});
  }
}

void LostProcesses::write_record() {
  std::vector<LostProber> all;
  for (const Lost& lost : lost_) all.push_back(LostProber{lost.child.id, lost.inode});
  for (const LostProber& running : running_) {
    if (std::find(all.begin(), all.end(), running) == all.end()) all.push_back(running);
  }
  if (const auto written = write_lost_probers(record_path_, all); !written) {
    log_.error("the record of lost probers: " + written.error().message);
  }
}

}  // namespace defused
