// SPDX-License-Identifier: Apache-2.0
// The table of capabilities, what it gives to whom, and the pages that repeat it.
#include "daemon/capabilities.h"

#include <linux/capability.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <fstream>
#include <iterator>
#include <set>
#include <sstream>
#include <string>

#include "base/text.h"

using namespace defused;

namespace {

std::string read_page(const char* path) {
  std::ifstream file(path);
  REQUIRE(file);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

}  // namespace

TEST_CASE("who only looks has nothing that changes a file of others") {
  for (const Mode mode : {Mode::observe, Mode::dry_run}) {
    CHECK(capabilities_of_prober(mode, false) ==
          CapabilitySet{CAP_SYS_PTRACE, CAP_SYS_ADMIN, CAP_DAC_READ_SEARCH, CAP_BPF, CAP_PERFMON});
    CHECK(capabilities_of_prober(mode, true) == capabilities_of_prober(mode, false));
  }
  CapabilitySet enforce = capabilities_of_prober(Mode::observe, false);
  enforce.insert(CAP_DAC_OVERRIDE);
  CHECK(capabilities_of_prober(Mode::enforce, false) == enforce);
  enforce.insert(CAP_KILL);
  CHECK(capabilities_of_prober(Mode::enforce, true) == enforce);
  CHECK(capabilities_of_supervisor() == CapabilitySet{CAP_KILL, CAP_NET_BIND_SERVICE, CAP_DAC_READ_SEARCH});
}

TEST_CASE("the table of capabilities is the one of docs/OPERATING.md") {
  const std::string page = read_page("docs/OPERATING.md");
  for (const CapabilityNeed& need : capability_needs()) {
    const std::string row =
        "| `" + std::string(need.name) + "` | " + describe_holders(need) + " | " + std::string(need.why) + " |";
    INFO(row);
    CHECK(page.find(row) != std::string::npos);
  }
  const auto begin = page.find("| capability | who |");
  REQUIRE(begin != std::string::npos);
  const std::string table = page.substr(begin, page.find("\n\n", begin) - begin);
  CHECK(static_cast<std::size_t>(std::count(table.begin(), table.end(), '\n')) == capability_needs().size() + 1);
}

TEST_CASE("the unit with its drop-in for enforce has the capabilities of the table") {
  std::istringstream unit(read_page("systemd/defused.service") + read_page("systemd/enforce.conf"));
  std::set<std::string> bound;
  std::string line;
  constexpr std::string_view kKey = "CapabilityBoundingSet=";
  while (std::getline(unit, line)) {
    if (line.rfind(kKey, 0) != 0) continue;
    std::istringstream names(line.substr(kKey.size()));
    bound.insert(std::istream_iterator<std::string>(names), std::istream_iterator<std::string>());
  }
  std::set<std::string> wanted;
  for (const CapabilityNeed& need : capability_needs()) wanted.emplace(need.name);
  wanted.erase("CAP_NET_BIND_SERVICE");  // systemd/README.md: for who configures such a port
  CHECK(bound == wanted);
}
