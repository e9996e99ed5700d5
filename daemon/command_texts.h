// SPDX-License-Identifier: Apache-2.0
// What --help says of a command beside its options: CLI11 has no place for it. Constant.
#pragma once

#include <span>
#include <string_view>

namespace defused {

struct CommandText {
  std::string_view name;      ///< as typed, "config check" for a command of a command
  std::string_view group;     ///< its heading in `defused --help`; "": it stands below another command, or is hidden
  std::string_view summary;   ///< in a list of commands: few words
  std::string_view about;     ///< what it does, in a sentence or two
  std::string_view example;   ///< as typed, without prompt
  std::string_view shows;     ///< what one sees then
  std::string_view see_also;  ///< other commands, then documents, with commas between
};

inline constexpr std::string_view kProgramAbout =
    "Finds containers that cannot die because a thread of theirs waits inside FUSE, says why, and frees them.";

/// In the order in which they are shown.
std::span<const CommandText> command_texts();

/// Nullptr: there is none, as for hidden commands.
const CommandText* find_command_text(std::string_view name);

struct Example {
  std::string_view command;
  std::string_view shows;
};

/// What one needs first, for `defused --help`.
std::span<const Example> first_examples();

}  // namespace defused
