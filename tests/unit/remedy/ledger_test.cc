// SPDX-License-Identifier: Apache-2.0
// The ledger on disk: what is read is what was written, or an error that says what is wrong.
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <array>
#include <catch2/catch.hpp>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "remedy/ledger_file.h"
#include "state_directory.h"

using namespace std::chrono_literals;

namespace defused {

namespace {

namespace fs = std::filesystem;  // for a directory of our own only
using nlohmann::json;

constexpr const char* kBoot = "8cdd2b5a-0000-4000-8000-000000000001";
const Instant kLedgerNow{2h, 1'795'522'500s};

Ledger make_ledger() {
  Ledger ledger;
  ledger.entries = {
      {{40}, 9040, {4'026'532'040U}, 1h, 1'795'518'900s, Outcome::released, "it is gone", 91'500ms, false},
      {{41}, UINT64_MAX, {4'026'532'041U}, 2h, 1'795'522'500s, std::nullopt, "", Nanoseconds(0), true}};
  ledger.breaker = {BreakerCause::failed_outcomes, 1'795'522'000s, 2, "two in a row"};
  return ledger;
}

void check_same(const LedgerEntry& a, const LedgerEntry& b) {
  CHECK(a.connection == b.connection);
  CHECK(a.directory_inode == b.directory_inode);
  CHECK(a.pid_namespace == b.pid_namespace);
  CHECK(a.at_boottime == b.at_boottime);
  CHECK(a.at_wall == b.at_wall);
  CHECK(a.outcome == b.outcome);
  CHECK(a.detail == b.detail);
  CHECK(a.recovery == b.recovery);
  CHECK(a.by_hand == b.by_hand);
}

void check_same(const Ledger& a, const Ledger& b) {
  REQUIRE(a.entries.size() == b.entries.size());
  for (std::size_t i = 0; i < a.entries.size(); ++i) check_same(a.entries[i], b.entries[i]);
  CHECK(a.breaker.cause == b.breaker.cause);
  CHECK(a.breaker.since_wall == b.breaker.since_wall);
  CHECK(a.breaker.failures == b.breaker.failures);
  CHECK(a.breaker.detail == b.breaker.detail);
}

// As `head -n 1 ledger.json | crc32` would make it.
std::string with_checksum(const std::string& object) {
  const std::string line = object + "\n";
  std::array<char, 32> sum{};
  std::snprintf(sum.data(), sum.size(), "crc32 %08lx\n",
                crc32(0, reinterpret_cast<const Bytef*>(line.data()), static_cast<uInt>(line.size())));
  return line + sum.data();
}

json object_of(const Ledger& ledger) {
  const std::string text = render_ledger(ledger, kBoot);
  return json::parse(text.substr(0, text.find('\n')));
}

// What is said of the sample with one thing changed.
template <typename Change>
std::string trouble_of(Change change) {
  json object = object_of(make_ledger());
  change(object);
  const auto parsed = parse_ledger(with_checksum(object.dump()), kBoot, kLedgerNow);
  if (parsed) return "nothing";
  CHECK(parsed.error().kind == ErrorKind::malformed);
  return parsed.error().message;
}

}  // namespace

TEST_CASE("what is written is read again") {
  const auto parsed = parse_ledger(render_ledger(make_ledger(), kBoot), kBoot, kLedgerNow);
  REQUIRE(parsed);
  check_same(*parsed, make_ledger());
  for (const Outcome outcome : AllWords<Outcome>::values) {
    Ledger ledger = make_ledger();
    ledger.entries[0].outcome = outcome;
    CHECK(parse_ledger(render_ledger(ledger, kBoot), kBoot, kLedgerNow)->entries[0].outcome == outcome);
  }
  for (const BreakerCause cause : AllWords<BreakerCause>::values) {
    Ledger ledger = make_ledger();
    ledger.breaker.cause = cause;
    CHECK(parse_ledger(render_ledger(ledger, kBoot), kBoot, kLedgerNow)->breaker.cause == cause);
  }
}

TEST_CASE("the text is one object, and a checksum of its line") {
  const std::string text = render_ledger(Ledger{}, "b");
  CHECK(text ==
        with_checksum(R"({"schema":"defused.ledger/v1","boot_id":"b","breaker":{"cause":"none","since_wall_ns":)"
                      R"(0,"failures":0,"detail":""},"entries":[]})"));
  const json entry = object_of(make_ledger())["entries"][0];
  CHECK(entry == json({{"connection", 40},
                       {"directory_inode", 9040},
                       {"pid_namespace", 4'026'532'040U},
                       {"at_boottime_ns", 3'600'000'000'000},
                       {"at_wall_ns", 1'795'518'900'000'000'000},
                       {"outcome", "released"},
                       {"detail", "it is gone"},
                       {"recovery_ns", 91'500'000'000},
                       {"by_hand", false}}));
}

TEST_CASE("a change of any byte is seen") {
  const std::string good = render_ledger(make_ledger(), kBoot);
  for (std::size_t i = 0; i < good.size(); ++i) {
    std::string bad = good;
    bad[i] = static_cast<char>(bad[i] ^ 1);
    if (parse_ledger(bad, kBoot, kLedgerNow)) FAIL("byte " << i << " of " << good);
  }
  for (std::size_t length = 0; length < good.size(); ++length) {
    if (parse_ledger(good.substr(0, length), kBoot, kLedgerNow)) FAIL("cut at " << length);
  }
  CHECK_FALSE(parse_ledger(good + "\n", kBoot, kLedgerNow));
  CHECK_THAT(parse_ledger("{}\ncrc32 00000000\n", kBoot, kLedgerNow).error().message, Catch::Contains("checksum"));
  CHECK_THAT(parse_ledger("nothing", kBoot, kLedgerNow).error().message,
             Catch::Contains("expected an object, a newline"));
}

TEST_CASE("what has the right checksum and is no ledger is told by name") {
  const auto text_of = [](const std::string& object) {
    return parse_ledger(with_checksum(object), kBoot, kLedgerNow).error().message;
  };
  CHECK(text_of("x") == "the first line: expected a JSON object");
  CHECK(text_of("[]") == "the ledger: expected an object");
  CHECK(text_of("{}") == "the ledger: expected a key 'schema'");
  CHECK(trouble_of([](json&) {}) == "nothing");
  CHECK(trouble_of([](json& it) { it["schema"] = "defused.ledger/v2"; }) ==
        "the ledger: schema: expected 'defused.ledger/v1'");
  CHECK(trouble_of([](json& it) { it["entry\n"] = 1; }) == "the ledger: unknown key 'entry\\x0a'");
  CHECK(trouble_of([](json& it) { it.erase("breaker"); }) == "the ledger: expected a key 'breaker'");
  CHECK(trouble_of([](json& it) { it["breaker"] = 1; }) == "breaker: expected an object");
  CHECK(trouble_of([](json& it) { it["breaker"]["cause"] = "lost"; }) ==
        "breaker: cause: expected one of none, failed_outcomes, ledger_lost");
  CHECK(trouble_of([](json& it) { it["breaker"]["failures"] = -1; }) ==
        "breaker: failures: expected a whole number from 0 to 4294967295");
  CHECK(trouble_of([](json& it) { it["breaker"]["more"] = -1; }) == "breaker: unknown key 'more'");
  CHECK(trouble_of([](json& it) { it["breaker"]["detail"] = 1; }) == "breaker: detail: expected text");
  CHECK(trouble_of([](json& it) { it["boot_id"] = nullptr; }) == "the ledger: boot_id: expected text");
  CHECK(trouble_of([](json& it) { it["entries"] = json::object(); }) == "the ledger: entries: expected a list");
  CHECK(trouble_of([](json& it) { it["entries"] = std::vector<json>(257, it["entries"][0]); }) ==
        "the ledger: entries: expected at most 256");
  CHECK(trouble_of([](json& it) { it["entries"] = std::vector<json>(256, it["entries"][0]); }) == "nothing");
}

TEST_CASE("an entry that is wrong is told by its number and key") {
  const auto with = [](const char* key, const json& value) {
    return trouble_of([&](json& it) { it["entries"][1][key] = value; });
  };
  CHECK(with("connection", 4'294'967'296) == "entries[1]: connection: expected a whole number from 0 to 4294967295");
  CHECK(with("connection", 1.5) == "entries[1]: connection: expected a whole number from 0 to 4294967295");
  CHECK(with("directory_inode", -1) == "entries[1]: directory_inode: expected an inode number");
  CHECK(with("pid_namespace", "1") == "entries[1]: pid_namespace: expected an inode number");
  CHECK_THAT(with("at_boottime_ns", UINT64_MAX), Catch::StartsWith("entries[1]: at_boottime_ns: expected a whole"));
  CHECK_THAT(with("at_boottime_ns", INT64_MIN), Catch::StartsWith("entries[1]: at_boottime_ns: expected a whole"));
  CHECK(with("at_boottime_ns", -5) == "nothing");
  CHECK_THAT(with("at_wall_ns", -1), Catch::StartsWith("entries[1]: at_wall_ns: expected a whole number from 0 to"));
  CHECK_THAT(with("outcome", "freed"), Catch::StartsWith("entries[1]: outcome: expected one of released, "));
  CHECK_THAT(with("outcome", 1), Catch::StartsWith("entries[1]: outcome: expected one of released, "));
  CHECK(with("outcome", nullptr) == "nothing");
  CHECK(with("by_hand", 0) == "entries[1]: by_hand: expected true or false");
  CHECK_THAT(with("recovery_ns", -1), Catch::StartsWith("entries[1]: recovery_ns: expected a whole number"));
  CHECK(with("seen", 1) == "entries[1]: unknown key 'seen'");
  CHECK(trouble_of([](json& it) { it["entries"][0].erase("outcome"); }) == "entries[0]: expected a key 'outcome'");
  CHECK(trouble_of([](json& it) { it["entries"][1] = "x"; }) == "entries[1]: expected an object");
}

TEST_CASE("strings come back harmless and bounded") {
  json object = object_of(make_ledger());
  object["entries"][0]["detail"] = "a\nb\x1b[31m" + std::string(5000, 'x');
  const auto parsed = parse_ledger(with_checksum(object.dump()), kBoot, kLedgerNow);
  REQUIRE(parsed);
  CHECK_THAT(parsed->entries[0].detail, Catch::StartsWith("a\\x0ab\\x1b[31mx"));
  CHECK(parsed->entries[0].detail.size() == 1024);
}

TEST_CASE("a full ledger with long details fits, and one that is too full keeps the last") {
  Ledger ledger = make_ledger();
  LedgerEntry entry = ledger.entries[0];
  entry.detail = std::string(5000, '"');
  ledger.entries.assign(kMaxLedgerEntries + 3, entry);
  ledger.entries.back().connection = {77};
  ledger.breaker.detail = entry.detail;
  const std::string text = render_ledger(ledger, kBoot);
  CHECK(text.size() < LedgerFile::kMaxBytes);
  const auto parsed = parse_ledger(text, kBoot, kLedgerNow);
  REQUIRE(parsed);
  CHECK(parsed->entries.size() == kMaxLedgerEntries);
  CHECK(parsed->entries.back().connection == ConnectionId{77});
  CHECK_FALSE(parse_ledger(std::string(LedgerFile::kMaxBytes + 1, ' '), kBoot, kLedgerNow));
}

TEST_CASE("after a reboot only time and outcome mean anything") {
  const Instant now{10min, kLedgerNow.wall + 30min};
  const std::string text = render_ledger(make_ledger(), kBoot);
  for (const char* boot : {"another", ""}) {
    const auto parsed = parse_ledger(text, boot, now);
    REQUIRE(parsed);
    LedgerEntry expected = make_ledger().entries[0];
    expected.connection = {};
    expected.directory_inode = 0;
    expected.pid_namespace = {};
    expected.at_boottime = 10min - 90min;
    check_same(parsed->entries[0], expected);
    CHECK(parsed->breaker.cause == BreakerCause::failed_outcomes);
    CHECK(parsed->breaker.failures == 2);
  }
  // Saved in the new boot, it stays as it is.
  const auto moved = parse_ledger(text, "another", now);
  const auto again = parse_ledger(render_ledger(*moved, "another"), "another", {20min, now.wall + 3h});
  REQUIRE(again);
  CHECK(again->entries[0].at_boottime == -80min);
}

TEST_CASE("a boot that cannot be told is another one, even where the file knows none either") {
  const auto parsed = parse_ledger(render_ledger(make_ledger(), ""), "", kLedgerNow);
  REQUIRE(parsed);
  CHECK(parsed->entries[0].connection == ConnectionId{});
}

TEST_CASE("a wall clock that was set back makes an action one of now") {
  const Instant now{10min, 1000s};
  const auto parsed = parse_ledger(render_ledger(make_ledger(), kBoot), "another", now);
  REQUIRE(parsed);
  CHECK(parsed->entries[0].at_boottime == 10min);
  CHECK(parsed->entries[0].at_wall == 1'795'518'900s);
}

TEST_CASE("the file is the ledger's home") {
  const StateDirectory state;
  LedgerFile file(state.path(), kBoot);
  REQUIRE(file.load(kLedgerNow));
  CHECK(file.load(kLedgerNow)->entries.empty());
  CHECK_FALSE(fs::exists(state.path()));  // reading makes nothing
  CHECK_FALSE(file.changed());
  REQUIRE(file.save(make_ledger()));
  CHECK(state.names() == std::vector<std::string>{"ledger.json"});
  CHECK(mode_of(state.path()) == 0700);
  CHECK(mode_of(state.file("ledger.json")) == 0600);
  CHECK(state.text("ledger.json") == render_ledger(make_ledger(), kBoot));
  check_same(*LedgerFile(state.path(), kBoot).load(kLedgerNow), make_ledger());
  REQUIRE(file.save(Ledger{}));
  CHECK(file.load(kLedgerNow)->entries.empty());
}

TEST_CASE("a change by somebody else is noticed") {
  const StateDirectory state;
  LedgerFile mine(state.path(), kBoot);
  LedgerFile other(state.path(), kBoot);
  REQUIRE(mine.save(make_ledger()));
  CHECK_FALSE(mine.changed());
  CHECK(other.changed());
  REQUIRE(other.load(kLedgerNow));
  CHECK_FALSE(other.changed());
  REQUIRE(other.save(make_ledger()));
  CHECK_FALSE(other.changed());
  CHECK(mine.changed());
  REQUIRE(mine.load(kLedgerNow));
  CHECK_FALSE(mine.changed());
  fs::remove(state.file("ledger.json"));
  CHECK(mine.changed());
  REQUIRE(mine.load(kLedgerNow));
  CHECK_FALSE(mine.changed());
  state.write("ledger.json", "junk");
  CHECK(mine.changed());
  CHECK_FALSE(mine.load(kLedgerNow));
  CHECK_FALSE(mine.changed());  // the same junk need not be read again
}

TEST_CASE("what is no file of ours is not read") {
  const StateDirectory state;
  const LedgerFile file(state.path(), kBoot);
  const auto trouble = [&] {
    const auto loaded = file.load(kLedgerNow);
    REQUIRE_FALSE(loaded);
    CHECK(loaded.error().kind == ErrorKind::malformed);
    return loaded.error().message;
  };
  fs::create_directories(state.path());
  SECTION("a link, even to a good one") {
    state.write("good", render_ledger(Ledger{}, kBoot));
    fs::create_symlink("good", state.file("ledger.json"));
    CHECK_THAT(trouble(), Catch::EndsWith("ledger.json is not a regular file"));
  }
  SECTION("a FIFO, without waiting for a writer") {
    REQUIRE(mkfifo(state.file("ledger.json").c_str(), 0600) == 0);
    CHECK_THAT(trouble(), Catch::EndsWith("is not a regular file"));
  }
  SECTION("a directory") {
    fs::create_directory(state.file("ledger.json"));
    CHECK_THAT(trouble(), Catch::EndsWith("is not a regular file"));
  }
  SECTION("one that is too long") {
    state.write("ledger.json", std::string(LedgerFile::kMaxBytes + 1, ' '));
    CHECK_THAT(trouble(), Catch::EndsWith("is longer than 1048576 bytes"));
  }
  SECTION("one that is empty") {
    state.write("ledger.json", "");
    CHECK_THAT(trouble(), Catch::Contains("ledger.json: expected an object"));
  }
}

TEST_CASE("a save that fails leaves the old file whole and nothing beside it") {
  const StateDirectory state;
  LedgerFile file(state.path(), kBoot);
  REQUIRE(file.save(make_ledger()));
  const std::string before = state.text("ledger.json");
  {
    const FileSizeLimit limit(50);
    const auto saved = file.save(make_ledger());
    REQUIRE_FALSE(saved);
    CHECK(saved.error().kind == ErrorKind::io);
    CHECK_THAT(saved.error().message, Catch::Contains("ledger.json.new-") && Catch::EndsWith("File too large"));
    CHECK_FALSE(file.check());
  }
  CHECK(state.text("ledger.json") == before);
  CHECK(state.names() == std::vector<std::string>{"ledger.json"});
  CHECK_FALSE(file.changed());
  fs::remove(state.file("ledger.json"));
  fs::create_directory(state.file("ledger.json"));
  CHECK_FALSE(file.save(make_ledger()));
  CHECK(state.names() == std::vector<std::string>{"ledger.json"});
}

TEST_CASE("what killed writers left is removed, what living ones write is not") {
  const StateDirectory state;
  LedgerFile file(state.path(), kBoot);
  state.write("ledger.json.new-" + std::to_string(getpid()), "half");
  state.write("ledger.json.new-2147483647", "half");
  state.write("ledger.json.new-1", "of a living one");
  state.write("ledger.json.new-x", "of nobody");
  SECTION("by a save") { REQUIRE(file.save(make_ledger())); }
  SECTION("by a check") { REQUIRE(file.check()); }
  fs::remove(state.file("ledger.json"));
  CHECK(state.names() == std::vector<std::string>{"ledger.json.new-1", "ledger.json.new-x"});
}

TEST_CASE("a check takes real room and leaves nothing") {
  const StateDirectory state;
  LedgerFile file(state.path(), kBoot);
  REQUIRE(file.check());
  CHECK(state.names().empty());
  REQUIRE(file.save(make_ledger()));
  REQUIRE(file.check());
  CHECK(state.names() == std::vector<std::string>{"ledger.json"});
  const auto on_disk = [&](std::size_t bytes, bool with_fallocate) {
    return run_on_small_disk(state.path(), bytes, [&] {
      const auto check = [&] { return file.check() ? 0 : 1; };
      return with_fallocate ? check() : run_without_fallocate(check);
    });
  };
  const int first = on_disk(2 * LedgerFile::kMaxBytes, true);
  if (first == 77) {
    WARN("not tried, mounting is not possible here");
    return;
  }
  CHECK(first == 0);
  CHECK(on_disk(LedgerFile::kMaxBytes / 2, true) == 1);
  CHECK(on_disk(2 * LedgerFile::kMaxBytes, false) == 0);
  CHECK(on_disk(LedgerFile::kMaxBytes / 2, false) == 1);
}

TEST_CASE("a state directory that cannot be used") {
  const StateDirectory state;
  LedgerFile deep(state.path() + "/deeper", kBoot);
  CHECK(deep.load(kLedgerNow));
  CHECK(deep.check().error().kind == ErrorKind::gone);
  CHECK(deep.save(Ledger{}).error().kind == ErrorKind::gone);
  fs::create_directories(state.path());
  state.write("deeper", "a file");
  CHECK(deep.load(kLedgerNow).error().kind == ErrorKind::io);
  CHECK(deep.save(Ledger{}).error().kind == ErrorKind::io);
}

TEST_CASE("a corrupt one is set aside under its time, the newest four are kept") {
  const StateDirectory state;
  LedgerFile file(state.path(), kBoot);
  Instant now = kLedgerNow;
  for (int i = 0; i < 6; ++i, now.wall += 1s) {
    std::filesystem::remove(state.file("ledger.json"));
    state.write("ledger.json", std::to_string(i));
    CHECK_FALSE(file.load(now));
    const auto name = file.set_aside(now);
    REQUIRE(name);
    CHECK(state.text("ledger.json") == std::to_string(i));  // there is no moment without a ledger
    CHECK(*name == "ledger.json.corrupt-2026-11-24T12:15:0" + std::to_string(i) + ".000Z");
    CHECK(state.text(*name) == std::to_string(i));
    CHECK_FALSE(file.changed());
  }
  CHECK(state.names().size() == 5);
  CHECK(state.names()[1] == "ledger.json.corrupt-2026-11-24T12:15:02.000Z");
  // The clock is set back: what was just set aside is the newest all the same.
  std::filesystem::remove(state.file("ledger.json"));
  state.write("ledger.json", "last");
  const auto name = file.set_aside({1h, 1000s});
  REQUIRE(name);
  CHECK(state.text(*name) == "last");
  CHECK(state.names().size() == 5);
  REQUIRE(file.save(Ledger{}));
  CHECK(state.text(*name) == "last");
  CHECK(file.load(now)->entries.empty());
  std::filesystem::remove(state.file("ledger.json"));
  CHECK(file.set_aside(now).error().kind == ErrorKind::gone);
  std::filesystem::create_directory(state.file("ledger.json"));
  REQUIRE(file.set_aside(now));
  CHECK_FALSE(std::filesystem::exists(state.file("ledger.json")));
}

TEST_CASE("this boot has an id") { CHECK(read_boot_id().size() == 36); }

}  // namespace defused
