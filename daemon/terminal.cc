// SPDX-License-Identifier: Apache-2.0
#include "daemon/terminal.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <iostream>

#include "base/text.h"

namespace defused {

namespace {

constexpr std::size_t kNarrowest = 40;
constexpr std::size_t kWidestText = 120;  // longer lines are not read well
constexpr std::size_t kUsualWidth = 80;

std::optional<std::string> variable(const char* name) {
  const char* value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe): nobody sets one
  return value == nullptr ? std::nullopt : std::optional<std::string>(value);
}

// SGR parameters of the sixteen colours that every terminal has.
std::string_view code_of(Tone tone) {
  switch (tone) {
    case Tone::heading: return "1";
    case Tone::good: return "32";
    case Tone::warning: return "33";
    case Tone::bad: return "1;31";
    case Tone::dim: return "2";
  }
  return "0";
}

struct Range {
  char32_t first;
  char32_t last;
};

// Unicode 15: East Asian wide and full-width ones, and pictures.
constexpr std::array<Range, 9> kTwoColumns = {{{0x1100, 0x115F},
                                               {0x2E80, 0xA4CF},
                                               {0xAC00, 0xD7A3},
                                               {0xF900, 0xFAFF},
                                               {0xFE30, 0xFE6F},
                                               {0xFF00, 0xFF60},
                                               {0xFFE0, 0xFFE6},
                                               {0x1F300, 0x1FAFF},
                                               {0x20000, 0x3FFFD}}};
constexpr std::array<Range, 3> kNoColumn = {{{0x0300, 0x036F}, {0x200B, 0x200F}, {0xFE00, 0xFE0F}}};

std::size_t columns_of(char32_t character) {
  const auto has = [&](const Range& range) { return character >= range.first && character <= range.last; };
  if (std::any_of(kNoColumn.begin(), kNoColumn.end(), has)) return 0;
  return std::any_of(kTwoColumns.begin(), kTwoColumns.end(), has) ? 2 : 1;
}

}  // namespace

Screen judge_screen(const TerminalFacts& facts) {
  Screen screen;
  if (!facts.is_terminal) return screen;
  screen.width = facts.columns;
  if (screen.width == 0 && facts.columns_variable) screen.width = parse_u64(*facts.columns_variable).value_or(0);
  if (screen.width == 0) screen.width = kUsualWidth;
  screen.width = std::max(screen.width, kNarrowest);
  const bool refused = facts.no_color && !facts.no_color->empty();
  screen.colours = !refused && facts.term && !facts.term->empty() && *facts.term != "dumb";
  return screen;
}

Screen look_at_screen(int descriptor) {
  TerminalFacts facts;
  facts.is_terminal = isatty(descriptor) == 1;
  if (!facts.is_terminal) return {};
  winsize size{};
  if (ioctl(descriptor, TIOCGWINSZ, &size) == 0) facts.columns = size.ws_col;
  facts.columns_variable = variable("COLUMNS");
  facts.no_color = variable("NO_COLOR");
  facts.term = variable("TERM");
  return judge_screen(facts);
}

std::size_t text_width(const Screen& screen, std::size_t otherwise) {
  return screen.width == 0 ? otherwise : std::min(screen.width, kWidestText);
}

std::string paint(std::string_view text, Tone tone, const Screen& screen) {
  if (!screen.colours) return std::string(text);
  const std::string begin = "\033[" + std::string(code_of(tone)) + "m";
  std::string out = begin;
  // Line by line, so that a pager, and grep, see each as it is.
  for (const char c : text) {
    if (c == '\n') out += "\033[0m";
    out += c;
    if (c == '\n') out += begin;
  }
  return out + "\033[0m";
}

std::size_t count_columns(std::string_view text) {
  std::size_t columns = 0;
  for (std::size_t i = 0; i < text.size();) {
    const auto byte = static_cast<unsigned char>(text[i]);
    const std::size_t length = byte < 0x80U ? 1 : byte < 0xE0U ? 2 : byte < 0xF0U ? 3 : 4;
    char32_t character = length == 1 ? byte : byte & (0x7FU >> length);
    for (std::size_t k = 1; k < length && i + k < text.size(); ++k) {
      character = (character << 6U) | (static_cast<unsigned char>(text[i + k]) & 0x3FU);
    }
    columns += columns_of(character);
    i += length;
  }
  return columns;
}

void complain(std::string_view sentence, std::string_view command) {
  constexpr std::size_t kMaxSentence = 4096;
  std::string who = "defused";
  if (!command.empty()) who += " " + sanitize(command);
  std::cerr << paint(who + ":", Tone::bad, look_at_screen(STDERR_FILENO)) + " " + sanitize(sentence, kMaxSentence) +
                   "\n";
}

}  // namespace defused
