// SPDX-License-Identifier: Apache-2.0
// defused-crowd NAMESPACES MEMBERS DESCRIPTORS: makes a crowd, says "ready", and ends it when standard input ends.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "crowd.h"

int main(int argc, char** argv) {
  const auto number = [&](int index) {
    return argc > index ? static_cast<std::size_t>(std::strtoul(argv[index], nullptr, 10)) : 0;
  };
  const bench::Crowd crowd(number(1), number(2), number(3));
  if (!crowd.complete()) {
    std::fprintf(stderr, "defused-crowd: the processes could not be made (root? kernel.pid_max?)\n");
    return 1;
  }
  std::puts("ready");
  std::fflush(stdout);
  char byte = 0;
  while (read(STDIN_FILENO, &byte, 1) > 0) {
  }
  return 0;
}
