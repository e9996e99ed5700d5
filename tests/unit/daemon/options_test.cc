// SPDX-License-Identifier: Apache-2.0
#include "daemon/options.h"

#include <catch2/catch.hpp>

using namespace defused;
using namespace std::chrono_literals;

namespace {

std::variant<Options, int> parse(std::vector<const char*> words) {
  words.insert(words.begin(), "defused");
  return parse_options(static_cast<int>(words.size()), words.data());
}

template <typename T>
T options_of(const std::vector<const char*>& words) {
  const auto parsed = parse(words);
  REQUIRE(std::holds_alternative<Options>(parsed));
  REQUIRE(std::holds_alternative<T>(std::get<Options>(parsed)));
  return std::get<T>(std::get<Options>(parsed));
}

}  // namespace

TEST_CASE("run") {
  const auto run =
      options_of<RunOptions>({"run", "--config", "/c", "--web.listen-address", "a:1", "--web.listen-address", "b:2"});
  CHECK(run.config == "/c");
  CHECK(run.listen_addresses == std::vector<std::string>{"a:1", "b:2"});
  CHECK_FALSE(options_of<RunOptions>({"run"}).config);
}

TEST_CASE("scan") {
  const auto scan = options_of<ScanOptions>({"scan", "--json", "--samples", "5", "--every", "1s"});
  CHECK(scan.json);
  CHECK(scan.samples == 5);
  CHECK(scan.every == 1s);
  CHECK(options_of<ScanOptions>({"scan"}).samples == 3);
  CHECK(options_of<ScanOptions>({"scan"}).every == 250ms);
}

TEST_CASE("what an operator does") {
  const auto abort = options_of<AbortOptions>({"abort", "40", "--yes", "--override", "ticket 1", "--config", "/c"});
  CHECK(abort.connection == "40");
  CHECK(abort.yes);
  CHECK(abort.override_reason == "ticket 1");
  CHECK(abort.look.config == "/c");
  CHECK(abort.look.samples == 3);
  CHECK_FALSE(options_of<AbortOptions>({"abort", "40"}).yes);
  CHECK_FALSE(options_of<AbortOptions>({"abort", "40"}).override_reason);
  CHECK(options_of<PauseOptions>({"pause", "kernel upgrade"}).reason == "kernel upgrade");
  CHECK_FALSE(options_of<ResumeOptions>({"resume"}).reset_breaker);
  CHECK(options_of<ResumeOptions>({"resume", "--reset-breaker"}).reset_breaker);
  const auto prober = options_of<InternalProberOptions>(
      {"internal-prober", "--keep-records", "--abort=40", "--uid=1000", "--override=a reason"});
  CHECK(prober.keep_records);
  CHECK(prober.abort == 40U);
  CHECK(prober.uid == 1000);
  CHECK(prober.override_reason == "a reason");
}

TEST_CASE("what keeps and checks") {
  CHECK(options_of<CheckOptions>({"check", "--critical-after", "5m"}).critical_after == 5min);
  CHECK(options_of<CheckOptions>({"check", "--probe"}).alone);
  CHECK(options_of<CaptureOptions>({"capture", "-o", "x.tar", "--every", "1s"}).output == "x.tar");
  CHECK(options_of<CaptureOptions>({"capture", "--every", "1s"}).look.every == 1s);
  CHECK(options_of<CaptureOptions>({"capture", "--output=-"}).output == "-");
  CHECK(options_of<ReplayOptions>({"replay", "x.tar"}).file == "x.tar");
  CHECK_FALSE(options_of<ReplayOptions>({"replay", "x.tar"}).explain);
  CHECK(options_of<ReplayOptions>({"replay", "x.tar", "--explain", "all"}).explain == "");
  CHECK(options_of<ReplayOptions>({"replay", "x.tar", "--explain", "40"}).explain == "40");
  CHECK(options_of<ConfigOptions>({"config", "check"}).what == ConfigOptions::What::check);
  CHECK(options_of<ConfigOptions>({"config", "check", "x"}).file == "x");
  CHECK(options_of<ConfigOptions>({"config", "schema"}).what == ConfigOptions::What::schema);
  CHECK(options_of<ConfigOptions>({"config", "defaults"}).what == ConfigOptions::What::defaults);
  CHECK(options_of<VersionOptions>({"version", "--json"}).json);
  CHECK_FALSE(options_of<VersionOptions>({"--version"}).json);
}

TEST_CASE("what is wrong ends with 2") {
  for (const std::vector<const char*>& words : std::vector<std::vector<const char*>>{
           {}, {"rnu"}, {"run", "x"}, {"scan", "--samples", "1"}, {"scan", "--every", "2h"}, {"scan", "--nothing"}}) {
    const auto parsed = parse(words);
    REQUIRE(std::holds_alternative<int>(parsed));
    CHECK(std::get<int>(parsed) == 2);
  }
}
