// SPDX-License-Identifier: Apache-2.0
// A page as a tree, read more strictly than any browser would: what a browser mends is an error here. Knows nothing of
// what a page is to say.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace defused::test {

struct Node {
  std::string tag;  ///< "" for text
  std::map<std::string, std::string> attributes;
  std::string text;  ///< of a text node, unescaped
  std::vector<std::unique_ptr<Node>> children;

  /// All text in it, in order, with single spaces between.
  [[nodiscard]] std::string all_text() const;
  /// The elements in it, itself not counted, that `selector` names: "tag", ".class", "#id", "tag.class".
  [[nodiscard]] std::vector<const Node*> find(std::string_view selector) const;
  /// The only one; throws where there are none or several.
  [[nodiscard]] const Node& one(std::string_view selector) const;
  [[nodiscard]] bool has(std::string_view selector) const { return !find(selector).empty(); }
  /// An attribute, or "".
  [[nodiscard]] std::string attribute(const std::string& name) const;
};

/// The tree of a whole page. Throws std::runtime_error with the place: an element that is not closed, or not in order;
/// an attribute without quotes or twice; an entity that is not one of five; a bare '<', '>' or '&'; an id twice; a
/// reference (aria-labelledby, href="#..") to an id that is not there; a block within a paragraph.
std::unique_ptr<Node> parse_page(const std::string& page);

}  // namespace defused::test
