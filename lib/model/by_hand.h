// SPDX-License-Identifier: Apache-2.0
// What a report says of `defused abort ID`: whether the gates would let it through. The status page and `explain` both
// go by this. Pure.
#pragma once

#include <vector>

#include "model/report.h"

namespace defused {

enum class HandAnswer {
  passes,   ///< no gate holds it, but those of the age, which an --override leaves out
  refuses,  ///< another gate holds it
  unasked,  ///< a namespace waits for it whose gates were asked for another connection
};

struct HandJudgement {
  HandAnswer answer = HandAnswer::refuses;
  std::vector<Gate> gates;      ///< those that hold it, as far as they were asked; `mode` is not among them
  bool acts_by_itself = false;  ///< the daemon aborts it in this pass
  /// Where it is unasked: the one that the gates were asked for.
  std::optional<ConnectionId> asked_instead;
};

/// A Report has one Decision for each namespace, about one of the connections that hold it: of the others it says
/// nothing.
HandJudgement judge_by_hand(const Report& report, ConnectionId id);

}  // namespace defused
