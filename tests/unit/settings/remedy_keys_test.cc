// SPDX-License-Identifier: Apache-2.0
// What the keys of the remedy and the audit log take, and how they refuse the rest.
#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "parsing.h"

namespace defused {

namespace {

std::string remedy(const std::string& key, const std::string& value) {
  return R"({"remedy": {")" + key + "\": " + value + "}}";
}

std::string quoted(const std::string& text) { return '"' + text + '"'; }

struct Selector {
  std::string list;
  std::string what;  // each item is
};
const std::vector<Selector> kSelectors = {
    {"sources", R"(a mount source such as "s3://data" or a pattern such as "s3://*")"},
    {"mount_points", R"(a mount point such as "/data" or a pattern such as "/data/*")"},
    {"container_ids", R"(a full container id or a pattern such as "3bd9ede1*")"},
    {"pod_uids", "a pod UID with dashes or a pattern"},
    {"cgroups", R"(the path of a control group or a pattern such as "/kubepods.slice/*")"},
};

std::vector<std::string> list_of(const Selectors& selectors, const std::string& name) {
  if (name == "sources") return selectors.sources;
  if (name == "mount_points") return selectors.mount_points;
  if (name == "container_ids") return selectors.container_ids;
  if (name == "pod_uids") return selectors.pod_uids;
  REQUIRE(name == "cgroups");
  return selectors.cgroups;
}

}  // namespace

TEST_CASE("selectors take patterns of printable text") {
  for (const char* side : {"allow", "deny"}) {
    for (const Selector& selector : kSelectors) {
      CAPTURE(side, selector.list);
      const auto with = [&](const std::string& list) {
        return remedy(side, "{" + quoted(selector.list) + ": " + list + "}");
      };
      const auto got = [&](const std::string& list) {
        const Settings settings = parse(with(list));
        return list_of(std::string(side) == "allow" ? settings.policy.allow : settings.policy.deny, selector.list);
      };
      CHECK(got("[]").empty());
      CHECK(got(R"(["*", "/a b/?/\u00e9\\x0a"])") == std::vector<std::string>{"*", "/a b/?/\xc3\xa9\\x0a"});
      CHECK(got("[" + quoted(std::string(512, 'a')) + "]") == std::vector<std::string>{std::string(512, 'a')});
      const std::string expected = "FILE: remedy." + std::string(side) + "." + selector.list +
                                   ": expected a list of 0 to 100 different items, each " + selector.what + ", got ";
      CHECK(error_of(with("\"a\"")) == expected + "\"a\"");
      CHECK(error_of(with("{}")) == expected + "an object");
      CHECK(error_of(with("[1]")) == expected + "1 in it");
      CHECK(error_of(with("[\"\"]")) == expected + "\"\" in it");
      CHECK(error_of(with(R"(["a\nb"])")) == expected + "\"a\\x0ab\" in it");
      CHECK(error_of(with(R"(["a\u0000"])")).find(expected) == 0);
      CHECK(error_of(with(R"(["\u009b1m"])")).find(expected) == 0);
      CHECK(error_of(with("[" + quoted(std::string(513, 'a')) + "]")).find(expected) == 0);
      CHECK(error_of(with(R"(["a", "a"])")) == expected + "a list of 2");
    }
  }
}

TEST_CASE("hooks are commands: a program by its absolute path and any arguments") {
  for (const char* key : {"before_hook", "after_hook"}) {
    CAPTURE(key);
    const auto got = [&](const std::string& list) {
      const Settings settings = parse(remedy(key, list));
      return std::string(key) == "before_hook" ? settings.remedy.before_hook : settings.remedy.after_hook;
    };
    CHECK(got("[]").empty());
    CHECK(got(R"(["/usr/bin/logger", "-t", "", "a b; $(c) \u00fc", "-t"])") ==
          std::vector<std::string>{"/usr/bin/logger", "-t", "", "a b; $(c) \xc3\xbc", "-t"});
    std::string many = R"(["/p")";
    for (int i = 1; i < 64; ++i) many += ", \"a\"";
    CHECK(got(many + "]").size() == 64);
    CHECK(got("[\"/p\", " + quoted(std::string(4096, 'a')) + "]")[1].size() == 4096);

    const std::string expected = "FILE: remedy." + std::string(key) +
                                 ": expected a list of a program by its absolute path, without \"..\" and up to 63 "
                                 "arguments, each a text of at most 4096 bytes without control characters; an empty "
                                 "list is none, got ";
    CHECK(error_of(remedy(key, "\"/bin/true\"")) == expected + "\"/bin/true\"");
    CHECK(error_of(remedy(key, "null")) == expected + "null");
    CHECK(error_of(remedy(key, "[[\"/bin/true\"]]")) == expected + "a list");
    CHECK(error_of(remedy(key, R"(["/p", 5])")) == expected + "5 in it");
    for (const char* bad : {"", "true", "./p", "../p", "/a/../p", "/p/..", "/", "/a/", "/a\\u0000b", "/a\\nb"}) {
      CAPTURE(bad);
      CHECK(error_of(remedy(key, "[" + quoted(bad) + "]")).find(expected) == 0);
    }
    for (const char* bad : {"a\\u0000", "a\\nb", "\\u001b", "\\u007f"}) {
      CAPTURE(bad);
      CHECK(error_of(remedy(key, "[\"/p\", " + quoted(bad) + "]")).find(expected) == 0);
    }
    CHECK(error_of(remedy(key, "[\"/p\", " + quoted(std::string(4097, 'a')) + "]")).find(expected) == 0);
    CHECK(error_of(remedy(key, many + ", \"a\"]")) == expected + "a list of 65");
  }
}

TEST_CASE("counts, times and sizes of the remedy have ranges") {
  CHECK(parse(remedy("breaker_failures", "1")).policy.breaker_failures == 1);
  CHECK(parse(remedy("breaker_failures", "100")).policy.breaker_failures == 100);
  CHECK(error_of(remedy("breaker_failures", "0")) ==
        "FILE: remedy.breaker_failures: expected a whole number between 1 and 100, got 0");
  CHECK(error_of(remedy("breaker_failures", "101")).find("got 101") != std::string::npos);
  CHECK(error_of(remedy("breaker_failures", "\"2\"")).find("got \"2\"") != std::string::npos);

  CHECK(parse(remedy("hook_timeout", "\"100ms\"")).remedy.hook_timeout == 100ms);
  CHECK(parse(remedy("hook_timeout", "\"5m\"")).remedy.hook_timeout == 5min);
  CHECK(error_of(remedy("hook_timeout", "\"99ms\"")) ==
        "FILE: remedy.hook_timeout: expected a duration such as \"5s\" between 100ms and 5m, got \"99ms\"");
  CHECK(error_of(remedy("hook_timeout", "\"5m1ns\"")).find("got \"5m1ns\"") != std::string::npos);
  CHECK(error_of(remedy("hook_timeout", "10")).find("got 10") != std::string::npos);

  CHECK(parse(remedy("evidence_bundles", "0")).remedy.evidence_bundles == 0);
  CHECK(parse(remedy("evidence_bundles", "1000")).remedy.evidence_bundles == 1000);
  CHECK(error_of(remedy("evidence_bundles", "1001")) ==
        "FILE: remedy.evidence_bundles: expected a whole number between 0 and 1000, got 1001");
  CHECK(error_of(remedy("evidence_bundles", "true")).find("got true") != std::string::npos);

  CHECK(parse(remedy("evidence_bytes", "\"1MiB\"")).remedy.evidence_bytes == 1U << 20U);
  CHECK(parse(remedy("evidence_bytes", "\"10GiB\"")).remedy.evidence_bytes == 10ULL << 30U);
  const std::string expected = "FILE: remedy.evidence_bytes: expected a size such as \"64MiB\" between 1MiB and 10GiB";
  for (const char* bad : {"\"1023KiB\"", "\"10241MiB\"", "67108864", "\"64MB\"", "\"64\"", "[]", "null"}) {
    CAPTURE(bad);
    CHECK(error_of(remedy("evidence_bytes", bad)).find(expected + ", got ") == 0);
  }
}

TEST_CASE("the audit log has a size and a number") {
  const auto audit = [](const std::string& key, const std::string& value) {
    return R"({"audit": {")" + key + "\": " + value + "}}";
  };
  CHECK(parse(audit("max_bytes", "\"1MiB\"")).audit.max_bytes == 1U << 20U);
  CHECK(parse(audit("max_bytes", "\"1GiB\"")).audit.max_bytes == 1U << 30U);
  CHECK(error_of(audit("max_bytes", "\"1025MiB\"")) ==
        "FILE: audit.max_bytes: expected a size such as \"64MiB\" between 1MiB and 1GiB, got \"1025MiB\"");
  CHECK(error_of(audit("max_bytes", "\"1048575B\"")).find("got \"1048575B\"") != std::string::npos);
  CHECK(error_of(audit("max_bytes", "16777216")).find("got 16777216") != std::string::npos);
  CHECK(parse(audit("max_files", "0")).audit.max_files == 0);
  CHECK(parse(audit("max_files", "100")).audit.max_files == 100);
  CHECK(error_of(audit("max_files", "101")) ==
        "FILE: audit.max_files: expected a whole number between 0 and 100, got 101");
  CHECK(error_of(audit("max_files", "\"4\"")).find("got \"4\"") != std::string::npos);
}

TEST_CASE("a misspelt key of the remedy names the one that was meant") {
  const std::vector<std::pair<std::string, std::string>> misspelt = {
      {R"({"remedy": {"allow": {"source": []}}})", "remedy.allow.sources"},
      {R"({"remedy": {"deny": {"mountpoints": []}}})", "remedy.deny.mount_points"},
      {R"({"remedy": {"allow": {"container_id": []}}})", "remedy.allow.container_ids"},
      {R"({"remedy": {"deny": {"pod_uid": []}}})", "remedy.deny.pod_uids"},
      {R"({"remedy": {"allow": {"cgroup": []}}})", "remedy.allow.cgroups"},
      {R"({"remedy": {"breaker_failure": 2}})", "remedy.breaker_failures"},
      {R"({"remedy": {"before-hook": []}})", "remedy.before_hook"},
      {R"({"remedy": {"afterhook": []}})", "remedy.after_hook"},
      {R"({"remedy": {"hook_time": "1s"}})", "remedy.hook_timeout"},
      {R"({"remedy": {"evidence_bundle": 1}})", "remedy.evidence_bundles"},
      {R"({"remedy": {"evidence_byte": "1MiB"}})", "remedy.evidence_bytes"},
      {R"({"audit": {"max_byte": "1MiB"}})", "audit.max_bytes"},
      {R"({"audit": {"maxfiles": 1}})", "audit.max_files"},
      {R"({"audits": {}})", "audit"},
  };
  for (const auto& [text, meant] : misspelt) {
    CAPTURE(text);
    CHECK(error_of(text).find("unknown key; did you mean \"" + meant + "\"?") != std::string::npos);
  }
}

}  // namespace defused
