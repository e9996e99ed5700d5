// SPDX-License-Identifier: Apache-2.0
#include "detect/standing.h"

#include <algorithm>

#include "detect/world.h"

namespace defused {

std::set<ThreadId> standing_threads(const Snapshot& snapshot, const History& before) {
  std::set<ThreadId> standing;
  for (const ProcessSample& suspect : snapshot.suspects) {
    for (const ThreadSample& thread : suspect.threads) {
      const auto known = before.threads.find(thread.id);
      const bool stands = known != before.threads.end() && known->second.context_switches == thread.context_switches;
      if (stands && may_be_blocked(thread)) standing.insert(thread.id);
    }
  }
  return standing;
}

bool needs_surroundings(const Snapshot& snapshot, const std::set<ThreadId>& standing) {
  return !standing.empty() && std::any_of(snapshot.connections.begin(), snapshot.connections.end(),
                                          [](const ConnectionSample& sample) { return sample.may_wait(); });
}

}  // namespace defused
