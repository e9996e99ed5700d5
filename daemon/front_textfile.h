// SPDX-License-Identifier: Apache-2.0
// FrontTextfile: when the front writes the textfile, and what it says of that. All calls from the front's loop; the
// thread that writes is the TextfileWriter's.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "base/clock.h"
#include "daemon/front_sandbox.h"
#include "daemon/log.h"
#include "exporters/textfile/textfile.h"

namespace defused {

class FrontTextfile {
 public:
  static constexpr Nanoseconds kShortest = std::chrono::seconds(1);  ///< from one write to the next

  /// Starts the writer's thread. `directory` is a descriptor, borrowed; `path` how it is named in the log.
  FrontTextfile(int directory, std::string path, FrontAccount account, Logger& log);

  /// What it tells is another thing now.
  void mark_changed() { changed_ = true; }
  [[nodiscard]] bool due(Nanoseconds now) const { return changed_ && now >= next_write_; }
  /// When due() may be true next; Nanoseconds::max() while there is nothing to write.
  [[nodiscard]] Nanoseconds next_turn() const { return changed_ ? next_write_ : Nanoseconds::max(); }
  void write(std::string text, Nanoseconds now);
  /// Logs how writing went, once for each change.
  void tell();
  /// After an orderly stop nothing claims to be current.
  void remove();

 private:
  // Where the writer's thread leaves how it went.
  struct Box {
    std::mutex mutex;
    std::optional<Result<void>> last;
  };

  /// What to do about it, where that is known.
  [[nodiscard]] std::string advice(const Error& error) const;

  std::string path_;
  FrontAccount account_;
  Logger& log_;
  std::shared_ptr<Box> box_ = std::make_shared<Box>();
  TextfileWriter writer_;
  bool changed_ = true;
  Nanoseconds next_write_{0};
  std::optional<std::string> told_;  ///< what was said last: "": it is written
};

}  // namespace defused
