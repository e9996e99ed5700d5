// SPDX-License-Identifier: Apache-2.0
#include "daemon/connections_table.h"

#include <algorithm>
#include <catch2/catch.hpp>

using namespace defused;

namespace {

ConnectionFinding connection(std::uint32_t id) {
  ConnectionFinding out;
  out.id = {id};
  out.fstype = "fuse.s3fs";
  out.source = "https://key:secret@host/bucket";
  out.mount_points = {"/data"};
  out.max_background = 12;
  out.outside_users = 0;
  out.outside_viewers = 1;
  out.server_state = ServerState::alive;
  out.servers = {Server{{4711, 1}, "s3fs", ServerState::alive, 'S'}};
  return out;
}

}  // namespace

TEST_CASE("stalled connections first, one line each, nothing secret") {
  Report report;
  report.host = "h";
  report.scanned_at = 1000s;
  report.findings.connections = {connection(40), connection(41), connection(42)};
  ConnectionFinding& stalled = report.findings.connections[1];
  stalled.waiting = 3;
  stalled.stalled_since = 808s;
  stalled.outside_users.reset();
  stalled.containers = {Container{std::string(64, 'a'), "docker", ""}, Container{"b", "lxc", ""}};
  stalled.mount_points.emplace_back("/data2");
  stalled.servers[0].process_state = 'T';
  report.findings.connections[2].mount_points.clear();
  sort_connections(report.findings.connections);
  CHECK(
      render_connections(report, ExposeSource::redacted) ==
      "CONNECTION  TYPE       WAITING  STALLED  USERS  VIEWERS  SERVER                      CONTAINER        MOUNTED "
      "AT\n"
      "41          fuse.s3fs  3/12     3m12s    ?      1        4711 (s3fs) alive, stopped  aaaaaaaaaaaa +1  /data +1 "
      "(https://host/bucket)\n"
      "40          fuse.s3fs  0/12     -        0      1        4711 (s3fs) alive           -                /data "
      "(https://host/bucket)\n"
      "42          fuse.s3fs  0/12     -        0      1        4711 (s3fs) alive           -                nowhere "
      "that "
      "was read (https://host/bucket)\n");
}

TEST_CASE("no connection, and no fusectl, are said") {
  Report report;
  report.host = "h";
  report.blind = {"fusectl"};
  const std::string text = render_connections(report, ExposeSource::redacted);
  CHECK(text.find("No FUSE connection") == 0);
  CHECK(text.find("mount -t fusectl fusectl /sys/fs/fuse/connections") != std::string::npos);
}

TEST_CASE("three thousand connections are three thousand lines") {
  Report report;
  for (std::uint32_t i = 0; i < 3000; ++i) report.findings.connections.push_back(connection(i + 40));
  const std::string text = render_connections(report, ExposeSource::hidden);
  CHECK(std::count(text.begin(), text.end(), '\n') == 3001);
}

TEST_CASE("a row takes several lines where the screen is narrow, and none is wider than it") {
  Report report;
  report.scanned_at = 1000s;
  report.findings.connections = {connection(40), connection(41)};
  report.findings.connections[0].mount_points = {"/var/lib/kubelet/pods/" + std::string(80, 'p') + "/volumes"};
  report.findings.connections[0].servers[0].comm = std::string(15, 's');
  report.findings.connections[1].source = std::string(300, 'q');
  for (const std::size_t width : {40U, 60U, 80U, 120U}) {
    const std::string text = render_connections(report, ExposeSource::full, Screen{width, false});
    CAPTURE(text);
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t end = text.find('\n', at);
      CHECK(end - at <= width);
      at = end + 1;
    }
    for (const char* head : {"CONNECTION", "TYPE", "WAITING", "STALLED", "USERS", "VIEWERS", "SERVER", "MOUNTED AT"}) {
      CHECK(text.find(head) != std::string::npos);
    }
    CHECK(text.find("..\n") != std::string::npos);
  }
  CHECK(render_connections(report, ExposeSource::full, Screen{80, false}).find("\n    SERVER") != std::string::npos);
}

TEST_CASE("a screen that is wide enough has the table of a file, stalled rows in colour") {
  Report report;
  report.scanned_at = 1000s;
  report.findings.connections = {connection(40), connection(41)};
  CHECK(render_connections(report, ExposeSource::full, Screen{400, false}) ==
        render_connections(report, ExposeSource::full));
  report.findings.connections[0].stalled_since = 900s;
  const std::string text = render_connections(report, ExposeSource::full, Screen{400, true});
  CHECK(text.find("\n\033[1;31m40 ") != std::string::npos);
  CHECK(text.find("\n41 ") != std::string::npos);
}
