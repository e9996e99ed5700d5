// SPDX-License-Identifier: Apache-2.0
#include "base/text.h"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>
#include <random>
#include <string>

namespace defused {

using namespace std::string_literals;

namespace {

bool is_utf8_without_controls(const std::string& text) {
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f) return false;
  }
  try {
    return !nlohmann::json(text).dump().empty();  // throws on what is not UTF-8
  } catch (const nlohmann::json::exception&) {
    return false;
  }
}

}  // namespace

TEST_CASE("sanitize keeps what is fit") {
  for (const std::string text : {"", "s3fs", "a b", "back\\slash", "\"quotes'<script>", "\xc3\xa4", "\xe2\x82\xac",
                                 "\xf0\x9f\x98\x80", "\xc2\xa0", "\xef\xbf\xbf", "\xf4\x8f\xbf\xbf", "\xed\x9f\xbf"}) {
    CAPTURE(text);
    CHECK(sanitize(text) == text);
  }
}

TEST_CASE("sanitize shows every single byte as itself or as \\xNN") {
  for (int value = 0; value < 256; ++value) {
    const std::string shown = sanitize(std::string(1, static_cast<char>(value)));
    CAPTURE(value);
    if (value >= 0x20 && value < 0x7f) {
      CHECK(shown == std::string(1, static_cast<char>(value)));
    } else {
      constexpr std::string_view kDigits = "0123456789abcdef";
      const auto byte = static_cast<std::size_t>(value);
      CHECK(shown == "\\x"s + kDigits[byte >> 4U] + kDigits[byte & 15U]);
    }
  }
}

TEST_CASE("sanitize escapes controls that take several bytes") {
  CHECK(sanitize("\x1b[31m\n\t") == "\\x1b[31m\\x0a\\x09");
  CHECK(sanitize("\xc2\x80") == "\\xc2\\x80");           // first C1 control
  CHECK(sanitize("\xc2\x9b") == "\\xc2\\x9b");           // CSI
  CHECK(sanitize("\xc2\x9f") == "\\xc2\\x9f");           // last C1 control
  CHECK(sanitize("\xe2\x80\xa8") == "\\xe2\\x80\\xa8");  // U+2028
  CHECK(sanitize("\xe2\x80\xa9") == "\\xe2\\x80\\xa9");  // U+2029
  CHECK(sanitize("nul\0byte"s) == "nul\\x00byte");
}

TEST_CASE("sanitize escapes what is not seen or turns the direction of writing") {
  CHECK(sanitize("txt.\u202egnp") == "txt.\\xe2\\x80\\xaegnp");
  // First and last of each range; soft hyphen, grapheme joiner, fillers, separators, selectors, annotation, tags.
  for (const char* unseen :
       {"\u200b", "\u200d", "\u200f", "\u202a", "\u202e", "\u2060",     "\u2066",     "\u2069",     "\u206f",
        "\ufeff", "\u00ad", "\u034f", "\u061c", "\u115f", "\u1160",     "\u180e",     "\u2800",     "\u3164",
        "\ufe00", "\ufe0f", "\uffa0", "\ufff0", "\ufffb", "\U0001d173", "\U000e0001", "\U000e0041", "\U000e0fff"}) {
    const std::string text = unseen;
    CAPTURE(sanitize(text));
    CHECK(sanitize(text).size() == 4 * text.size());
    CHECK(sanitize(text).find_first_not_of("\\x0123456789abcdef") == std::string::npos);
    CHECK(sanitize("a" + text, 4 * text.size()) == "a");  // all of it, or nothing
  }
  for (const char* seen : {"\u00ac", "\u00ae", "\u200a", "\u2010", "\u2027", "\u202f", "\u205f", "\u2070", "\u3163",
                           "\u6f22", "\ufe10", "\ufefe", "\ufffd", "\U0001f600", "\U000e1000"}) {
    CHECK(sanitize(seen) == seen);
  }
}

TEST_CASE("sanitize escapes what is not well-formed UTF-8, byte by byte") {
  CHECK(sanitize("\xff\xfe") == "\\xff\\xfe");
  CHECK(sanitize("\x80") == "\\x80");  // continuation alone
  CHECK(sanitize("\xc3") == "\\xc3");  // cut short
  CHECK(sanitize("\xe2\x82") == "\\xe2\\x82");
  CHECK(sanitize("\xf0\x9f\x98") == "\\xf0\\x9f\\x98");
  CHECK(sanitize("\xc3(") == "\\xc3(");  // the next one is not swallowed
  CHECK(sanitize("\xe2\x82(") == "\\xe2\\x82(");
  CHECK(sanitize("\xf0\x9f\x98(") == "\\xf0\\x9f\\x98(");
  CHECK(sanitize("\xc0\xaf") == "\\xc0\\xaf");  // overlong
  CHECK(sanitize("\xc1\xbf") == "\\xc1\\xbf");
  CHECK(sanitize("\xe0\x9f\xbf") == "\\xe0\\x9f\\xbf");
  CHECK(sanitize("\xf0\x8f\xbf\xbf") == "\\xf0\\x8f\\xbf\\xbf");
  CHECK(sanitize("\xed\xa0\x80") == "\\xed\\xa0\\x80");  // surrogates
  CHECK(sanitize("\xed\xbf\xbf") == "\\xed\\xbf\\xbf");
  CHECK(sanitize("\xf4\x90\x80\x80") == "\\xf4\\x90\\x80\\x80");  // above U+10FFFF
  CHECK(sanitize("\xf5\x80\x80\x80") == "\\xf5\\x80\\x80\\x80");
}

TEST_CASE("sanitize cuts on a character boundary") {
  CHECK(sanitize("abcdef", 3) == "abc");
  CHECK(sanitize("abc", 3) == "abc");
  CHECK(sanitize("ab\xc3\xa4", 3) == "ab");
  CHECK(sanitize("ab\xc3\xa4", 4) == "ab\xc3\xa4");
  CHECK(sanitize("ab\xff", 5) == "ab");  // an escape is not cut either
  CHECK(sanitize("ab\xff", 6) == "ab\\xff");
  CHECK(sanitize("\xc2\x80z", 7).empty());
  CHECK(sanitize("abc", 0).empty());
  CHECK(sanitize(std::string(1000, 'x')).size() == kMaxTextBytes);
  CHECK(sanitize(std::string(1000, '\xff')).size() == kMaxTextBytes);
}

TEST_CASE("sanitize of any bytes is short UTF-8 without controls") {
  std::mt19937 random(11);  // NOLINT: the same bytes in every run
  for (int round = 0; round < 5000; ++round) {
    std::string raw(random() % 40, '\0');
    for (char& c : raw) c = static_cast<char>(random() % 4 == 0 ? 0xe2 : random());
    const std::string clean = sanitize(raw, 64);
    REQUIRE(clean.size() <= 64);
    REQUIRE(is_utf8_without_controls(clean));
    REQUIRE(sanitize(clean, 64) == clean);
  }
}

TEST_CASE("numbers are taken whole or not at all") {
  CHECK(parse_u64("0") == 0U);
  CHECK(parse_u64("18446744073709551615") == UINT64_MAX);
  CHECK(parse_u64("007") == 7U);
  for (const char* bad : {"", " ", "1 ", " 1", "+1", "-1", "0x1", "1.0", "1e3", "18446744073709551616", "x", "1\n"}) {
    CAPTURE(bad);
    CHECK_FALSE(parse_u64(bad));
  }
  CHECK_FALSE(parse_u64("1\0"s));
  CHECK_FALSE(parse_u64(std::string_view{}));

  CHECK(parse_i64("-9223372036854775808") == INT64_MIN);
  CHECK(parse_i64("9223372036854775807") == INT64_MAX);
  CHECK(parse_i64("-1") == -1);
  for (const char* bad : {"", "-", "+1", "--1", "9223372036854775808", "-9223372036854775809", "1-"}) {
    CAPTURE(bad);
    CHECK_FALSE(parse_i64(bad));
  }

  CHECK(parse_hex("0000000000000100") == 0x100U);
  CHECK(parse_hex("ffffffffffffffff") == UINT64_MAX);
  CHECK(parse_hex("aB") == 0xabU);
  for (const char* bad : {"", "0x1", "g", "10000000000000000", "-1", " 1"}) {
    CAPTURE(bad);
    CHECK_FALSE(parse_hex(bad));
  }
}

TEST_CASE("trim takes blanks from both ends") {
  CHECK(trim(" \t\r\na b\n ") == "a b");
  CHECK(trim("a") == "a");
  CHECK(trim(" \n").empty());
  CHECK(trim("").empty());
}

TEST_CASE("fields are taken one by one, or all at once without empty ones") {
  std::string_view rest = "a::b";
  CHECK(take_field(rest, ':') == "a");
  CHECK(rest == ":b");
  CHECK(take_field(rest, ':').empty());
  CHECK(take_field(rest, ':') == "b");
  CHECK(rest.empty());
  CHECK(take_field(rest, ':').empty());
  rest = "a:";
  CHECK(take_field(rest, ':') == "a");
  CHECK(rest.empty());

  using Fields = std::vector<std::string_view>;
  CHECK(split_fields("  a b   c ", ' ') == Fields{"a", "b", "c"});
  CHECK(split_fields("abc", ' ') == Fields{"abc"});
  CHECK(split_fields("", ' ').empty());
  CHECK(split_fields("   ", ' ').empty());
}

TEST_CASE("edit distance counts inserted, deleted and replaced characters") {
  CHECK(edit_distance("", "") == 0);
  CHECK(edit_distance("abc", "") == 3);
  CHECK(edit_distance("", "abc") == 3);
  CHECK(edit_distance("stuck_aftr", "stuck_after") == 1);
  CHECK(edit_distance("intervall", "interval") == 1);
  CHECK(edit_distance("kitten", "sitting") == 3);
  CHECK(edit_distance("ab", "ba") == 2);
  CHECK(edit_distance("same", "same") == 0);
}

TEST_CASE("globs match the whole text") {
  CHECK(matches_glob("fuse.*", "fuse.s3fs"));
  CHECK(matches_glob("fuse.*", "fuse."));
  CHECK_FALSE(matches_glob("fuse.*", "fuse"));
  CHECK_FALSE(matches_glob("fuse.*", "xfuse.s3fs"));
  CHECK(matches_glob("fuse", "fuse"));
  CHECK_FALSE(matches_glob("fuse", "fuseblk"));
  CHECK(matches_glob("*", ""));
  CHECK(matches_glob("", ""));
  CHECK_FALSE(matches_glob("", "a"));
  CHECK_FALSE(matches_glob("?", ""));
  CHECK(matches_glob("a?c", "abc"));
  CHECK_FALSE(matches_glob("a?c", "ac"));
  CHECK(matches_glob("*a*b*", "xxaxxbxx"));
  CHECK_FALSE(matches_glob("*a*b", "xxaxxbx"));
  CHECK(matches_glob("a**b", "ab"));
  CHECK_FALSE(matches_glob("[ab]", "a"));  // stands for itself
  CHECK(matches_glob("[ab]", "[ab]"));
  // Must not take exponential time.
  CHECK_FALSE(matches_glob(std::string(60, '*') + "b", std::string(2000, 'a')));
  std::string stars;
  for (int i = 0; i < 100; ++i) stars += "a*";
  CHECK_FALSE(matches_glob(stars + "b", std::string(2000, 'a')));
}

}  // namespace defused
