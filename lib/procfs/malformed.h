// SPDX-License-Identifier: Apache-2.0
// What the parsers of /proc say of a text that is not what the kernel prints. Inner part of procfs.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "base/text.h"

namespace defused {

/// "fdinfo: mnt_id: 'x'", at most 64 bytes of what was found.
inline Failure malformed(std::string_view what, std::string_view found) {
  return fail(ErrorKind::malformed, std::string(what) + ": '" + sanitize(found, 64) + "'");
}

}  // namespace defused
