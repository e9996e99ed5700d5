// SPDX-License-Identifier: Apache-2.0
// Reading a descriptor to its end and writing all of a text, however often the kernel interrupts it or takes a part.
// Any thread.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "base/result.h"

namespace defused {

/// A file read to its end, or up to a cap.
struct FileText {
  std::string text;
  bool truncated = false;  ///< the cap bit: a gap for the caller
};

/// From where `fd` stands, at most `max_bytes`. Errors: those of read(), "reading: Input/output error".
Result<FileText> read_up_to(int fd, std::size_t max_bytes);

/// Errors: those of write(), "writing: No space left on device".
Result<void> write_all(int fd, std::string_view text);

}  // namespace defused
