// SPDX-License-Identifier: Apache-2.0
// Preloaded into `defused run` in a container that is booted for a test (test_booted.py): there it is told that its PID
// namespace is the first one of the kernel, outside of which there is nobody. For what that test makes it is true: all
// processes that have its connections are inside. Nothing else is changed.
#include <fcntl.h>
#include <sys/stat.h>

#include <cstring>

namespace {

constexpr ino_t kFirstPidNamespace = 0xEFFFFFFC;  // PROC_PID_INIT_INO, include/linux/proc_ns.h

}  // namespace

// NOLINTNEXTLINE(readability-inconsistent-declaration-parameter-name,readability-identifier-naming): of the C library
extern "C" int stat(const char* path, struct stat* status) {
  const int result = fstatat(AT_FDCWD, path, status, 0);
  if (result == 0 && std::strcmp(path, "/proc/self/ns/pid") == 0) status->st_ino = kFirstPidNamespace;
  return result;
}
