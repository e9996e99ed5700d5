// SPDX-License-Identifier: Apache-2.0
#include "daemon/lost_probers.h"

#include <catch2/catch.hpp>

#include "daemon/prober.h"
#include "temporary_directory.h"

using namespace defused;

TEST_CASE("what is written is read") {
  const TemporaryDirectory directory;
  const std::string path = directory.file("lost-probers");
  CHECK(read_lost_probers(path)->empty());
  const std::vector<LostProber> lost = {{{17, 4711}, 12345678901}, {{18, 4720}, 0}};
  REQUIRE(write_lost_probers(path, lost));
  CHECK(*read_lost_probers(path) == lost);
  REQUIRE(write_lost_probers(path, {}));
  CHECK(read_lost_probers(path)->empty());
}

TEST_CASE("a record of an older version has no inode") {
  const TemporaryDirectory directory;
  const std::string path = directory.file("lost-probers");
  directory.write("lost-probers", "17 4711\n");
  CHECK(*read_lost_probers(path) == std::vector<LostProber>{{{17, 4711}, 0}});
}

TEST_CASE("a record that is none is an error, not a guess") {
  const TemporaryDirectory directory;
  const std::string path = directory.file("lost-probers");
  for (const char* text : {"x 1\n", "17\n", "17 x\n", "17 1 x\n", "17 1 2 3\n", "\x01\xff"}) {
    directory.write("lost-probers", text);
    CHECK(read_lost_probers(path).error().kind == ErrorKind::malformed);
  }
}

TEST_CASE("as an argument and back") {
  const std::vector<ProcessId> lost = {{17, 4711}, {18, 4720}};
  CHECK(render_lost(lost) == "17:4711,18:4720");
  CHECK(parse_lost("17:4711,18:4720") == lost);
  CHECK(parse_lost("").empty());
  CHECK(parse_lost("17").empty());
}
