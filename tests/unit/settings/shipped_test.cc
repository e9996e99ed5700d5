// SPDX-License-Identifier: Apache-2.0
// The files in config/ are those that the table makes. Runs in the top directory of the sources.
#include <sys/stat.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <regex>
#include <string>

#include "base/text.h"
#include "model/codec.h"
#include "settings/settings_file.h"
#include "settings/settings_table.h"
#include "temporary_directory.h"

namespace defused {

namespace {

std::string content(const std::string& path) {
  std::string text = read_whole(path);
  REQUIRE_FALSE(text.empty());
  return text;
}

}  // namespace

TEST_CASE("the shipped configuration is every key at its default") {
  const auto settings = read_settings("config/defused.json");
  INFO((settings ? "" : settings.error().message));
  REQUIRE(settings);
  CHECK(encode_settings(*settings) == encode_settings(Settings{}));

  // Without comments, each key of the table is there and nothing else.
  auto left = nlohmann::json::parse(content("config/defused.json"), nullptr, true, true).flatten();
  for (const SettingsKey& key : settings_table()) {
    std::string pointer = "/" + std::string(key.path);
    for (char& c : pointer) c = c == '.' ? '/' : c;
    CAPTURE(pointer);
    std::size_t found = 0;
    for (auto at = left.begin(); at != left.end();) {
      const bool ours = at.key() == pointer || at.key().find(pointer + "/") == 0;
      found += ours ? 1 : 0;
      at = ours ? left.erase(at) : std::next(at);
    }
    CHECK(found > 0);
  }
  CHECK(left.empty());
}

TEST_CASE("config/ holds what the table makes") {
  if (std::getenv("DEFUSED_WRITE_DOCS") != nullptr) {
    std::ofstream("config/defused.json") << render_default_settings();
    std::ofstream("config/defused.schema.json") << render_settings_schema();
  }
  INFO("write them with DEFUSED_WRITE_DOCS=1 ./build/unit-settings");
  CHECK(content("config/defused.json") == render_default_settings());
  CHECK(content("config/defused.schema.json") == render_settings_schema());
}

TEST_CASE("the schema knows every key and refuses others") {
  const auto schema = nlohmann::json::parse(render_settings_schema());
  CHECK(schema["additionalProperties"] == false);
  for (const SettingsKey& key : settings_table()) {
    const nlohmann::json* at = &schema;
    for (const std::string_view part : split_fields(key.path, '.')) {
      CHECK((*at)["additionalProperties"] == false);
      REQUIRE((*at)["properties"].contains(part));
      at = &(*at)["properties"][std::string(part)];
    }
    CHECK(at->contains("default"));
    CHECK_FALSE((*at)["description"].get<std::string>().empty());
  }
  CHECK(schema["properties"]["remedy"]["properties"]["min_samples"]["minimum"] == 2);
  CHECK(schema["properties"]["mode"]["enum"].size() == 3);
  const auto& remedy = schema["properties"]["remedy"]["properties"];
  CHECK(remedy["before_hook"]["maxItems"] == 64);
  CHECK_FALSE(remedy["before_hook"].contains("uniqueItems"));
  CHECK(remedy["evidence_bytes"]["default"] == "64MiB");
}

TEST_CASE("the patterns of the schema take every default and what the parser takes") {
  const auto schema = nlohmann::json::parse(render_settings_schema());
  const auto& remedy = schema["properties"]["remedy"]["properties"];
  const auto fits = [](const nlohmann::json& type, const std::string& text) {
    return std::regex_search(text, std::regex(type["pattern"].get<std::string>()));
  };
  CHECK(fits(remedy["evidence_bytes"], "64MiB"));
  CHECK_FALSE(fits(remedy["evidence_bytes"], "64 MiB"));
  CHECK_FALSE(fits(remedy["evidence_bytes"], "64MB"));
  for (const char* list : {"sources", "mount_points", "container_ids", "pod_uids", "cgroups"}) {
    CAPTURE(list);
    CHECK(fits(remedy["allow"]["properties"][list]["items"], "/a b/*"));
    CHECK_FALSE(fits(remedy["deny"]["properties"][list]["items"], "a\nb"));
    CHECK_FALSE(fits(remedy["deny"]["properties"][list]["items"], ""));
  }
  CHECK(fits(remedy["after_hook"]["prefixItems"][0], "/usr/bin/logger"));
  CHECK_FALSE(fits(remedy["after_hook"]["prefixItems"][0], "logger"));
  CHECK(fits(remedy["after_hook"]["items"], ""));
  CHECK_FALSE(fits(remedy["after_hook"]["items"], "a\tb"));
}

TEST_CASE("the default of one key, as it is written in the documents") {
  CHECK(render_default("remedy.min_stuck") == "\"1m\"");
  CHECK(render_default("remedy.allow.fstypes") == R"(["fuse", "fuse.*"])");
  CHECK(render_default("remedy.before_hook") == "[]");
  CHECK(render_default("remedy.allow").empty());
}

// Its first cell names the key, and the row tells the default.
TEST_CASE("docs/OPERATING.md has a row for each key, with its default") {
  const std::string doc = content("docs/OPERATING.md");
  const std::size_t from = doc.find("\n## Configuration\n");
  REQUIRE(from != std::string::npos);
  const std::string section = doc.substr(from, doc.find("\n## ", from + 1) - from);
  for (const SettingsKey& key : settings_table()) {
    CAPTURE(key.path);
    const std::string name = "`" + std::string(key.path) + "`";
    std::string row;
    for (const std::string_view line : split_fields(section, '\n')) {
      const auto cells = split_fields(line, '|');
      if (line.front() == '|' && cells.size() == 3 && cells[0].find(name) != std::string_view::npos) row = line;
    }
    CHECK(row.find("`" + render_default(key.path) + "`") != std::string::npos);
  }
}

// Each block of JSON in the documents that is a configuration.
TEST_CASE("docs/OPERATING.md: its example configurations are good ones") {
  const std::string doc = content("docs/OPERATING.md");
  const std::string begin = "```json\n";
  int examples = 0;
  for (std::size_t at = doc.find(begin); at != std::string::npos; at = doc.find(begin, at + 1)) {
    const std::size_t from = at + begin.size();
    const auto settings = parse_settings(doc.substr(from, doc.find("```", from) - from), "example");
    INFO((settings ? "" : settings.error().message));
    CHECK(settings);
    ++examples;
  }
  CHECK(examples >= 1);
}

TEST_CASE("every default lies within its own range") {
  for (const SettingsKey& key : settings_table()) {
    CAPTURE(key.path);
    Settings defaults;
    if (const auto* duration = std::get_if<DurationKey>(&key.value)) {
      CHECK(duration->at(defaults) >= duration->min);
      CHECK(duration->at(defaults) <= duration->max);
    }
    if (const auto* size = std::get_if<SizeKey>(&key.value)) {
      CHECK(size->at(defaults) >= size->min);
      CHECK(size->at(defaults) <= size->max);
    }
    if (const auto* count = std::get_if<CountKey>(&key.value)) {
      CHECK(count->at(defaults) >= count->min);
      CHECK(count->at(defaults) <= count->max);
    }
    if (const auto* text = std::get_if<TextKey>(&key.value)) CHECK(text->rule.fits(text->at(defaults)));
    if (const auto* texts = std::get_if<TextListKey>(&key.value)) {
      for (const std::string& one : texts->at(defaults)) CHECK(texts->rule.fits(one));
    }
  }
}

TEST_CASE("a file that cannot be read is one sentence of its own kind") {
  const TemporaryDirectory scratch;
  SECTION("missing") {
    const auto settings = read_settings(scratch.file("none.json"));
    REQUIRE_FALSE(settings);
    CHECK(settings.error().kind == ErrorKind::gone);
    CHECK(settings.error().message == scratch.file("none.json") + ": No such file or directory");
  }
  SECTION("a directory") {
    const auto settings = read_settings(scratch.path());
    REQUIRE_FALSE(settings);
    CHECK(settings.error().kind == ErrorKind::io);
    CHECK(settings.error().message == scratch.path().string() + ": not a regular file");
  }
  SECTION("a FIFO does not hold up the start") {
    const std::string fifo = scratch.file("fifo");
    REQUIRE(mkfifo(fifo.c_str(), 0600) == 0);
    CHECK_FALSE(read_settings(fifo));
  }
  SECTION("too large") {
    scratch.write("large", std::string(3U << 20U, ' '));
    const auto settings = read_settings(scratch.file("large"));
    REQUIRE_FALSE(settings);
    CHECK(settings.error().kind == ErrorKind::malformed);
    CHECK(settings.error().message == scratch.file("large") + ": larger than 1048576 bytes");
  }
  SECTION("an error in it names the file") {
    scratch.write("bad", R"({"modus": 1})");
    const auto settings = read_settings(scratch.file("bad"));
    REQUIRE_FALSE(settings);
    CHECK(settings.error().message == scratch.file("bad") + ": modus: unknown key; did you mean \"mode\"?");
  }
}

}  // namespace defused
