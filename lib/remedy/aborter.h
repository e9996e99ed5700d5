// SPDX-License-Identifier: Apache-2.0
// Aborter: the one door to the kernel's abort files. lib/fusectl has the real one; tests have recording, refusing and
// hanging ones. Opening comes before the last reading of the evidence and writing after it, since minors are reused at
// once and a write through a descriptor of a vanished connection does nothing (KERNEL.md 5).
#pragma once

#include <cstdint>
#include <memory>

#include "base/result.h"
#include "model/ids.h"

namespace defused {

/// An open abort file. Closing it without a write does nothing.
class ArmedAbort {
 public:
  ArmedAbort() = default;
  ArmedAbort(const ArmedAbort&) = delete;
  ArmedAbort& operator=(const ArmedAbort&) = delete;
  virtual ~ArmedAbort() = default;
  /// Aborts the connection: every request in it fails, for every client, for good. Errors: denied, gone, io.
  virtual Result<void> write() = 0;
};

class Aborter {
 public:
  Aborter() = default;
  Aborter(const Aborter&) = delete;
  Aborter& operator=(const Aborter&) = delete;
  virtual ~Aborter() = default;
  /// Opens the abort file of `connection`, if its directory still has the inode `directory_inode`.
  /// Errors: gone (no such connection, or another one with the same number), denied, io.
  virtual Result<std::unique_ptr<ArmedAbort>> open(ConnectionId connection, std::uint64_t directory_inode) = 0;
};

}  // namespace defused
