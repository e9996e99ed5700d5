// SPDX-License-Identifier: Apache-2.0
// defused-replay-tree DIRECTORY: three passes over proc/ and sys/fs/fuse/connections/ below it, the last report as
// JSON. --faults DIRECTORY: the same with each read failing once; what then says more, a line each, and exit code 1.
#include <cstring>
#include <iostream>

#include "fault_sweep.h"
#include "model/codec.h"

int main(int argc, char** argv) {
  using namespace defused;
  if (argc == 2) {
    std::cout << render_report_json(judge_tree(argv[1]), ExposeSource::full) << "\n";
    return 0;
  }
  if (argc != 3 || std::strcmp(argv[1], "--faults") != 0) {
    std::cerr << "usage: defused-replay-tree [--faults] DIRECTORY\n";
    return 2;
  }
  const FaultSweep sweep = sweep_faults(argv[2], {ErrorKind::io, ErrorKind::unsupported});
  std::cout << sweep.runs << " runs, " << sweep.weakened << " weakened, " << sweep.violations.size() << " stronger\n";
  for (const std::string& violation : sweep.violations) std::cout << violation << "\n";
  return sweep.violations.empty() ? 0 : 1;
}
