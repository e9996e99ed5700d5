// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>
#include <limits>

#include "settings/settings_file.h"

namespace defused {

TEST_CASE("durations are whole numbers with units, the larger first") {
  const auto parsed = [](std::string_view text) { return parse_duration(text).value_or(Nanoseconds(-1)); };
  CHECK(parsed("15s") == 15s);
  CHECK(parsed("500ms") == 500ms);
  CHECK(parsed("5m") == 5min);
  CHECK(parsed("1h30m") == 90min);
  CHECK(parsed("90m") == 90min);
  CHECK(parsed("1h1m1s1ms1us1ns") == 1h + 1min + 1s + 1ms + 1us + 1ns);
  CHECK(parsed("0s") == 0s);
  CHECK(parsed("007s") == 7s);
  CHECK(parsed("9223372036854775807ns") == Nanoseconds::max());

  for (const char* bad : {"",
                          "5",
                          "s",
                          "5 s",
                          " 5s",
                          "5s ",
                          "-5s",
                          "+5s",
                          "1.5s",
                          "5x",
                          "5sec",
                          "5s5",
                          "30m1h",
                          "1s1s",
                          "1h 30m",
                          "1d",
                          "9223372036854775808ns",
                          "18446744073709551616ns",
                          "2562048h",
                          "9223372036s854775808ns",
                          "99999999999999999999999s",
                          "s5",
                          "5\xff"}) {
    CAPTURE(bad);
    const auto result = parse_duration(bad);
    REQUIRE_FALSE(result);
    CHECK(result.error().kind == ErrorKind::malformed);
  }
  CHECK_FALSE(parse_duration(std::string_view("5s\0", 3)));
}

TEST_CASE("durations are written without parts that are 0, and read back the same") {
  CHECK(format_duration(0s) == "0s");
  CHECK(format_duration(15s) == "15s");
  CHECK(format_duration(90min) == "1h30m");
  CHECK(format_duration(1h + 1ms) == "1h1ms");
  CHECK(format_duration(-90s) == "-1m30s");
  CHECK(format_duration(Nanoseconds::min()) == "-2562047h47m16s854ms775us808ns");
  for (const Nanoseconds duration :
       {Nanoseconds(1), Nanoseconds(1500), Nanoseconds(250ms), Nanoseconds(168h), Nanoseconds::max()}) {
    CHECK(parse_duration(format_duration(duration)).value_or(0s) == duration);
  }
}

}  // namespace defused
