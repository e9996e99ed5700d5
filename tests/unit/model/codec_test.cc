// SPDX-License-Identifier: Apache-2.0
#include "model/codec.h"

#include <catch2/catch.hpp>
#include <random>

#include "sample_pass.h"

namespace defused {

namespace {

// The structures have no ==; the public report and a second encoding together show every field.
void require_same(const PassResult& a, const PassResult& b) {
  REQUIRE(encode_pass(a) == encode_pass(b));
  REQUIRE(render_report_json(a.report, ExposeSource::full) == render_report_json(b.report, ExposeSource::full));
}

}  // namespace

TEST_CASE("a pass with every field set survives the way there and back") {
  const PassResult pass = make_sample_pass();
  const auto back = decode_pass(encode_pass(pass));
  REQUIRE(back);
  require_same(pass, *back);

  SECTION("fields that the report does not show") {
    const BlockedThread& thread = back->report.findings.namespaces[0].blocked_threads[1];
    CHECK(thread.id == ThreadId{4713, UINT64_MAX});
    CHECK(thread.attribution_serves_acting);
    CHECK(thread.context_switches == 12);
    CHECK(thread.samples == 4);
    CHECK(thread.blocked_for == std::chrono::milliseconds(61500));
    CHECK(back->report.findings.connections[0].directory_inode == 1234);
    CHECK(back->report.findings.connections[0].mount_ids == std::vector<int>{77, 78});
    CHECK(back->report.kernel.fdinfo_names_connection);
    CHECK(back->report.kernel.openat2 == true);
    CHECK(back->report.kernel.default_request_timeout_seconds == 30U);
    CHECK(back->report.kernel.max_request_timeout_seconds == 20U);
    CHECK(back->report.duration == std::chrono::microseconds(12500));
  }
  SECTION("history") {
    const History& history = back->memory.history;
    REQUIRE(history.threads.size() == 2);
    const ThreadMemory& thread = history.threads.at(ThreadId{4712, 100});
    CHECK(thread.context_switches == 12);
    CHECK(thread.unchanged_since == Nanoseconds(-5));
    CHECK(thread.samples == 3);
    const NamespaceMemory& known = history.namespaces.at(NamespaceId{4026532178});
    CHECK(known.first_seen == Nanoseconds::max());
    const ToldMemory& told = back->memory.log.told.at("pid_namespace 4026532178");
    CHECK(told.trouble);
    CHECK(told.facts == pass.memory.log.told.begin()->second.facts);
    CHECK(told.counted == "hold: mode");
    CHECK(back->memory.log.left_out == pass.memory.log.left_out);
    CHECK(history.connections.at(ConnectionId{40}).directory_inode == 1234);
    CHECK(history.connections.at(ConnectionId{40}).waiting == 2);
    CHECK(history.connections.at(ConnectionId{40}).waiting_since == Nanoseconds(8));
    CHECK(history.containers.at(4700).path == "/system.slice/docker-0123abcd.scope");
    CHECK(history.containers.at(4700).ppid == 4690);
    const OpenFilesMemory& open = history.open_files.at(ProcessId{4711, 99});
    CHECK(open.connections == std::vector{OpenConnection{ConnectionId{40}, 1234}});
    CHECK(open.seen == Nanoseconds(9));
  }
  SECTION("actions") {
    CHECK(back->report.remedy.breaker_open);
    CHECK(back->report.remedy.breaker_cause == BreakerCause::failed_outcomes);
    CHECK(back->report.remedy.breaker_since == Nanoseconds(11));
    CHECK(back->report.remedy.breaker_detail == pass.report.remedy.breaker_detail);
    CHECK(back->report.remedy.failures_in_row == 2);
    CHECK(back->report.remedy.inhibited);
    CHECK(back->report.remedy.inhibited_since == Nanoseconds(12));
    CHECK(back->report.remedy.inhibited_reason == "kernel upgrade");
    CHECK(back->report.remedy.abort_budget == 1);
    CHECK(back->report.remedy.record_trouble == "no space");
    REQUIRE(back->report.actions.size() == 1);
    CHECK(back->report.actions[0].outcome == Outcome::vetoed);
    CHECK(back->report.actions[0].at == Nanoseconds(13));
    CHECK(back->report.actions[0].by_hand);
  }
  SECTION("counters") {
    const Counters& counters = back->memory.counters;
    CHECK(counters.scans == 17);
    CHECK(counters.scan_failures == pass.memory.counters.scan_failures);
    CHECK(counters.read_gaps == pass.memory.counters.read_gaps);
    CHECK(counters.decisions == pass.memory.counters.decisions);
    CHECK(counters.aborts == pass.memory.counters.aborts);
    CHECK(counters.scan_duration.bounds == std::vector<double>{0.01, 0.1, 1});
    CHECK(counters.scan_duration.counts == std::vector<std::uint64_t>{1, 2, 3, 4});
    CHECK(counters.scan_duration.sum == 1.25);
    CHECK(counters.recovery_duration.sum == 61.1);
  }
}

TEST_CASE("an empty pass and one with bytes that are not UTF-8 survive too") {
  const auto empty = decode_pass(encode_pass(PassResult{}));
  REQUIRE(empty);
  require_same(PassResult{}, *empty);

  PassResult raw = make_sample_pass();
  raw.report.host = std::string("\xff\x00\x1b\xc3", 4);
  const auto back = decode_pass(encode_pass(raw));
  REQUIRE(back);
  CHECK(back->report.host == raw.report.host);
}

TEST_CASE("settings with every field set survive the way there and back") {
  const auto back = decode_settings(encode_settings(make_sample_settings()));
  REQUIRE(back);
  CHECK(encode_settings(*back) == encode_settings(make_sample_settings()));
  CHECK(back->interval == std::chrono::seconds(1));
  CHECK(back->policy.mode == Mode::enforce);
  CHECK_FALSE(back->policy.require_proven);
  CHECK_FALSE(back->policy.require_host_pid_namespace);
  CHECK(back->policy.allow.fstypes == std::vector<std::string>{"fuse.lab"});
  CHECK(back->policy.deny.fstypes.empty());
  CHECK(back->policy.max_aborts_window == std::chrono::hours(2));
  CHECK(back->web.listen_addresses == std::vector<std::string>{":1", "[::1]:2"});
  CHECK(back->web.config_file == "/w");
  CHECK(back->textfile.directory == "/t");
  CHECK(back->log.format == LogFormat::json);
  CHECK(back->log.level == LogLevel::error);
  CHECK(back->expose_source == ExposeSource::full);
  CHECK(back->front_user == "nobody");
  CHECK(encode_settings(*back) != encode_settings(Settings{}));
}

TEST_CASE("a web configuration with every field set survives the way there and back") {
  CheckedWebConfig checked;
  checked.config.tls =
      TlsSettings{"/c", "/k", "/ca", ClientAuth::require_verified, {"a", "b"}, TlsVersion::tls10, TlsVersion::tls11};
  checked.config.users = {{"ann", "$2y$10$hash"}, {"bob", "$2b$11$hash"}};
  checked.config.headers = {{"X-Frame-Options", "deny"}};
  checked.material = TlsMaterial{"certificate", std::string("k\0y\xff", 4), "ca"};
  const auto back = decode_web_config(encode_web_config(checked));
  REQUIRE(back);
  CHECK(*back == checked);
  CHECK(decode_web_config(encode_web_config(CheckedWebConfig{})).value() == CheckedWebConfig{});
  CHECK_FALSE(decode_web_config(encode_settings(Settings{})));
  checked.config.tls->client_auth = static_cast<ClientAuth>(5);
  CHECK_FALSE(decode_web_config(encode_web_config(checked)));
}

TEST_CASE("what is no payload is malformed, never an exception") {
  const std::vector<std::uint8_t> good = encode_pass(make_sample_pass());
  SECTION("nothing, noise and the other payload") {
    for (const std::vector<std::uint8_t>& bad : {std::vector<std::uint8_t>{},
                                                 {0xff},
                                                 {0x80},
                                                 {0xf6},
                                                 {0xa0},
                                                 {0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
                                                 encode_settings(Settings{})}) {
      const auto result = decode_pass(bad);
      REQUIRE_FALSE(result);
      CHECK(result.error().kind == ErrorKind::malformed);
      CHECK(result.error().message.find("a pass of ") == 0);
    }
  }
  SECTION("too deep and too large") {
    CHECK_FALSE(decode_pass(std::vector<std::uint8_t>(1U << 20U, 0x81)));
    CHECK_FALSE(decode_pass(std::vector<std::uint8_t>(1U << 20U, 0x9f)));
    CHECK_FALSE(decode_pass(std::vector<std::uint8_t>((16U << 20U) + 1, 0x00)));
  }
  SECTION("cut at every byte") {
    for (std::size_t size = 0; size < good.size(); ++size) {
      const auto result = decode_pass({good.begin(), good.begin() + static_cast<std::ptrdiff_t>(size)});
      REQUIRE_FALSE(result);
      REQUIRE(result.error().kind == ErrorKind::malformed);
    }
  }
  SECTION("a byte too many") {
    auto longer = good;
    longer.push_back(0);
    CHECK_FALSE(decode_pass(longer));
  }
}

TEST_CASE("bytes changed at random decode to a pass that can be encoded and shown, or are malformed") {
  const std::vector<std::uint8_t> good = encode_pass(make_sample_pass());
  std::mt19937 random(20260701);  // NOLINT: the same bytes in every run
  for (int round = 0; round < 2000; ++round) {
    auto bytes = good;
    const std::size_t changes = 1 + random() % 4;
    for (std::size_t i = 0; i < changes; ++i) bytes[random() % bytes.size()] = static_cast<std::uint8_t>(random());
    const auto result = decode_pass(bytes);
    if (!result) {
      REQUIRE(result.error().kind == ErrorKind::malformed);
      continue;
    }
    REQUIRE(decode_pass(encode_pass(*result)));
    REQUIRE_FALSE(render_report_json(result->report, ExposeSource::redacted).empty());
  }
}

TEST_CASE("an enum number that has no word is malformed") {
  Settings settings;
  settings.log.level = static_cast<LogLevel>(4);
  CHECK_FALSE(decode_settings(encode_settings(settings)));
  PassResult pass;
  pass.report.mode = static_cast<Mode>(3);
  CHECK_FALSE(decode_pass(encode_pass(pass)));
  pass.report.mode = static_cast<Mode>(-1);
  CHECK_FALSE(decode_pass(encode_pass(pass)));
  pass.report.mode = Mode::enforce;
  CHECK(decode_pass(encode_pass(pass)));
}

}  // namespace defused
