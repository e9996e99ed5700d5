// SPDX-License-Identifier: Apache-2.0
// One YAML document as a tree of texts, each with its line. Bounded on purpose: so deep, so many values, no anchors and
// no aliases (a few of which stand for a billion values), no tags, no key twice. yaml-cpp stays in yaml_tree.cc.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace defused {

struct YamlNode {
  enum class Kind { null, text, list, map };
  Kind kind = Kind::null;
  std::string key;              ///< under which it stands in its map, else ""
  std::string text;             ///< of a text
  bool plain = false;           ///< a text without quotes: `true` rather than "true"
  std::size_t line = 1;         ///< of its key, or its own; the first is 1
  std::vector<YamlNode> items;  ///< of a list, of a map
};

/// Deepest nesting; the web configuration is 3 deep.
inline constexpr std::size_t kMaxYamlDepth = 8;
/// Most values of one document.
inline constexpr std::size_t kMaxYamlNodes = 4096;

/// Kinds: malformed; the message begins with the line: "3: a key is given twice". It shows no value, since one may be a
/// secret. A text without any value is a null.
Result<YamlNode> parse_yaml(std::string_view text);

}  // namespace defused
