// SPDX-License-Identifier: Apache-2.0
// defused-tenant hold|serve MOUNT_POINT FSTYPE: a FUSE server for a real container, see run_in_container. Whoever made
// the container ends it, and aborts its connection where nothing else does.
#include <cstdio>
#include <string_view>

#include "forms.h"

int main(int argc, char** argv) {
  const std::string_view what = argc == 4 ? argv[1] : "";
  if (what != "hold" && what != "serve") {
    std::fprintf(stderr, "usage: defused-tenant hold|serve MOUNT_POINT FSTYPE\n");
    return 2;
  }
  lab::Options options;
  options.mount_point = argv[2];
  options.fstype = options.source = argv[3];
  lab::run_in_container(options, what == "hold");
}
