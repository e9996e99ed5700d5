// SPDX-License-Identifier: Apache-2.0
// The inhibit file: what is there inhibits, whatever it is.
#include "remedy/inhibit.h"

#include <sys/stat.h>
#include <sys/time.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <string>

#include "state_directory.h"

using namespace std::chrono_literals;

namespace defused {

namespace {

namespace fs = std::filesystem;  // for a directory of our own only

std::string reason_of(const StateDirectory& state) {
  const auto found = read_inhibition(state.path());
  return found ? found->reason : "nothing";
}

}  // namespace

TEST_CASE("no file, no inhibition") {
  const StateDirectory state;
  CHECK_FALSE(read_inhibition(state.path()));
  CHECK_FALSE(fs::exists(state.path()));
  state.write("other", "");
  CHECK_FALSE(read_inhibition(state.path()));
}

TEST_CASE("what is written is read, until it is removed") {
  const StateDirectory state;
  REQUIRE(write_inhibition(state.path(), "kernel upgrade"));
  CHECK(state.text("inhibit") == "kernel upgrade\n");
  CHECK(state.names() == std::vector<std::string>{"inhibit"});
  CHECK(mode_of(state.file("inhibit")) == 0600);
  CHECK(reason_of(state) == "kernel upgrade");
  REQUIRE(write_inhibition(state.path(), "still"));
  CHECK(reason_of(state) == "still");
  CHECK(remove_inhibition(state.path()).value());
  CHECK_FALSE(read_inhibition(state.path()));
  CHECK_FALSE(remove_inhibition(state.path()).value());
  CHECK_FALSE(remove_inhibition(state.path() + "/deeper").value());
}

TEST_CASE("a touch will do, and tells since when") {
  const StateDirectory state;
  state.write("inhibit", "");
  const std::array<timeval, 2> times = {{{100, 0}, {1'795'522'500, 250'000}}};
  REQUIRE(utimes(state.file("inhibit").c_str(), times.data()) == 0);
  const auto found = read_inhibition(state.path());
  REQUIRE(found);
  CHECK(found->reason == "no reason given");
  CHECK(found->since == 1'795'522'500'250ms);
}

TEST_CASE("the first line is the reason, harmless and bounded") {
  const StateDirectory state;
  state.write("inhibit", "  two\twords\r\nand more\n");
  CHECK(reason_of(state) == "two\\x09words");
  state.write("inhibit", "\nsecond line\n");
  CHECK(reason_of(state) == "no reason given");
  state.write("inhibit", std::string(5000, 'x'));
  CHECK(reason_of(state) == std::string(kMaxInhibitReason, 'x'));
}

TEST_CASE("a reason that is none is refused") {
  const StateDirectory state;
  const auto kind = [&](const std::string& reason) {
    const auto written = write_inhibition(state.path(), reason);
    return written ? std::string("written") : std::string(to_string(written.error().kind));
  };
  CHECK(kind("") == "malformed");
  CHECK(kind(" \t") == "malformed");
  CHECK(kind("a\nb") == "malformed");
  CHECK(kind("a\rb") == "malformed");
  CHECK(kind(std::string(kMaxInhibitReason + 1, 'x')) == "malformed");
  CHECK_FALSE(fs::exists(state.path()));
  CHECK(kind(std::string(kMaxInhibitReason, 'x')) == "written");
}

TEST_CASE("what is there and cannot be read inhibits, and says why") {
  const StateDirectory state;
  fs::create_directories(state.path());
  SECTION("a link that leads nowhere") {
    fs::create_symlink("/nonexistent/defused", state.file("inhibit"));
    CHECK_THAT(reason_of(state), Catch::EndsWith("inhibit is not a regular file"));
    CHECK(read_inhibition(state.path())->since > 0s);
  }
  SECTION("a FIFO, without waiting for a writer") {
    REQUIRE(mkfifo(state.file("inhibit").c_str(), 0600) == 0);
    CHECK_THAT(reason_of(state), Catch::StartsWith("the inhibit file is there and cannot be read: "));
    CHECK_THAT(reason_of(state), Catch::EndsWith("inhibit is not a regular file"));
    REQUIRE(write_inhibition(state.path(), "a real one"));
    CHECK(reason_of(state) == "a real one");
  }
  SECTION("a directory") {
    fs::create_directory(state.file("inhibit"));
    CHECK_THAT(reason_of(state), Catch::EndsWith("inhibit is not a regular file"));
    CHECK_FALSE(remove_inhibition(state.path()));
    CHECK_FALSE(write_inhibition(state.path(), "no"));
    CHECK(state.names() == std::vector<std::string>{"inhibit"});
  }
  SECTION("one that is far too long") {
    state.write("inhibit", std::string(100'000, 'x'));
    CHECK_THAT(reason_of(state), Catch::Contains("longer than"));
  }
}

TEST_CASE("a state directory that is none inhibits") {
  const StateDirectory state;
  std::ofstream(state.path()) << "a file";
  CHECK_THAT(reason_of(state), Catch::StartsWith("whether there is an inhibit file cannot be told: opening "));
  CHECK(read_inhibition(state.path())->since == 0s);
}

TEST_CASE("a write that fails leaves the old reason") {
  const StateDirectory state;
  REQUIRE(write_inhibition(state.path(), "first"));
  {
    const FileSizeLimit limit(3);
    CHECK_FALSE(write_inhibition(state.path(), "second"));
  }
  CHECK(reason_of(state) == "first");
  CHECK(state.names() == std::vector<std::string>{"inhibit"});
}

}  // namespace defused
