// SPDX-License-Identifier: Apache-2.0
#include "daemon/configuration.h"

#include <unistd.h>

#include "settings/settings_file.h"

namespace defused {

Result<Settings> load_settings(const std::optional<std::string>& path) {
  if (path) return read_settings(*path);
  if (access(kDefaultConfig, F_OK) == 0) return read_settings(kDefaultConfig);
  return Settings{};
}

}  // namespace defused
