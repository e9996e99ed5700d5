// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>
#include <string>

#include "parsing.h"

namespace defused {

TEST_CASE("an empty object is the defaults") {
  require_same(parse("{}"), Settings{});
  require_same(parse(R"(// nothing
    { /* "mode": "enforce" */ "detect": {}, "remedy": { "allow": {} } })"),
               Settings{});
}

TEST_CASE("every key reaches its setting") {
  const Settings settings = parse(R"({
    "mode": "enforce", "interval": "1s", "pass_deadline": "1m30s", "max_lost_probers": 3, "expose_source": "full",
    "state_directory": "/srv/state", "runtime_directory": "/srv/run", "front_user": "nobody",
    "detect": { "stuck_after": "2s" },
    "remedy": { "min_stuck": "2s", "min_samples": 2, "require_proven": false, "require_host_pid_namespace": false,
                "allow": { "fstypes": ["fuse.lab*"], "sources": ["a:*"], "mount_points": ["/b"],
                           "container_ids": ["c*"], "pod_uids": ["d"], "cgroups": ["/e/*", "/E"] },
                "deny": { "fstypes": [], "sources": ["f"], "mount_points": ["/g"],
                          "container_ids": ["h"], "pod_uids": ["i"], "cgroups": ["/j"] },
                "cooldown": "0s", "max_aborts": 5, "max_aborts_window": "2h", "breaker_failures": 7, "watch": "3s",
                "before_hook": ["/k", "l", "l"], "after_hook": ["/m"], "hook_timeout": "4s",
                "evidence_bundles": 8, "evidence_bytes": "9MiB" },
    "audit": { "max_bytes": "10MiB", "max_files": 11 },
    "web": { "listen_addresses": [":0", "[::1]:9"], "telemetry_path": "/m" },
    "log": { "format": "json", "level": "debug" } })");
  Settings wanted;
  wanted.interval = 1s;
  wanted.pass_deadline = 90s;
  wanted.max_lost_probers = 3;
  wanted.expose_source = ExposeSource::full;
  wanted.state_directory = "/srv/state";
  wanted.runtime_directory = "/srv/run";
  wanted.front_user = "nobody";
  wanted.detect.stuck_after = 2s;
  wanted.policy.mode = Mode::enforce;
  wanted.policy.min_stuck = 2s;
  wanted.policy.min_samples = 2;
  wanted.policy.require_proven = false;
  wanted.policy.require_host_pid_namespace = false;
  wanted.policy.allow = {{"fuse.lab*"}, {"a:*"}, {"/b"}, {"c*"}, {"d"}, {"/e/*", "/E"}};
  wanted.policy.deny = {{}, {"f"}, {"/g"}, {"h"}, {"i"}, {"/j"}};
  wanted.policy.cooldown = 0s;
  wanted.policy.max_aborts = 5;
  wanted.policy.max_aborts_window = 2h;
  wanted.policy.breaker_failures = 7;
  wanted.remedy = {3s, {"/k", "l", "l"}, {"/m"}, 4s, 8, 9U << 20U};
  wanted.audit = {10U << 20U, 11};
  wanted.web.listen_addresses = {":0", "[::1]:9"};
  wanted.web.telemetry_path = "/m";
  wanted.log.format = LogFormat::json;
  wanted.log.level = LogLevel::debug;
  require_same(settings, wanted);
}

TEST_CASE("an unknown key names the nearest known one") {
  CHECK(error_of(R"({"detect": {"stuck_aftr": "15s"}})") ==
        R"(FILE: detect.stuck_aftr: unknown key; did you mean "detect.stuck_after"?)");
  CHECK(error_of(R"({"intervall": "5s"})") == R"(FILE: intervall: unknown key; did you mean "interval"?)");
  CHECK(error_of(R"({"remdy": {}})") == R"(FILE: remdy: unknown key; did you mean "remedy"?)");
  CHECK(error_of(R"({"remedy": {"alow": {}}})") == R"(FILE: remedy.alow: unknown key; did you mean "remedy.allow"?)");
  CHECK(error_of(R"({"min_stuck": "5s"})") == R"(FILE: min_stuck: unknown key; did you mean "remedy.min_stuck"?)");
  CHECK(error_of(R"({"colour": "red"})") == "FILE: colour: unknown key");
  CHECK(error_of(R"({"": 1})") == "FILE: : unknown key");
  CHECK(error_of(R"({"detect.stuck_after": "5s"})") ==
        "FILE: detect.stuck_after: unknown key; a dot is written as an object within an object");
  CHECK(error_of(R"({"a\u001b[31m": 1})") == "FILE: a\\x1b[31m: unknown key");
  CHECK(error_of("{\"" + std::string(500000, 'a') + "\": 1}").size() < 120);
}

TEST_CASE("a key given twice is refused") {
  CHECK(error_of(R"({"interval": "5s", "interval": "5s"})") == "FILE: interval: given twice");
  CHECK(error_of(R"({"log": {"level": "info", "level": "debug"}})") == "FILE: log.level: given twice");
  CHECK(error_of(R"({"log": {}, "web": {}, "log": {}})") == "FILE: log: given twice");
}

TEST_CASE("a value of the wrong type or out of range says what was expected") {
  const std::string duration = R"(expected a duration such as "5s" between 100ms and 10m, got )";
  CHECK(error_of(R"({"interval": 5})") == "FILE: interval: " + duration + "5");
  CHECK(error_of(R"({"interval": -5})") == "FILE: interval: " + duration + "-5");
  CHECK(error_of(R"({"interval": 2.50})") == "FILE: interval: " + duration + "2.50");
  CHECK(error_of(R"({"interval": null})") == "FILE: interval: " + duration + "null");
  CHECK(error_of(R"({"interval": {}})") == "FILE: interval: " + duration + "an object");
  CHECK(error_of(R"({"interval": ["5s"]})") == "FILE: interval: " + duration + "a list");
  for (const char* text : {"5", "99ms", "10m1ns", "5 s", "-5s", "1.5s", "", "5S", "9223372036854775807h", "\\u0000"}) {
    CAPTURE(text);
    CHECK(error_of(R"({"interval": ")" + std::string(text) + "\"}").find("FILE: interval: " + duration) == 0);
  }
  CHECK(parse(R"({"interval": "100ms"})").interval == 100ms);
  CHECK(parse(R"({"interval": "10m"})").interval == 10min);

  CHECK(error_of(R"({"max_lost_probers": 0})") ==
        "FILE: max_lost_probers: expected a whole number between 1 and 100, got 0");
  CHECK(error_of(R"({"max_lost_probers": 4294967304})").find("got 4294967304") != std::string::npos);
  CHECK(error_of(R"({"max_lost_probers": 18446744073709551616})").find("got 18446744073709551616") !=
        std::string::npos);
  CHECK(error_of(R"({"max_lost_probers": "8"})").find("got \"8\"") != std::string::npos);
  CHECK(error_of(R"({"remedy": {"require_proven": "yes"}})") ==
        R"(FILE: remedy.require_proven: expected true or false, got "yes")");
  CHECK(error_of(R"({"mode": "enforcing"})") ==
        R"(FILE: mode: expected one of "observe", "dry_run", "enforce", got "enforcing")");
  CHECK(error_of(R"({"log": {"level": 3}})") ==
        R"(FILE: log.level: expected one of "debug", "info", "warning", "error", got 3)");
  CHECK(error_of(R"({"detect": "5s"})") == R"(FILE: detect: expected an object, got "5s")");
  CHECK(error_of(R"({"detect": []})") == "FILE: detect: expected an object, got a list");
  CHECK(error_of(R"({"mode": "\u001b\u2028)" + std::string(1000, 'x') + "\"}").size() < 200);
}

TEST_CASE("lists hold texts of their kind, each once") {
  const auto allow = [](const std::string& list) { return R"({"remedy": {"allow": {"fstypes": )" + list + "}}}"; };
  CHECK(parse(allow(R"(["fuse.*", "fuse.a?c"])")).policy.allow.fstypes ==
        std::vector<std::string>{"fuse.*", "fuse.a?c"});
  CHECK(error_of(allow("\"fuse\"")) ==
        R"(FILE: remedy.allow.fstypes: expected a list of 0 to 100 different items, each a file-system type such as )"
        R"("fuse.s3fs" or a pattern such as "fuse.*", got "fuse")");
  for (const char* bad : {R"(["fuse", "fuse"])", "[1]", "[null]", "[[]]", R"([["fuse"]])", "[{}]", R"(["with space"])",
                          R"([""])", R"(["fu\u0000se"])", "{}", "true"}) {
    CAPTURE(bad);
    CHECK(error_of(allow(bad)).find("FILE: remedy.allow.fstypes: expected a list") == 0);
  }
  std::string many = "[\"t0\"";
  for (int i = 1; i <= 100; ++i) many += ", \"t" + std::to_string(i) + "\"";
  CHECK(error_of(allow(many + "]")).find("got a list of 101") != std::string::npos);
  CHECK(error_of(R"({"web": {"listen_addresses": []}})").find("got a list of 0") != std::string::npos);
}

TEST_CASE("listen addresses are HOST:PORT, [IPv6]:PORT or :PORT") {
  const auto listen = [](const std::string& address) {
    return R"({"web": {"listen_addresses": [")" + address + "\"]}}";
  };
  for (const char* good : {"127.0.0.1:10073", ":10073", ":0", "localhost:65535", "node-1.example.org:80", "[::1]:80",
                           "[::]:0", "[fe80::1%eth0]:1", "[::ffff:10.0.0.1]:9"}) {
    CAPTURE(good);
    CHECK(parse(listen(good)).web.listen_addresses == std::vector<std::string>{good});
  }
  for (const char* bad : {"",
                          ":",
                          "10073",
                          "localhost",
                          "localhost:",
                          "localhost:http",
                          ":65536",
                          ":-1",
                          ":+1",
                          ": 1",
                          ":000001",
                          "::1:80",
                          "[::1]",
                          "[::1:80",
                          "::1]:80",
                          "[]:80",
                          "[127.0.0.1]:80",
                          "[::g]:80",
                          "300.1.1.1:80",
                          "1.2.3:80",
                          "a b:80",
                          "a/b:80",
                          "[::1%]:80x",
                          "-a:1",
                          "a\\nb:1",
                          "http://localhost:80"}) {
    CAPTURE(bad);
    CHECK(error_of(listen(bad))
              .find("FILE: web.listen_addresses: expected a list of 1 to 16 different items, each "
                    "HOST:PORT, [IPv6]:PORT or :PORT with a port between 0 and 65535, got \"") == 0);
  }
}

TEST_CASE("paths and accounts") {
  const auto path = [](const std::string& text) { return R"({"web": {"telemetry_path": ")" + text + "\"}}"; };
  for (const char* good : {"/metrics", "/a/b", "/apis", "/-x", "/m.txt"}) CHECK_NOTHROW(parse(path(good)));
  for (const char* bad : {"", "/", "metrics", "/-/healthy", "/-/ready", "/-", "/api", "/api/v1/report", "//", "/a//b",
                          "/a b", "/a?b", "/<script>", "/..", "/a/./b"}) {
    CAPTURE(bad);
    CHECK(error_of(path(bad)).find("FILE: web.telemetry_path: expected a path such as \"/metrics\"") == 0);
  }
  for (const char* bad : {"", "/", "var/lib", "./x", "/var/../etc", "/a\\nb", "/\\u0000"}) {
    CAPTURE(bad);
    CHECK(error_of(R"({"state_directory": ")" + std::string(bad) + "\"}").find("expected an absolute path") !=
          std::string::npos);
  }
  CHECK(error_of("{\"state_directory\": \"/" + std::string(300, 'a') + "\"}").find("expected an absolute path") !=
        std::string::npos);
  for (const char* bad : {"", "root", "0", "1000", "-x", "a b", "a:b"}) {
    CAPTURE(bad);
    CHECK(error_of(R"({"front_user": ")" + std::string(bad) + "\"}").find("expected the name of an account") !=
          std::string::npos);
  }
}

TEST_CASE("values that contradict each other are refused") {
  CHECK(error_of(R"({"detect": {"stuck_after": "2m"}})") ==
        "FILE: remedy.min_stuck: 1m is less than the 2m of detect.stuck_after");
  CHECK(parse(R"({"detect": {"stuck_after": "2m"}, "remedy": {"min_stuck": "2m"}})").detect.stuck_after == 2min);
}

TEST_CASE("what is not JSON is refused with line and column") {
  CHECK(error_of("{\n  \"mode\": \"observe\",\n}")
            .find("FILE: line 3, column 1: syntax error while parsing object key") == 0);
  CHECK(error_of("{\"mode\" \"observe\"}").find("FILE: line 1, column 17: syntax error") == 0);
  CHECK(error_of("").find("FILE: line 1, column 1: ") == 0);
  CHECK(error_of("{} {}").find("FILE: line 1, column 4: ") == 0);
  CHECK(error_of("{ /* open").find("FILE: line 1, column ") == 0);
  CHECK(error_of("{\"mode\": \"\xff\"}").find("FILE: line 1, column 11: ") == 0);
  CHECK(error_of("{\"interval\": 1e999}").find("FILE: ") == 0);
  CHECK(error_of(std::string("{\"mode\": \"a\x00\"}", 13)).find("FILE: line 1, column ") == 0);
  CHECK(error_of("[]") == "FILE: expected an object, got a list");
  CHECK(error_of("5") == "FILE: expected an object, got 5");
  CHECK(error_of("null") == "FILE: expected an object, got null");
}

TEST_CASE("what is too large or too deep is refused at once") {
  CHECK(error_of(std::string((1U << 20U) + 1, ' ')) == "FILE: larger than 1048576 bytes");
  CHECK(error_of(std::string(1U << 20U, '[')) == "FILE: expected an object, got a list");
  std::string deep;
  while (deep.size() < 1000000) deep += R"({"detect":)";
  CHECK(error_of(deep).find("FILE: detect.detect: unknown key") == 0);
  CHECK(error_of(R"({"web": {"listen_addresses": )" + std::string(500000, '[')).find("got a list") !=
        std::string::npos);
}

TEST_CASE("any cut and any changed byte of the shipped text gives settings or one sentence") {
  const std::string good = render_default_settings();
  for (std::size_t size = 0; size < good.size(); size += 7) {
    const auto cut = parse_settings(std::string_view(good).substr(0, size), "F");
    if (!cut) REQUIRE(cut.error().message.find("F: ") == 0);
  }
  for (std::size_t at = 0; at < good.size(); at += 5) {
    for (const char byte : {'\0', '"', '{', '9', '\xff'}) {
      std::string changed = good;
      changed[at] = byte;
      const auto settings = parse_settings(changed, "F");
      if (!settings) REQUIRE(settings.error().message.find("F: ") == 0);
    }
  }
}

TEST_CASE("the settings that a report rests on come back, and nothing of this host is among them") {
  Settings settings;
  settings.policy.mode = Mode::enforce;
  settings.detect.stuck_after = std::chrono::seconds(7);
  settings.policy.min_stuck = std::chrono::seconds(70);
  settings.policy.allow.sources = {"bucket-*"};
  settings.policy.deny.fstypes.clear();
  settings.policy.breaker_failures = 9;
  settings.expose_source = ExposeSource::full;
  settings.remedy.before_hook = {"/secret/hook"};
  settings.state_directory = "/secret/state";
  settings.web.listen_addresses = {"10.0.0.1:1"};
  const std::string text = render_report_settings(settings);
  CHECK(text.find("secret") == std::string::npos);
  CHECK(text.find("10.0.0.1") == std::string::npos);
  const auto back = parse_settings(text, "F");
  REQUIRE(back);
  CHECK(render_report_settings(*back) == text);
  CHECK(back->policy.mode == Mode::enforce);
  CHECK(back->policy.allow.sources == std::vector<std::string>{"bucket-*"});
  CHECK(back->policy.deny.fstypes.empty());
  CHECK(back->remedy.before_hook.empty());
  CHECK(render_report_settings(Settings{}) != text);
}

}  // namespace defused
