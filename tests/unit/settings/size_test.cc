// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>
#include <limits>

#include "settings/settings_file.h"

namespace defused {

TEST_CASE("sizes are a whole number with a unit") {
  constexpr std::uint64_t kBad = 12'345'678'901;
  const auto parsed = [=](std::string_view text) { return parse_size(text).value_or(kBad); };
  CHECK(parsed("0B") == 0);
  CHECK(parsed("1B") == 1);
  CHECK(parsed("3KiB") == 3072);
  CHECK(parsed("64MiB") == 67'108'864);
  CHECK(parsed("10GiB") == 10'737'418'240);
  CHECK(parsed("007KiB") == 7168);
  CHECK(parsed("18446744073709551615B") == std::numeric_limits<std::uint64_t>::max());
  CHECK(parsed("17179869183GiB") == 18'446'744'072'635'809'792U);
  for (const char* bad : {"",
                          "64",
                          "B",
                          "MiB",
                          "64MB",
                          "64M",
                          "64mib",
                          "64 MiB",
                          " 64MiB",
                          "64MiB ",
                          "-1B",
                          "+1B",
                          "1.5GiB",
                          "1GiB512MiB",
                          "64MiBB",
                          "17179869184GiB",
                          "18446744073709551616B",
                          "99999999999999999999999KiB",
                          "0x10B",
                          "64\xff"}) {
    CAPTURE(bad);
    const auto result = parse_size(bad);
    REQUIRE_FALSE(result);
    CHECK(result.error().kind == ErrorKind::malformed);
    CHECK(result.error().message.find("not a size such as \"64MiB\": ") == 0);
  }
  CHECK_FALSE(parse_size(std::string_view("5B\0", 3)));
}

TEST_CASE("sizes are written in the largest unit that leaves a whole number, and read back the same") {
  CHECK(format_size(0) == "0B");
  CHECK(format_size(1023) == "1023B");
  CHECK(format_size(1024) == "1KiB");
  CHECK(format_size(1536) == "1536B");
  CHECK(format_size(1536U << 10U) == "1536KiB");
  CHECK(format_size(64U << 20U) == "64MiB");
  CHECK(format_size(10ULL << 30U) == "10GiB");
  for (const std::uint64_t bytes : {std::uint64_t{1}, std::uint64_t{4097}, std::numeric_limits<std::uint64_t>::max()}) {
    CHECK(parse_size(format_size(bytes)).value_or(0) == bytes);
  }
}

}  // namespace defused
