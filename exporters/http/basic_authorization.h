// SPDX-License-Identifier: Apache-2.0
// Parses what a client says about itself (RFC 7617). Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace defused {

struct NameAndPassword {
  std::string name;
  std::string password;
};

/// `header`: "Basic aG9zdDpzZWNyZXQ=". Strict: the alphabet and padding of RFC 4648 section 4, no bits left over, a
/// colon, no NUL, at most kMostAuthorization bytes. Else nothing.
std::optional<NameAndPassword> parse_basic_authorization(std::string_view header);
inline constexpr std::size_t kMostAuthorization = 1024;

/// RFC 4648 section 4, strict as above.
std::optional<std::string> parse_base64(std::string_view text);

}  // namespace defused
