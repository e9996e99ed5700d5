// SPDX-License-Identifier: Apache-2.0
// Connections, actions and gaps: the cells of their tables.
#include <catch2/catch.hpp>

#include "exporters/http/pages.h"
#include "page_tree.h"
#include "status_cases.h"

using namespace defused;
using namespace defused::test;

namespace {

using Row = std::vector<std::string>;

// The rows of the table below the heading with that id; the head is not among them.
std::vector<Row> rows_of(const View& view, const std::string& id) {
  const auto page = parse_page(render_status_page(view));
  std::vector<Row> out;
  for (const Node* section : page->find("section")) {
    if (section->attribute("aria-labelledby") != id) continue;
    const Node& body = section->one("tbody");
    const auto heads = section->one("thead").find("th");
    for (const Node* row : body.find("tr")) {
      Row cells;
      for (const auto& cell : row->children) {
        CHECK(cell->attribute("data-label") == heads.at(cells.size())->all_text());
        cells.push_back(cell->all_text());
      }
      CHECK(cells.size() == heads.size());
      out.push_back(cells);
    }
  }
  return out;
}

}  // namespace

TEST_CASE("connections: what is orphaned or stalled comes first") {
  const View view = changed(deadlocked_view(), [](Report& report) {
    auto& connections = report.findings.connections;
    connections[1].waiting = 4;
    connections[2].waiting = 2;
    connections[2].orphaned = true;
    connections[2].stalled_since = report.scanned_at - 61s;
    connections[2].mount_points.clear();
    connections[2].server_state = ServerState::none;
    connections[2].server_evidence = Evidence::inferred;
  });
  const auto rows = rows_of(view, "connections");
  REQUIRE(rows.size() == 3);
  CHECK(rows[0] == Row{"51", "fuse.rclone", "backup:home",
                       "2, orphaned, stalled since 2027-01-15 07:58:57 UTC (1 min 01 s)", "none (inferred)", "-", "-"});
  CHECK(rows[1] == Row{"40", "fuse.s3fs", "models", "1, stalled since 2027-01-15 07:56:46 UTC (3 min 12 s)",
                       "dying (proven)", "/var/lib/docker/volumes/models/_data", "docker 4f5e6d7c8b9a"});
  CHECK(rows[2] == Row{"44", "fuse.gcsfuse", "training-data", "4", "alive (proven)", "/mnt/data", "-"});
  const auto page = parse_page(render_status_page(view));
  CHECK(page->find("tr.marked").size() == 2);
}

TEST_CASE("sources are shown as far as it is allowed, in table and picture") {
  for (const auto& [expose, shown] :
       std::map<ExposeSource, std::string>{{ExposeSource::redacted, "https://host/path"},
                                           {ExposeSource::hidden, "-"},
                                           {ExposeSource::full, "https://u:pw@host/path?k"}}) {
    View view =
        changed(deadlocked_view(), [](Report& report) { wedged_in(report).source = "https://u:pw@host/path?k"; });
    view.settings.expose_source = expose;
    CHECK(rows_of(view, "connections")[0][2] == shown);
    const bool secret = render_status_page(view).find("u:pw") != std::string::npos;
    CHECK(secret == (expose == ExposeSource::full));
  }
}

TEST_CASE("many names in a cell are cut and counted") {
  const auto rows =
      rows_of(changed(deadlocked_view(),
                      [](Report& report) {
                        wedged_in(report).mount_points = {"/a", std::string(300, 'b'), "/c", "/d"};
                        wedged_in(report).containers = {Container{"", "", "1-2"}, Container{"", "podman", ""}};
                      }),
              "connections");
  CHECK(rows[0][5] == "/a, " + std::string(118, 'b') + ".. and 2 more");
  CHECK(rows[0][6] == "pod 1-2, podman");
}

TEST_CASE("the last actions, newest first, escaped and bounded") {
  const View view = changed(healthy_view(), [](Report& report) {
    OutcomeRecord action{NamespaceId{4026532178}, ConnectionId{40}, Outcome::vetoed, "<s>no", 0s, 1000s, true};
    report.actions = {action, {NamespaceId{7}, ConnectionId{41}, Outcome::released, "gone", 62s, 950s}};
    action = {NamespaceId{0}, ConnectionId{0}, Outcome::not_released, "", 0s, 900s};
    report.actions.resize(3 * kMaxShownActions, action);
  });
  const auto rows = rows_of(view, "actions");
  REQUIRE(rows.size() == kMaxShownActions);
  CHECK(rows[0] == Row{"1970-01-01 00:16:40 UTC", "40", "4026532178", "vetoed", "a person, by hand", "<s>no"});
  CHECK(rows[1] == Row{"1970-01-01 00:15:50 UTC", "41", "7", "released after 1 min 02 s", "the daemon", "gone"});
  CHECK(rows[2] == Row{"1970-01-01 00:15:00 UTC", "-", "-", "not_released", "the daemon", "-"});
}

TEST_CASE("mode, breaker, pause and budget in a line") {
  const auto page = parse_page(render_status_page(changed(healthy_view(), [](Report& report) {
    report.mode = Mode::enforce;
    report.remedy.failures_in_row = 1;
    report.remedy.abort_budget = 2;
    report.remedy.breaker_open = true;
    report.remedy.breaker_cause = BreakerCause::failed_outcomes;
  })));
  CHECK(page->find("dl.strip").front()->all_text() ==
        "mode enforce circuit breaker open (failed_outcomes) failures in a row 1 inhibited no aborts left in the "
        "window 2");
}

TEST_CASE("gaps: file, kind, count and whose") {
  const auto rows = rows_of(changed(healthy_view(),
                                    [](Report& report) {
                                      report.gaps[{"fdinfo", ErrorKind::denied}] = 12;
                                      report.gaps[{"task/stack", ErrorKind::timeout}] = 1;
                                      report.gap_processes[{"fdinfo", ErrorKind::denied}] = {{4, "a<"}, {5, ""}};
                                    }),
                            "unseen");
  REQUIRE(rows.size() == 2);
  CHECK(rows[0] == Row{"fdinfo", "denied", "12", "4 (a<), 5 (?)"});
  CHECK(rows[1] == Row{"task/stack", "timeout", "1", "-"});
}
