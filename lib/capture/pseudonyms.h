// SPDX-License-Identifier: Apache-2.0
// Pseudonyms: other names for names, the same one each time, never one for two. Names of processes become `name-3`,
// components of paths `p-12`, container ids and pod UIDs others of the same length. What lib/detect knows a container
// by stays: which words and endings these are, stands in pseudonyms.cc. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

namespace defused {

class Pseudonyms {
 public:
  /// Of a process or thread, as the kernel has it: no escapes. "" stays.
  std::string name(std::string_view comm);
  /// Of a path without escapes, absolute or not: each component by itself, so that what lies below what still does.
  /// " (deleted)" at its end stays, "net:[4026531833]" and "socket:[12]" as a whole.
  std::string path(std::string_view path);
  std::string component(std::string_view component);
  /// Of the source of a mount: a scheme that is known stays, the rest goes as in a path, with user, password and query.
  std::string source(std::string_view source, std::string_view type);
  /// A file-system type stays; the part behind the point of `fuse.NAME` does, too, where it looks like a type.
  std::string fstype(std::string_view type);

 private:
  std::string part(std::string_view text);
  std::string core(std::string_view text);
  std::string plain(std::string_view text);
  std::string id(std::string_view digits);

  std::map<std::string, std::uint64_t, std::less<>> names_;
  std::map<std::string, std::uint64_t, std::less<>> components_;
  std::map<std::string, std::uint64_t, std::less<>> ids_;
};

/// "net:[4026531833]", "socket:[12]": words of the kernel and numbers.
bool is_kernel_object(std::string_view text);

}  // namespace defused
