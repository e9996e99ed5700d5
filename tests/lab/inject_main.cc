// SPDX-License-Identifier: Apache-2.0
// defused-inject PID PATH [--no-wait]: prints {"result": N}, N being what openat returned over there.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "inject.h"

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: defused-inject PID PATH [--no-wait]\n");
    return 2;
  }
  char* end = nullptr;
  const long pid = std::strtol(argv[1], &end, 10);
  if (*end != '\0' || pid <= 0) {
    std::fprintf(stderr, "defused-inject: not a PID: %s\n", argv[1]);
    return 2;
  }
  const bool wait = argc < 4 || std::strcmp(argv[3], "--no-wait") != 0;
  const lab::InjectResult done = lab::inject_open(static_cast<pid_t>(pid), argv[2], wait);
  if (!done.supported) {
    std::fprintf(stderr, "defused-inject: %s\n", done.error.c_str());
    return 77;
  }
  if (!done.error.empty()) {
    std::fprintf(stderr, "defused-inject: %s\n", done.error.c_str());
    return 1;
  }
  std::printf("{\"result\": %ld}\n", done.result.value_or(0));
  return 0;
}
