// SPDX-License-Identifier: Apache-2.0
// docs/man/defused.json.5.scd has every key of the table. Runs in the top directory of the sources.
#include "man_page.h"

#include <catch2/catch.hpp>
#include <string>

#include "settings/settings_file.h"
#include "settings/settings_table.h"

namespace defused {

TEST_CASE("what scdoc would take for its own is written so that it does not") {
  CHECK(as_scdoc(R"(fuse.* a_b \)") == R"(fuse.\* a\_b \\)");
  CHECK(markdown_as_scdoc("`a_b` and [the page](PAGE.md#x): *") == R"(*a\_b* and the page: \*)");
  CHECK(markdown_as_scdoc("[not a link] `open") == "[not a link] `open");
}

TEST_CASE("defused.json(5) says of each key what it does, what it takes, and its default") {
  std::string body;
  for (const SettingsKey& key : settings_table()) {
    body += "\n*" + as_scdoc(key.path) + "*\n\t" + as_scdoc(key.about) + ".++\nTakes " +
            as_scdoc(describe_expected(key)) + ".++\nDefault: *" + as_scdoc(render_default(key.path)) + "*\n";
  }
  check_man_page("docs/man/defused.json.5.scd", "keys", "unit-settings", body + "\n");
}

}  // namespace defused
