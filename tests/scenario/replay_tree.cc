// SPDX-License-Identifier: Apache-2.0
// defused-replay-tree DIRECTORY: three passes over proc/ and sys/fs/fuse/connections/ below it, the last report as
// JSON.
#include <iostream>

#include "daemon/cycle.h"
#include "model/codec.h"

int main(int argc, char** argv) {
  using namespace defused;
  if (argc != 2) {
    std::cerr << "usage: defused-replay-tree DIRECTORY\n";
    return 2;
  }
  const std::string root = argv[1];
  CycleSources sources;
  sources.proc_path = root + "/proc";
  sources.fusectl_path = root + "/sys/fs/fuse/connections";
  sources.capture = true;
  ManualClock clock({10000s, 1'800'000'000s});
  auto cycle = Cycle::create(Settings{}, sources, CycleEvents{}, clock);
  if (!cycle) {
    std::cerr << cycle.error().message << "\n";
    return 1;
  }
  Report report;
  for (int i = 0; i < 3; ++i) {
    report = (*cycle)->run(true).report;
    clock.advance(5s);
  }
  std::cout << render_report_json(report, ExposeSource::full) << "\n";
  return 0;
}
