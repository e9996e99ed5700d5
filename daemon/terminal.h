// SPDX-License-Identifier: Apache-2.0
// What the descriptor that is written to can show: how wide it is, and whether colours are wanted there. Where it is no
// terminal - a file, a pipe, a log - text is as if this did not exist.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace defused {

struct Screen {
  std::size_t width = 0;  ///< columns, at least 40; 0: no terminal, nothing bounds a line
  bool colours = false;
};

/// What a screen is judged by. The variables of the environment are what the user set them to; nothing: unset.
struct TerminalFacts {
  bool is_terminal = false;
  std::size_t columns = 0;  ///< as the terminal says; 0: it does not know
  std::optional<std::string> columns_variable;
  std::optional<std::string> no_color;
  std::optional<std::string> term;
};

/// Colours only on a terminal, where NO_COLOR is unset or empty (no-color.org) and TERM is set and not `dumb`. The
/// width is the terminal's; where it does not know its own, that of COLUMNS, else 80.
Screen judge_screen(const TerminalFacts& facts);

/// The same of a descriptor and this process' environment.
Screen look_at_screen(int descriptor);

/// Running text is wrapped at this width: that of the screen, never wider than 120; `otherwise` where there is no
/// screen.
std::size_t text_width(const Screen& screen, std::size_t otherwise);

/// What a colour stands for.
enum class Tone { heading, good, warning, bad, dim };

/// `text` in the colour of `tone` where the screen has colours, else as it is.
std::string paint(std::string_view text, Tone tone, const Screen& screen);

/// How many columns valid UTF-8 without control characters takes.
std::size_t count_columns(std::string_view text);

/// "defused: SENTENCE" on standard error, in one line that has nothing in it that a terminal would obey. `command`:
/// "defused COMMAND: SENTENCE".
void complain(std::string_view sentence, std::string_view command = {});

}  // namespace defused
