// SPDX-License-Identifier: Apache-2.0
#include "model/subject.h"

#include <catch2/catch.hpp>

namespace defused {

TEST_CASE("X as people type it, and its explicit forms") {
  const auto parsed = [](const std::string& text) {
    const auto subject = parse_subject(text);
    REQUIRE(subject);
    return *subject;
  };
  CHECK(parsed("").kind == SubjectKind::everything);
  CHECK(parsed("everything").kind == SubjectKind::everything);
  CHECK(parsed("4711").kind == SubjectKind::any);
  CHECK(parsed("4711").number == 4711U);
  CHECK(parsed("0123abcd").kind == SubjectKind::any);
  CHECK_FALSE(parsed("0123abcd").number);
  CHECK(parsed("pid:4711").kind == SubjectKind::process);
  CHECK(parsed("namespace:4026532178").number == 4026532178U);
  CHECK(parsed("connection:40").kind == SubjectKind::connection);
  CHECK(parsed("container:my-name.1").text == "my-name.1");
  for (const char* text :
       {"everything", "pid:4711", "namespace:4026532178", "connection:40", "container:0123", "4711"}) {
    CHECK(describe_subject(parsed(text)) == text);
  }
}

TEST_CASE("what is no X is refused in one sentence") {
  for (const char* text : {"pid:", "pid:x", "pid:-1", "connection:4x", "container:", "nonsense:1", "a b", "a/b",
                           "\x1b[31m", "pid:99999999999999999999"}) {
    const auto subject = parse_subject(text);
    REQUIRE_FALSE(subject);
    CHECK(subject.error().kind == ErrorKind::malformed);
    CHECK(subject.error().message.find('\x1b') == std::string::npos);
  }
}

}  // namespace defused
