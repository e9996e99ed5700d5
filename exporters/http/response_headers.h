// SPDX-License-Identifier: Apache-2.0
// The headers that every response carries: the defaults for security, and what the web configuration says instead or
// beside. Pure.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "base/result.h"

namespace defused {

using HeaderList = std::vector<std::pair<std::string, std::string>>;

/// The defaults, each replaced where `configured` has the same name (in any case); the rest of `configured` behind
/// them, of one name the last. An empty value removes a default. Errors: malformed: a name or value that cannot stand
/// in a header, or a header that the server itself must set.
Result<HeaderList> make_response_headers(const HeaderList& configured);

}  // namespace defused
