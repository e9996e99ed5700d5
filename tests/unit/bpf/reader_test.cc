// SPDX-License-Identifier: Apache-2.0
// The real program on this kernel, where it may be loaded.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <catch2/catch.hpp>

#include "base/unique_fd.h"
#include "bpf/file_reader.h"

using namespace defused;

TEST_CASE("the iterator sees a /dev/fuse of ours, and not the one of its self-test") {
  // Also as on a kernel that has no bpf_loop.
  const auto detail = GENERATE(FileReader::Detail::oldest_request, FileReader::Detail::holders);
  const UniqueFd device(open("/dev/fuse", O_RDWR | O_CLOEXEC));
  auto reader = FileReader::load(detail);
  if (!device || !reader) {
    WARN("not tried: " << (reader ? "there is no /dev/fuse" : reader.error().message));
    return;
  }
  const auto files = (*reader)->read();
  REQUIRE(files);
  const auto ours = std::count_if(files->begin(), files->end(), [](const OpenFuseFile& file) {
    return file.process.pid == getpid() && file.device && file.connection.kernel_dev == 0;
  });
  CHECK(ours == 1);
}
