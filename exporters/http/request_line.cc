// SPDX-License-Identifier: Apache-2.0
#include "exporters/http/request_line.h"

#include <cstdint>

namespace defused {

// Up to 0.9.x the library cuts its buffer into strings in place: one byte behind the target, where the space was,
// stands the version, and any other distance is that of a hidden byte. From 1.0 on it refuses a NUL by itself, and
// nothing says that the version it hands out is still a part of the header; then there is nothing to judge. As numbers,
// because pointers into two objects cannot be compared.
bool hides_bytes(const char* target, std::size_t target_bytes, const char* version, std::size_t header_bytes) {
  const auto distance = reinterpret_cast<std::uintptr_t>(version) - reinterpret_cast<std::uintptr_t>(target);
  const bool of_one_header = distance < header_bytes;  // one before the target wraps round to a large number
  return of_one_header && distance != target_bytes + 1;
}

}  // namespace defused
