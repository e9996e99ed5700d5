// SPDX-License-Identifier: Apache-2.0
// What libmicrohttpd does not say of a request line. Pure.
#pragma once

#include <cstddef>

namespace defused {

/// Whether a NUL byte hides a part of a request target: the library hands it out as a C string. All pointers are the
/// library's; `target_bytes`: up to the first NUL; `header_bytes`: of the whole header, request line included.
bool hides_bytes(const char* target, std::size_t target_bytes, const char* version, std::size_t header_bytes);

}  // namespace defused
