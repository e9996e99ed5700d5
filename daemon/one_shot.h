// SPDX-License-Identifier: Apache-2.0
// A prober of its own for a command: one diagnosis, or a diagnosis and then an action. The command prints what it has
// and exits even if the prober never returns.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/file_tree.h"
#include "base/result.h"
#include "daemon/acting.h"
#include "daemon/recording.h"
#include "model/history.h"
#include "model/settings.h"

namespace defused {

struct OneShot {
  std::optional<PassResult> pass;  ///< the last one that came; nothing where none did
  std::uint32_t samples = 0;       ///< how many came
  /// Wish::recording: of each sample, as Cycle::take_recording() gives it; where not all of them came, fewer.
  std::vector<FileTree> looks;
  std::string trouble;  ///< a sentence, where not all of them came
};

/// What a command wants beside the report.
struct Wish {
  std::optional<Subject> subject;  ///< PassResult::subject
  bool whole_index = false;        ///< holders, users and viewers of every connection
  Recording recording = Recording::none;
  std::optional<HandOrder> by_hand = {};  ///< `defused abort`: this connection is judged, and records are kept
};

/// `settings` as for one look, by a prober or over a capture: in `mode`, which must not be enforce, with what is young
/// too; what is found stands in the text, not in a log.
Settings for_one_look(Settings settings, Mode mode);

/// A prober that runs until this object ends.
class Probe {
 public:
  /// Errors: io (it cannot be started).
  static Result<std::unique_ptr<Probe>> start(const Settings& settings, const Wish& wish);
  Probe() = default;
  Probe(const Probe&) = delete;
  Probe& operator=(const Probe&) = delete;
  virtual ~Probe() = default;  ///< ends it, in at most half a second

  /// `samples` passes, the first at once, the others `every` apart. False: not all of them came, see result().
  virtual bool look(std::uint32_t samples, Nanoseconds every) = 0;
  /// Other settings for the passes to come: with Mode::enforce they may act.
  virtual bool give_settings(const Settings& settings) = 0;
  /// Ends it and says what came.
  virtual OneShot end() = 0;
  /// What came so far.
  [[nodiscard]] virtual const OneShot& so_far() const = 0;
};

/// Starts a prober with `settings` (which must not allow acting), takes `samples` passes `every` apart, and ends it.
/// Takes at most `samples` times (`every` + pass_deadline), and 11 s more, whatever becomes of the prober. Errors: io
/// (the prober cannot be started).
Result<OneShot> probe_once(const Settings& settings, std::uint32_t samples, Nanoseconds every, const Wish& wish = {});

}  // namespace defused
