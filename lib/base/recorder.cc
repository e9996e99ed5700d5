// SPDX-License-Identifier: Apache-2.0
#include "base/recorder.h"

namespace defused {

void ReadRecorder::note(std::string_view path, Kind kind, std::string_view text, bool whole) {
  std::string name(path);
  forgive(name);
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
    keep_error(std::move(name), {ErrorKind::unsupported, 0});
    return;
  }
  bytes_ += needed;
  entries_.emplace(std::move(name), Entry{kind, std::string(text), whole});
}

void ReadRecorder::note_error(std::string_view path, Failed why) {
  if (why.kind == ErrorKind::gone) return;
  if (!keep_error(std::string(path), why)) ++left_out_;
}

bool ReadRecorder::keep_error(std::string path, Failed why) {
  const auto known = errors_.find(path);
  if (known != errors_.end()) {
    known->second = why;
    return true;
  }
  if (path.size() > max_bytes_ / 2 - error_bytes_) return false;
  error_bytes_ += path.size();
  errors_.emplace(std::move(path), why);
  return true;
}

void ReadRecorder::forgive(const std::string& path) {
  if (errors_.erase(path) > 0) error_bytes_ -= path.size();
}

}  // namespace defused
