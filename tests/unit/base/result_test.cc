// SPDX-License-Identifier: Apache-2.0
#include "base/result.h"

#include <catch2/catch.hpp>
#include <cerrno>
#include <set>
#include <string>

namespace defused {

TEST_CASE("error kinds follow from errno") {
  CHECK(kind_of_errno(ENOENT) == ErrorKind::gone);
  CHECK(kind_of_errno(ESRCH) == ErrorKind::gone);
  CHECK(kind_of_errno(EACCES) == ErrorKind::denied);
  CHECK(kind_of_errno(EPERM) == ErrorKind::denied);
  CHECK(kind_of_errno(ETIMEDOUT) == ErrorKind::timeout);
  CHECK(kind_of_errno(ENOSYS) == ErrorKind::unsupported);
  CHECK(kind_of_errno(EINVAL) == ErrorKind::unsupported);
  CHECK(kind_of_errno(EOPNOTSUPP) == ErrorKind::unsupported);
  CHECK(kind_of_errno(EIO) == ErrorKind::io);
  CHECK(kind_of_errno(ELOOP) == ErrorKind::io);
  CHECK(kind_of_errno(EXDEV) == ErrorKind::io);
  CHECK(kind_of_errno(0) == ErrorKind::io);
}

TEST_CASE("each kind has a word of its own") {
  std::set<std::string_view> words;
  for (const ErrorKind kind : {ErrorKind::gone, ErrorKind::denied, ErrorKind::timeout, ErrorKind::malformed,
                               ErrorKind::unsupported, ErrorKind::io}) {
    CHECK(words.insert(to_string(kind)).second);
  }
  CHECK(words == std::set<std::string_view>{"gone", "denied", "timeout", "malformed", "unsupported", "io"});
}

TEST_CASE("an error is a sentence built by prepending") {
  const Result<int> failed = fail(ErrorKind::malformed, "not a number: 'x'");
  REQUIRE_FALSE(failed);
  const Result<std::string> outer = prepend("reading 4711/stat", prepend("field 22", failed.error()).value());
  REQUIRE_FALSE(outer);
  CHECK(outer.error().message == "reading 4711/stat: field 22: not a number: 'x'");
  CHECK(outer.error().kind == ErrorKind::malformed);
  CHECK(outer.error().code == 0);
}

TEST_CASE("an errno keeps its number and ends the sentence with its text") {
  const Result<int> failed = fail_errno(EACCES, "opening 1/stack");
  REQUIRE_FALSE(failed);
  CHECK(failed.error().message == "opening 1/stack: Permission denied");
  CHECK(failed.error().kind == ErrorKind::denied);
  CHECK(failed.error().code == EACCES);
  const Result<int> outer = prepend("thread 2", failed.error());
  CHECK(outer.error().code == EACCES);
}

}  // namespace defused
