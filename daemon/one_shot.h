// SPDX-License-Identifier: Apache-2.0
// One diagnosis by a prober of its own, for commands: they print what they have and exit even if the prober never
// returns.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/clock.h"
#include "base/result.h"
#include "model/history.h"
#include "model/settings.h"

namespace defused {

struct OneShot {
  std::optional<PassResult> pass;  ///< the last one that came; nothing where none did
  std::uint32_t samples = 0;       ///< how many came
  std::string trouble;             ///< a sentence, where not all of them came
};

/// What a command wants beside the report.
struct Wish {
  std::optional<Subject> subject;  ///< PassResult::subject
  bool whole_index = false;        ///< holders, users and viewers of every connection
};

/// Starts a prober with `settings` (which must not allow acting), takes `samples` passes `every` apart, and ends it.
/// Takes at most `samples` times (`every` + pass_deadline), and 11 s more, whatever becomes of the prober. Errors: io
/// (the prober cannot be started).
Result<OneShot> probe_once(const Settings& settings, std::uint32_t samples, Nanoseconds every, const Wish& wish = {});

}  // namespace defused
