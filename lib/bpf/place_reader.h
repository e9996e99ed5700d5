// SPDX-License-Identifier: Apache-2.0
// PlaceReader: which mount namespace each thread is in, from the kernel itself (BPF iterator over tasks, Linux 5.8 with
// BTF). /proc tells it by links that may block, or by the mounts of every single thread. Optional. One thread.
#pragma once

#include <memory>
#include <vector>

#include "base/result.h"
#include "model/snapshot.h"

namespace defused {

class PlaceReader {
 public:
  /// Loads the program. unsupported: built without BPF, or no BTF; denied; io. One sentence why.
  static Result<std::unique_ptr<PlaceReader>> load();
  PlaceReader() = default;
  PlaceReader(const PlaceReader&) = delete;
  PlaceReader& operator=(const PlaceReader&) = delete;
  virtual ~PlaceReader() = default;

  /// The leader of every process that is in a mount namespace, and those threads that are in another one than theirs.
  /// malformed: it does not see this very process where it is, so it is not to be believed.
  virtual Result<std::vector<ThreadPlace>> read() = 0;
};

}  // namespace defused
