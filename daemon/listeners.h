// SPDX-License-Identifier: Apache-2.0
// Listening sockets, opened by the supervisor and handed to the front.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace defused {

struct Listener {
  UniqueFd socket;
  std::string url;  ///< "http://127.0.0.1:10073/", with the real port where 0 was asked for
};

/// One for each "HOST:PORT", "[IPv6]:PORT" or ":PORT"; HOST is numeric or "localhost". All or none.
/// Errors: one sentence that names the address.
Result<std::vector<Listener>> open_listeners(const std::vector<std::string>& addresses);

}  // namespace defused
