// SPDX-License-Identifier: Apache-2.0
#include "base/recorder.h"

namespace defused {

void ReadRecorder::note(std::string_view path, Kind kind, std::string_view text, bool whole) {
  std::string name(path);
  errors_.erase(name);
  const auto known = entries_.find(name);
  if (known != entries_.end() && !whole) {
    const Entry& before = known->second;
    if (before.whole || before.text.size() >= text.size()) return;
  }
  const std::size_t freed = known == entries_.end() ? 0 : name.size() + known->second.text.size();
  // What was read before would be told as what is now, so it goes in any case.
  if (known != entries_.end()) entries_.erase(known);
  bytes_ -= freed;
  const std::size_t needed = name.size() + text.size();
  if (needed > max_bytes_ - bytes_) {
    ++left_out_;
    return;
  }
  bytes_ += needed;
  entries_.emplace(std::move(name), Entry{kind, std::string(text), whole});
}

void ReadRecorder::note_error(std::string_view path, Failed why) {
  if (why.kind == ErrorKind::gone) return;
  const std::string name(path);
  if (name.size() > max_bytes_ - bytes_) {
    ++left_out_;
    return;
  }
  if (errors_.insert_or_assign(name, why).second) bytes_ += name.size();
}

}  // namespace defused
