// SPDX-License-Identifier: Apache-2.0
// The whole exposition of captures, as a scraper gets it: tests/scenario/golden/*.prom, written anew by
// DEFUSED_WRITE_GOLDEN=1 (then look at the difference).
#include <stdlib.h>

#include <catch2/catch.hpp>
#include <fstream>
#include <sstream>

#include "capture_cycle.h"
#include "exporters/prometheus/metrics.h"
#include "temporary_directory.h"

using namespace defused;

namespace {

// What the third pass over `capture` gives. The build is not a matter of the capture.
std::string metrics_of(const std::string& capture) {
  ManualClock clock({10000s, 1'800'000'000s});
  const auto cycle = make_capture_cycle(capture, clock);
  REQUIRE(cycle);
  View view;
  for (int i = 0; i < 3; ++i) {
    if (i > 0) clock.advance(5s);
    view.pass = std::make_shared<const PassResult>(cycle->run(Bar::none));
  }
  view.now = clock.now();
  view.supervisor.supervisor = {0.25, 6291456, 21, 1'799'999'990};
  view.supervisor.prober = {0.5, 8388608, 16, 1'799'999'991};
  view.front = {0.125, 7340032, 12, 1'799'999'992};
  std::istringstream lines(MetricsRenderer().render(view));
  std::string text;
  for (std::string line; std::getline(lines, line);) {
    if (line.rfind("defused_build_info{", 0) != 0) text += line + "\n";
  }
  return text;
}

}  // namespace

TEST_CASE("the metrics of captures are the golden ones") {
  for (const std::string capture : {"linux-6.18.44-flush", "linux-6.18.44-docker", "linux-6.1.192-healthy"}) {
    CAPTURE(capture);
    const std::string path = "tests/scenario/golden/" + capture + ".prom";
    const std::string text = metrics_of(capture);
    if (getenv("DEFUSED_WRITE_GOLDEN") != nullptr) std::ofstream(path) << text;
    CHECK(text == read_whole(path));
  }
}
