// SPDX-License-Identifier: Apache-2.0
#include "base/descriptors.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <climits>

namespace defused {

namespace {

constexpr unsigned kMark = 1U << 2U;  // CLOSE_RANGE_CLOEXEC, which older headers do not have

// Without close_range(). Numbers are given from below, and few of them: a limit of a billion need not be counted
// through.
int end_of_numbers() {
  constexpr rlim_t kMost = 65'536;
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) < 0) return static_cast<int>(kMost);
  return static_cast<int>(std::min(limit.rlim_cur, kMost));
}

}  // namespace

void close_descriptors(int first, int last) {
  if (first > last) return;
  if (syscall(SYS_close_range, static_cast<unsigned>(first), static_cast<unsigned>(last), 0U) == 0) return;
  // Before Linux 5.9.
  const int end = end_of_numbers();
  for (int fd = first; fd <= last && fd < end; ++fd) close(fd);
}

void close_descriptors_from(int first) { close_descriptors(first, INT_MAX); }

void close_on_exec_from(int first) {
  if (syscall(SYS_close_range, static_cast<unsigned>(first), ~0U, kMark) == 0) return;
  // Before Linux 5.11.
  const int end = end_of_numbers();
  for (int fd = first; fd < end; ++fd) fcntl(fd, F_SETFD, FD_CLOEXEC);
}

}  // namespace defused
