// SPDX-License-Identifier: Apache-2.0
#include "daemon/render_table.h"

#include <catch2/catch.hpp>

#include "daemon/describe.h"

using namespace defused;

TEST_CASE("ages for people") {
  CHECK(render_age(400ms) == "0.4s");
  CHECK(render_age(59s) == "59s");
  CHECK(render_age(192s) == "3m12s");
  CHECK(render_age(2h + 5min) == "2h05m");
}

TEST_CASE("the table says what is blind and how to mend it") {
  Report report;
  report.host = "h";
  report.kernel.release = "6.1";
  report.blind = {"fusectl", "stack"};
  add_gap(report.gaps, "fdinfo", ErrorKind::denied);
  const std::string table = render_table(report, ExposeSource::redacted);
  CHECK(table.find("mount -t fusectl fusectl /sys/fs/fuse/connections") != std::string::npos);
  CHECK(table.find("CAP_SYS_ADMIN") != std::string::npos);
  CHECK(table.find("fdinfo (denied, 1x)") != std::string::npos);
  add_gap_process(report.gap_processes, {"fdinfo", ErrorKind::denied}, {4711, "python"});
  CHECK(render_table(report, ExposeSource::redacted).find("fdinfo (denied, 1x: 4711 'python')") != std::string::npos);
}
