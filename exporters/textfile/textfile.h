// SPDX-License-Identifier: Apache-2.0
// TextfileWriter: keeps `defused.prom` in the directory of node_exporter's textfile collector, written to a file of
// another name beside it and renamed, so that a reader sees one whole exposition or the one before. Works below a
// directory descriptor alone; in a thread of its own, since a file system that hangs must hold nothing else: the thread
// has a table of descriptors of its own, with that directory in it, so that no port or client stays open by a thread
// that nothing can end. It is started by the constructor, before the sandbox forbids threads.
#pragma once

#include <fcntl.h>

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "base/result.h"

namespace defused {

class TextfileWriter {
 public:
  static constexpr const char* kName = "defused.prom";
  static constexpr const char* kTemporaryName = ".defused.prom.new";  ///< node_exporter reads *.prom, and no such name
  /// How the temporary file is opened, and nothing else ever: the front's filter compares the whole of it.
  static constexpr int kOpenFlags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;

  /// Called by the writer's thread after each write: nothing, or one sentence of what failed. Never after the
  /// destructor.
  using Done = std::function<void(const Result<void>&)>;
  /// What touches the file system, for tests: writes `text` below the directory, or takes both names away.
  struct Files {
    std::function<Result<void>(int directory, const std::string& text)> write;
    std::function<void(int directory)> remove;
  };

  /// `directory`: the descriptor to write below, borrowed. It may be anything but a standard stream.
  TextfileWriter(int directory, Done done);
  TextfileWriter(int directory, Done done, Files files);
  /// Ends the thread where it is not in the middle of a write that hangs; never waits for that one.
  ~TextfileWriter();
  TextfileWriter(const TextfileWriter&) = delete;
  TextfileWriter& operator=(const TextfileWriter&) = delete;

  /// Whether the thread could be given a table of its own. An error: it shares that of the process.
  [[nodiscard]] const Result<void>& apart() const;
  /// Hands `text` over and returns at once; of several that wait, the latest is written.
  void write(std::string text);
  /// Takes the file away: after an orderly stop nothing claims to be current. Waits for that, at most `patience`. What
  /// waits to be written is not written any more.
  void remove(std::chrono::milliseconds patience);

 private:
  struct Shared;
  std::shared_ptr<Shared> shared_;
};

/// Writes `text` as kName below `directory`, mode 0644, in one step for every reader. Errors: one sentence; the file is
/// then as it was.
Result<void> write_textfile(int directory, const std::string& text);
/// Takes the file and what an interrupted write has left away, as far as that can be done.
void remove_textfile(int directory);

}  // namespace defused
