// SPDX-License-Identifier: Apache-2.0
// CPU, memory and descriptors of this process itself, for defused_process_*. Opens what it needs when it is made, so
// that it goes on working in a sandbox that opens nothing.
#pragma once

#include "base/unique_fd.h"
#include "exporters/exporter.h"

namespace defused {

class UsageReader {
 public:
  UsageReader();
  [[nodiscard]] ProcessUsage read() const;

 private:
  UniqueFd statm_;
  UniqueFd descriptors_;
  double start_time_seconds_ = 0;
};

}  // namespace defused
