// SPDX-License-Identifier: Apache-2.0
#include "daemon/commands/operator.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <limits>

#include "daemon/commands/commands.h"
#include "daemon/exit_codes.h"

namespace defused {

uid_t operator_uid() {
  std::ifstream file("/proc/self/loginuid");
  std::uint64_t uid = 0;
  const bool known = file >> uid && uid < std::numeric_limits<std::uint32_t>::max();
  return known ? static_cast<uid_t>(uid) : getuid();
}

Result<void> make_directory(const std::string& path, mode_t mode) {
  for (std::size_t at = path.find('/', 1); at != std::string::npos; at = path.find('/', at + 1)) {
    mkdir(path.substr(0, at).c_str(), 0755);
  }
  if (mkdir(path.c_str(), mode) < 0 && errno != EEXIST) return fail_errno(errno, "making the directory " + path);
  struct stat status {};
  if (stat(path.c_str(), &status) < 0) return fail_errno(errno, "looking at " + path);
  if (!S_ISDIR(status.st_mode)) return fail(ErrorKind::io, path + " is not a directory");
  return {};
}

Result<void> make_state_directory(const Settings& settings) { return make_directory(settings.state_directory, 0700); }

int refuse_lock(const Error& error) {
  if (error.code != EWOULDBLOCK) return refuse(kExitFailure, error.message);
  return refuse(kExitAlreadyRunning, "somebody else acts at this moment: the daemon, or another `defused abort`");
}

}  // namespace defused
