// SPDX-License-Identifier: Apache-2.0
#include "daemon/actor_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

namespace defused {

// Anew where the name stands for another file by now, or for none.
Result<void> ActorLock::open() {
  struct stat ours {};
  struct stat there {};
  const bool same = file_ && fstat(file_.get(), &ours) == 0 && lstat(path_.c_str(), &there) == 0 &&
                    ours.st_ino == there.st_ino && ours.st_dev == there.st_dev;
  if (same) return {};
  constexpr int kFlags = O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;
  file_.reset(::open(path_.c_str(), kFlags));
  if (!file_ && errno == ENOENT) file_.reset(::open(path_.c_str(), kFlags | O_CREAT, 0600));
  if (!file_) return fail_errno(errno, "opening " + path_);
  return {};
}

Result<void> ActorLock::take() {
  if (held_) return {};
  if (auto opened = open(); !opened) return opened;
  if (flock(file_.get(), LOCK_EX | LOCK_NB) < 0) return fail_errno(errno, "locking " + path_);
  held_ = true;
  return {};
}

void ActorLock::release() {
  if (held_) flock(file_.get(), LOCK_UN);
  held_ = false;
}

Result<void> take_patiently(ActorLock& lock, Nanoseconds patience, Clock& clock) {
  constexpr Nanoseconds kStep = std::chrono::milliseconds(20);
  const Nanoseconds end = clock.now().boottime + patience;
  while (true) {
    auto taken = lock.take();
    if (taken || taken.error().code != EWOULDBLOCK || clock.now().boottime >= end) return taken;
    clock.sleep(kStep);
  }
}

}  // namespace defused
