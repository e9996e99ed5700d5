// SPDX-License-Identifier: Apache-2.0
// Html: markup that cannot be wrong. Elements close themselves in the reverse order of their opening, and every string
// goes in as text, escaped: there is no way to put raw markup in. Pure.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>

namespace defused {

/// `text` for HTML, in elements and in quoted attributes. What is not valid UTF-8, and the characters that turn the
/// direction of writing or have no shape at all, become `\xNN`, `\uNNNN` and `\UNNNNNNNN`: a name cannot rearrange the
/// page, nor look like another one by what is not seen.
std::string escape_html(std::string_view text);

struct Attribute {
  std::string_view name;
  std::string_view value;
};
using Attributes = std::initializer_list<Attribute>;

class Html {
 public:
  /// An element that is open as long as this lives.
  class Element {
   public:
    Element(Html& html, std::string_view tag) : html_(html), tag_(tag) {}
    Element(const Element&) = delete;
    Element& operator=(const Element&) = delete;
    ~Element();

   private:
    Html& html_;
    std::string_view tag_;
  };

  /// Starts with the document type.
  Html();

  /// `tag` has to outlive the element: a literal.
  [[nodiscard]] Element open(std::string_view tag, Attributes attributes = {});
  /// An element with nothing but text.
  void leaf(std::string_view tag, std::string_view text, Attributes attributes = {});
  /// An element that has no end: meta, link, br.
  void single(std::string_view tag, Attributes attributes = {});
  void text(std::string_view text) { out_ += escape_html(text); }
  /// A sentence of our own, in which what stands between backticks becomes <code>.
  void prose(std::string_view text);
  /// A name that came from outside: in an element of its own, so that its direction of writing stays in it.
  void name(std::string_view text);
  /// Our own style sheet, which is not escaped: it has no '<'.
  void style(std::string_view sheet);

  [[nodiscard]] const std::string& written() const { return out_; }

 private:
  void start(std::string_view tag, Attributes attributes);
  std::string out_;
};

}  // namespace defused
