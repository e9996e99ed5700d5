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
  std::string asked;    ///< as the configuration says it
  std::string bound;    ///< what that means: "127.0.0.1:0" of "localhost:0"
  std::string address;  ///< "127.0.0.1:10073", with the real port where 0 was asked for
};

/// "http://127.0.0.1:10073/", or https where it is served over TLS.
std::string url_of(const Listener& listener, bool tls);

/// One for each "HOST:PORT", "[IPv6]:PORT" or ":PORT", which is all addresses, IPv6's too where the kernel has them;
/// HOST is numeric or "localhost". All or none.
/// Errors: one sentence that names the address.
Result<std::vector<Listener>> open_listeners(const std::vector<std::string>& addresses);

/// Makes `listeners` those of `addresses`, in that order: what stays is not touched, new ones are bound before old ones
/// are closed. Where an old one that goes is in the way of a new one, it is stopped first, for whoever holds it. Errors
/// as above; `listeners` then listen as before.
Result<void> change_listeners(std::vector<Listener>& listeners, const std::vector<std::string>& addresses);

}  // namespace defused
