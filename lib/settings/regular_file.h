// SPDX-License-Identifier: Apache-2.0
// Small files that the operator names: configurations, certificates, keys. Any thread.
#pragma once

#include <cstddef>
#include <string>

#include "base/result.h"

namespace defused {

/// The whole content of the regular file at `path`, which may be a symbolic link to one. Does not wait for the other
/// end of a FIFO in its place. Every error begins with the path. Kinds: gone, denied, io; malformed: larger than
/// `max_bytes`.
Result<std::string> read_regular_file(const std::string& path, std::size_t max_bytes);

}  // namespace defused
