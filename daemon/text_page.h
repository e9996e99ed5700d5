// SPDX-License-Identifier: Apache-2.0
// TextPage: lines for a terminal. Sentences are wrapped; what a person copies or compares - a file's content, a command
// - stands on one line as it is. Pure.
#pragma once

#include <string>
#include <string_view>

namespace defused {

class TextPage {
 public:
  /// A title with an empty line before it, but for the first one.
  void title(std::string_view text);
  /// A heading within a title's text.
  void heading(std::string_view text);
  /// A sentence, wrapped and indented.
  void say(std::string_view text) { wrap(text, 4, 4); }
  /// One of a list: "- ...".
  void item(std::string_view text) { wrap("- " + std::string(text), 4, 6); }
  /// A source of evidence and what it says, on one line.
  void fact(std::string_view source, std::string_view content);
  /// A command to type, on one line.
  void command(std::string_view text);

  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  void wrap(std::string_view text, std::size_t first_indent, std::size_t indent);
  std::string text_;
};

}  // namespace defused
