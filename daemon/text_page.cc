// SPDX-License-Identifier: Apache-2.0
#include "daemon/text_page.h"

#include "base/text.h"

namespace defused {

namespace {

constexpr std::size_t kWidthOfDocuments = 100;

}  // namespace

std::string wrap_text(std::string_view text, std::size_t width, std::size_t first_indent, std::size_t indent) {
  std::string out;
  std::string line(first_indent, ' ');
  std::size_t columns = first_indent;
  bool empty = true;
  while (!text.empty()) {
    const std::string_view word = take_field(text, ' ');
    const std::size_t wide = count_columns(word);
    if (!empty && columns + 1 + wide > width) {
      out += line + "\n";
      line.assign(indent, ' ');
      columns = indent;
      empty = true;
    }
    if (!empty) line += ' ';
    columns += wide + (empty ? 0 : 1);
    line += word;
    empty = false;
  }
  return out + line + "\n";
}

TextPage::TextPage(const Screen& screen) : screen_(screen), width_(text_width(screen, kWidthOfDocuments)) {}

void TextPage::title(std::string_view text) {
  if (!text_.empty()) text_ += "\n";
  std::string lines = wrap_text(text, width_, 0, 0);
  lines.pop_back();
  text_ += paint(lines, Tone::heading, screen_) + "\n";
}

void TextPage::heading(std::string_view text) { text_ += "\n  " + paint(text, Tone::heading, screen_) + "\n"; }

void TextPage::fact(std::string_view source, std::string_view content) {
  text_ += "        " + paint(std::string(source) + ":", Tone::dim, screen_) + " " + std::string(content) + "\n";
}

void TextPage::command(std::string_view text) { text_ += "        # " + paint(text, Tone::good, screen_) + "\n"; }

}  // namespace defused
