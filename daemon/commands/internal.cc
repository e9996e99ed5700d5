// SPDX-License-Identifier: Apache-2.0
// The hidden commands that `run` and the one-shot commands start of their own binary.
#include "daemon/commands/commands.h"
#include "daemon/front.h"
#include "daemon/prober.h"
#include "daemon/spawn.h"

namespace defused {

int internal_prober_command(const InternalProberOptions& options) {
  ProberOptions prober;
  prober.lost = parse_lost(options.lost);
  prober.whole_index = options.whole_index;
  prober.keeps_records = options.keep_records;
  prober.record = options.record;
  if (options.abort) {
    prober.by_hand = HandOrder{ConnectionId{*options.abort}, ByHand{options.uid, options.override_reason}};
  }
  if (!options.subject.empty()) {
    auto subject = parse_subject(options.subject);
    if (subject) prober.subject = *std::move(subject);
  }
  return run_prober(adopt_channel("defused-prober"), prober);
}

int internal_front_command(const InternalFrontOptions& /*options*/) {
  return run_front(adopt_channel("defused-front"));
}

}  // namespace defused
