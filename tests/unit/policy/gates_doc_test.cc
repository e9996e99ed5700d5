// SPDX-License-Identifier: Apache-2.0
// docs/OPERATING.md has the table of gates as the code has it, and an entry for each. Runs in the top directory of the
// sources.
#include <algorithm>
#include <catch2/catch.hpp>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "policy/gates.h"
#include "settings/settings_file.h"
#include "settings/settings_table.h"

namespace defused {

namespace {

constexpr const char* kDocument = "docs/OPERATING.md";
constexpr std::string_view kBegin = "<!-- gates: written by unit-policy -->\n";
constexpr std::string_view kEnd = "<!-- end of gates -->";

std::string read_document() {
  std::ifstream file(kDocument, std::ios::binary);
  REQUIRE(file);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

// The key `knob`, or the keys of the object that it is.
std::vector<std::string> keys_of(std::string_view knob) {
  std::vector<std::string> keys;
  for (const SettingsKey& key : settings_table()) {
    const bool inside =
        key.path.size() > knob.size() && key.path.substr(0, knob.size()) == knob && key.path[knob.size()] == '.';
    if (key.path == knob || inside) keys.emplace_back(key.path);
  }
  return keys;
}

// Of an object of lists those that are not empty.
std::string render_defaults(std::string_view knob) {
  const auto keys = keys_of(knob);
  if (keys.size() == 1) return "`" + render_default(keys[0]) + "`";
  std::string text;
  for (const std::string& key : keys) {
    const std::string value = render_default(key);
    if (value != "[]") text += "`" + key.substr(knob.size() + 1) + "` `" + value + "`, ";
  }
  return text + "else `[]`";
}

std::string render_gates() {
  std::string table = "| gate | looks at | why | knob | default |\n|---|---|---|---|---|\n";
  for (const GateRule& rule : gate_rules()) {
    table += "| `" + std::string(to_string(rule.gate)) + "` | " + std::string(rule.looks_at) + " | " +
             std::string(rule.why) + " | ";
    table += rule.knob.empty() ? "| |\n" : "`" + std::string(rule.knob) + "` | " + render_defaults(rule.knob) + " |\n";
  }
  return table;
}

}  // namespace

TEST_CASE("The knob of each gate is a key of the configuration, or an object of keys") {
  for (const GateRule& rule : gate_rules()) {
    INFO(to_string(rule.gate));
    if (!rule.knob.empty()) CHECK_FALSE(keys_of(rule.knob).empty());
  }
}

TEST_CASE("docs/OPERATING.md has the table of gates") {
  std::string doc = read_document();
  const std::size_t first = doc.find(kBegin);
  const std::size_t last = doc.find(kEnd);
  REQUIRE(first != std::string::npos);
  REQUIRE(last != std::string::npos);
  const std::size_t from = first + kBegin.size();
  const std::string table = render_gates();
  if (std::getenv("DEFUSED_WRITE_DOCS") != nullptr) {
    doc.replace(from, last - from, table);
    std::ofstream(kDocument) << doc;
  } else {
    INFO("write it with DEFUSED_WRITE_DOCS=1 ./build/unit-policy");
    CHECK(doc.substr(from, last - from) == table);
  }
}

TEST_CASE("docs/OPERATING.md has an entry for each gate, with what to see and what to do") {
  const std::string doc = read_document();
  std::vector<std::string> entries;  // of one gate each
  std::vector<std::string> names;
  for (std::size_t at = doc.find("\n#### `"); at != std::string::npos;) {
    const std::size_t end = std::min(doc.find("\n#", at + 1), doc.size());
    entries.push_back(doc.substr(at, end - at));
    const std::size_t name = at + std::string_view("\n#### `").size();
    names.push_back(doc.substr(name, doc.find('`', name) - name));
    at = doc.find("\n#### `", at + 1);
  }
  std::vector<std::string> wanted;
  for (const Gate gate : AllWords<Gate>::values) wanted.emplace_back(to_string(gate));
  CHECK_THAT(names, Catch::UnorderedEquals(wanted));
  for (const std::string& entry : entries) {
    INFO(entry);
    CHECK(entry.find("\nDo: ") != std::string::npos);
    CHECK(entry.find("\nExample: ") != std::string::npos);
  }
}

}  // namespace defused
