// SPDX-License-Identifier: Apache-2.0
// about.json and look.json: there and back, and one sentence for what is not as it should be.
#include "capture/about.h"

#include <catch2/catch.hpp>
#include <string>

namespace defused {

namespace {

using namespace std::chrono_literals;

std::string without(std::string text, const std::string& part, const std::string& instead = "") {
  const auto at = text.find(part);
  REQUIRE(at != std::string::npos);
  return text.replace(at, part.size(), instead);
}

LookAbout make_look() {
  return {{12'345'678'901ns, 1'795'522'500'000'000'001ns}, true, false, 4711, 1, 3, 3, {{40, 77}, {41, 78}}};
}

}  // namespace

TEST_CASE("about.json comes back as it was written") {
  const CaptureAbout about{"0.1.0 (abc1234)", "node-7", 1'795'522'500'000'000'001ns, "5b0e", true, false, 3};
  const std::string text = render_about(about);
  CHECK(text.find("\"time\":\"2026-11-24T12:15:00.000Z\"") != std::string::npos);
  CHECK(text.back() == '\n');
  const auto back = parse_about(text);
  REQUIRE(back);
  CHECK(render_about(*back) == text);
  CHECK(back->time == about.time);
  CHECK(back->all);
  CHECK_FALSE(back->redacted);
  CHECK(back->looks == 3);
}

TEST_CASE("about.json that is none is told in one sentence") {
  const std::string good = render_about({"v", "h", 1s, "b", false, true, 1});
  const auto complaint = [](const std::string& text) {
    const auto parsed = parse_about(text);
    REQUIRE_FALSE(parsed);
    CHECK(parsed.error().kind == ErrorKind::malformed);
    CHECK(parsed.error().message.find('\n') == std::string::npos);
    return parsed.error().message;
  };
  CHECK(complaint("") == "about.json: expected a JSON object");
  CHECK(complaint("[1]") == "about.json: expected a JSON object");
  CHECK(complaint("\"defused.capture/v1\"") == "about.json: expected a JSON object");
  CHECK(complaint(without(good, "capture/v1", "\\u001bcapture/v2")) ==
        "about.json: schema: expected defused.capture/v1, got 'defused.\\x1bcapture/v2'");
  CHECK(complaint(without(good, "\"host\":\"h\",")) == "about.json: host: expected a text");
  CHECK(complaint(without(good, "\"all\":false", "\"all\":0")) == "about.json: all: expected true or false");
  CHECK(complaint(without(good, "\"looks\":1", "\"looks\":-1")) ==
        "about.json: looks: expected a whole number from 0 to 4294967295");
  CHECK(complaint(without(good, "\"time_ns\":1000000000", "\"time_ns\":9223372036854775807")) ==
        "about.json: time_ns: expected a whole number from 0 to 4611686018427387904");
  CHECK(complaint(good + std::string(300'000, ' ') + "x") == "about.json: expected a JSON object");
}

TEST_CASE("a host that calls itself by escape sequences is made harmless, and what is not known is passed over") {
  const std::string good = render_about({"v", "h", 1s, "b", false, true, 1});
  const auto about = parse_about(without(good, "\"host\":\"h\"", "\"host\":\"\\u001b]0;x\\u0007\",\"new\":[1]"));
  REQUIRE(about);
  CHECK(about->host == "\\x1b]0;x\\x07");
}

TEST_CASE("the about.json of an evidence bundle says host and time, or neither") {
  const auto now =
      parse_about(R"({"schema":"defused.evidence/v1","host":"n","time_ns":5,"connection":40,"left_out":0})");
  REQUIRE(now);
  CHECK(now->evidence);
  CHECK(now->host == "n");
  CHECK(now->time == 5ns);
  const auto once =
      parse_about(R"({"schema":"defused.evidence/v1","time":"2026-11-24T12:15:00.000Z","connection":40})");
  REQUIRE(once);
  CHECK(once->time == 0ns);
  CHECK_FALSE(parse_about(R"({"schema":"defused.evidence/v1","host":1})"));
}

TEST_CASE("look.json comes back as it was written, and what is not as it should be is told") {
  const std::string text = render_look(make_look());
  const auto back = parse_look(text);
  REQUIRE(back);
  CHECK(render_look(*back) == text);
  CHECK(back->begin == make_look().begin);
  CHECK(back->connection_inodes == make_look().connection_inodes);
  CHECK(back->readers_left_behind == 3);
  const auto older = parse_look(without(text, "\"readers_left_behind\":3,", ""));
  REQUIRE(older);
  CHECK(older->readers_left_behind == 0);
  CHECK(parse_look(without(text, "\"readers_left_behind\":3", "\"readers_left_behind\":-1")).error().message ==
        "look.json: readers_left_behind: expected a whole number from 0 to 4294967295");
  CHECK(back->own == 4711);
  CHECK(back->file_reader);
  CHECK_FALSE(back->wait_reader);
  CHECK(parse_look(without(text, "\"41\"", "\"x\"")).error().message ==
        "look.json: connection_inodes: expected an object of whole numbers by whole numbers");
  LookAbout early = make_look();
  early.begin.boottime = Nanoseconds(0);
  CHECK(parse_look(render_look(early)).error().message == "look.json: boottime_ns: expected a time after the boot");
  CHECK(parse_look("{").error().message == "look.json: expected a JSON object");
  CHECK(parse_look(without(text, "4711", "4294967295")).error().message ==
        "look.json: own: expected a whole number from 0 to 2147483647");
}

}  // namespace defused
