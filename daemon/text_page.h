// SPDX-License-Identifier: Apache-2.0
// TextPage: lines for a terminal. Sentences are wrapped; what a person copies or compares - a file's content, a command
// - stands on one line as it is. Pure.
#pragma once

#include <string>
#include <string_view>

#include "daemon/terminal.h"

namespace defused {

/// `text`, wrapped at spaces to lines of `width` columns: the first one is indented by `first_indent`, the others by
/// `indent`. A word longer than a line stands on one of its own. Ends with a newline.
std::string wrap_text(std::string_view text, std::size_t width, std::size_t first_indent, std::size_t indent);

class TextPage {
 public:
  /// As wide as the screen, at most 120 columns; 100 where there is none.
  explicit TextPage(const Screen& screen = {});

  /// A title with an empty line before it, but for the first one.
  void title(std::string_view text);
  /// A heading within a title's text.
  void heading(std::string_view text);
  /// A sentence, wrapped and indented.
  void say(std::string_view text) { text_ += wrap_text(text, width_, 4, 4); }
  /// One of a list: "- ...".
  void item(std::string_view text) { text_ += wrap_text("- " + std::string(text), width_, 4, 6); }
  /// A source of evidence and what it says, on one line.
  void fact(std::string_view source, std::string_view content);
  /// A command to type, on one line.
  void command(std::string_view text);

  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  Screen screen_;
  std::size_t width_;
  std::string text_;
};

}  // namespace defused
