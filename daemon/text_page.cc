// SPDX-License-Identifier: Apache-2.0
#include "daemon/text_page.h"

#include "base/text.h"

namespace defused {

namespace {

constexpr std::size_t kWidth = 100;

}  // namespace

void TextPage::title(std::string_view text) {
  if (!text_.empty()) text_ += "\n";
  wrap(text, 0, 0);
}

void TextPage::heading(std::string_view text) {
  text_ += "\n  ";
  text_ += text;
  text_ += "\n";
}

void TextPage::fact(std::string_view source, std::string_view content) {
  text_ += "        ";
  text_ += source;
  text_ += ": ";
  text_ += content;
  text_ += "\n";
}

void TextPage::command(std::string_view text) {
  text_ += "        # ";
  text_ += text;
  text_ += "\n";
}

// A word longer than the line stands on one of its own.
void TextPage::wrap(std::string_view text, std::size_t first_indent, std::size_t indent) {
  std::string line(first_indent, ' ');
  bool empty = true;
  while (!text.empty()) {
    const std::string_view word = take_field(text, ' ');
    if (!empty && line.size() + 1 + word.size() > kWidth) {
      text_ += line + "\n";
      line.assign(indent, ' ');
      empty = true;
    }
    if (!empty) line += ' ';
    line += word;
    empty = false;
  }
  text_ += line + "\n";
}

}  // namespace defused
