// SPDX-License-Identifier: Apache-2.0
// WebService: what the front serves with, beside its listeners, read and checked by the supervisor before anything is
// served. The front gets it as descriptors and can open nothing itself (docs/decisions/0007).
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"
#include "model/settings.h"

namespace defused {

/// Most that a certificate, key or CA file may hold: a bundle of all public CAs has a quarter of it.
inline constexpr std::size_t kMaxPemBytes = 1U << 20U;

/// Tells one directory from another; {0, 0}: none.
struct DirectoryIdentity {
  dev_t device = 0;
  ino_t inode = 0;
  bool operator==(const DirectoryIdentity&) const = default;
};

struct WebService {
  bool tls = false;
  std::string warning;          ///< what clients will not like about the certificate, one sentence; "": nothing
  UniqueFd web;                 ///< sealed memfd with encode_web_config(): also a private key and password hashes
  UniqueFd textfile;            ///< directory of the textfile, O_PATH; none: nothing is written
  DirectoryIdentity directory;  ///< that `textfile` is
};

/// Reads web.config_file, the files that it names and opens textfile.directory. Errors: one sentence that names the
/// file; nothing of what was read is in it.
Result<WebService> load_web_service(const Settings& settings);

}  // namespace defused
