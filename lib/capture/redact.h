// SPDX-License-Identifier: Apache-2.0
// Redactor: a look without names and paths. Works by what each file is known to hold, field by field; a file that it
// does not know is dropped, so that what is new is never let through. The same name becomes the same other name in all
// trees of one Redactor, two names never the same one. Kept: numbers, states, kernel symbols, file-system types, mount
// options of the kernel, the release of the kernel, the shape of cgroup paths (so that runtime, container id and pod
// UID are still found, as others), "/dev/fuse", sockets, pipes and anonymous inodes. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "base/file_tree.h"

namespace defused {

class Redactor {
 public:
  /// A look: proc/, sys/, bpf/, errors, look.json. Anything else is dropped.
  FileTree redact(const FileTree& look);

  /// For names elsewhere: what `name` - of a process, a host - is called in what was redacted.
  std::string name(std::string_view name);
  std::string path(std::string_view path);

  /// How many files were dropped because nobody knows what they hold.
  [[nodiscard]] std::uint64_t dropped() const { return dropped_; }

 private:
  std::map<std::string, std::string, std::less<>> names_;
  std::map<std::string, std::string, std::less<>> components_;
  std::map<std::string, std::string, std::less<>> ids_;
  std::uint64_t dropped_ = 0;
};

}  // namespace defused
