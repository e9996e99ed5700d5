// SPDX-License-Identifier: Apache-2.0
#include "daemon/front_landlock.h"

#include <linux/landlock.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>

#include "base/unique_fd.h"

namespace defused {

namespace {

// What the first version knows, Linux 5.13; linking and renaming from one directory to another is forbidden by itself.
constexpr std::uint64_t kFirstRights =
    LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_READ_FILE |
    LANDLOCK_ACCESS_FS_READ_DIR | LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE |
    LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |
    LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_BLOCK |
    LANDLOCK_ACCESS_FS_MAKE_SYM;
// Of the textfile: it replaces the one before, which counts as removing it.
constexpr std::uint64_t kTextfileRights =
    LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_REMOVE_FILE;

// EPERM: a container's filter of system calls that does not know it.
bool is_missing(int error) { return error == ENOSYS || error == EOPNOTSUPP || error == EPERM; }

}  // namespace

Result<void> forbid_files(int directory) {
  landlock_ruleset_attr rules{};
  rules.handled_access_fs = kFirstRights;
  const UniqueFd ruleset(
      static_cast<int>(syscall(SYS_landlock_create_ruleset, &rules, sizeof rules.handled_access_fs, 0)));
  if (!ruleset && is_missing(errno)) return {};
  if (!ruleset) return fail_errno(errno, "landlock_create_ruleset");
  if (directory >= 0) {
    landlock_path_beneath_attr below{};
    below.allowed_access = kTextfileRights;
    below.parent_fd = directory;
    if (syscall(SYS_landlock_add_rule, ruleset.get(), LANDLOCK_RULE_PATH_BENEATH, &below, 0) < 0)
      return fail_errno(errno, "landlock_add_rule");
  }
  if (syscall(SYS_landlock_restrict_self, ruleset.get(), 0) < 0) return fail_errno(errno, "landlock_restrict_self");
  return {};
}

}  // namespace defused
