// SPDX-License-Identifier: Apache-2.0
// What the single values of a web configuration must look like. Private to lib/settings, and to its tests.
#pragma once

#include <cstddef>
#include <string_view>

namespace defused {

/// The least that bcrypt knows. The most: a hash of cost 14 takes about a second of the one thread that checks
/// passwords, each step more doubles it, and everybody waits in that line.
inline constexpr unsigned kMinBcryptCost = 4;
inline constexpr unsigned kMaxBcryptCost = 14;
inline constexpr std::size_t kMaxAllowedSans = 100;

/// `$2a$10$` (or 2b, 2y) and 53 characters of salt and hash; bits that stand for nothing are 0, or libcrypt would never
/// find it equal.
bool is_bcrypt_hash(std::string_view text);

/// Of a user: no colon, since it ends the name in an Authorization header.
bool is_user_name(std::string_view text);

bool is_file_path(std::string_view text);

/// As in a certificate: DNS name, IP address, email, URI.
bool is_subject_name(std::string_view text);

/// Whether the header `name`, one that can be set, may have this value.
bool is_header_value(std::string_view name, std::string_view value);

}  // namespace defused
