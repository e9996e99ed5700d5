// SPDX-License-Identifier: Apache-2.0
// What the kernel said, as text and back; and what is no such text.
#include "bpf/recorded_readers.h"

#include <catch2/catch.hpp>
#include <limits>
#include <string>
#include <vector>

#include "temporary_directory.h"

using namespace defused;

namespace {

const std::vector<OpenFuseFile> kFiles = {
    {ProcessId{4711, 123456}, true, ConnectionId{40}, 7},
    {ProcessId{4711, 123456}, true, ConnectionId{0}, 0},
    {ProcessId{4712, std::numeric_limits<std::uint64_t>::max()}, false, ConnectionId{0xFFFFFFFFU}, 0}};

std::vector<TaskWait> waits() {
  TaskWait queued;
  queued.pid = 4711;
  queued.thread = {4712, 99};
  queued.queued = ConnectionId{40};
  queued.on_stack = {ConnectionId{40}, ConnectionId{41}};
  queued.context_switches = 17;
  queued.group_exit = true;
  TaskWait plain;
  plain.pid = 1;
  plain.thread = {1, 0};
  plain.on_stack_complete = false;
  return {queued, plain};
}

// Whether `text` is refused, with its line named.
template <typename T>
void check_refused(Result<std::vector<T>> (*parse)(std::string_view), const std::string& text, int line) {
  CAPTURE(text);
  const auto parsed = parse(text);
  REQUIRE_FALSE(parsed);
  CHECK(parsed.error().kind == ErrorKind::malformed);
  CHECK(parsed.error().message.find("line " + std::to_string(line) + ":") != std::string::npos);
}

}  // namespace

TEST_CASE("open files come back as they were") {
  const std::string text = render_open_files(kFiles);
  CHECK(text == "device 4711 123456 40 7\ndevice 4711 123456 0 0\nfile 4712 18446744073709551615 4294967295\n");
  const auto files = parse_open_files(text);
  REQUIRE(files);
  REQUIRE(files->size() == kFiles.size());
  for (std::size_t i = 0; i < kFiles.size(); ++i) {
    CHECK((*files)[i].process == kFiles[i].process);
    CHECK((*files)[i].device == kFiles[i].device);
    CHECK((*files)[i].connection == kFiles[i].connection);
    CHECK((*files)[i].oldest_request == kFiles[i].oldest_request);
  }
  CHECK(parse_open_files("")->empty());
}

TEST_CASE("waits come back as they were") {
  const std::string text = render_waits(waits());
  CHECK(text == "4711 4712 99 17 group 40 complete 40,41\n1 1 0 0 thread - more -\n");
  const auto back = parse_waits(text);
  REQUIRE(back);
  REQUIRE(back->size() == 2);
  CHECK(render_waits(*back) == text);
  CHECK((*back)[0].queued == ConnectionId{40});
  CHECK((*back)[0].on_stack.size() == 2);
  CHECK((*back)[0].group_exit);
  CHECK_FALSE((*back)[1].queued);
  CHECK_FALSE((*back)[1].on_stack_complete);
}

TEST_CASE("what is not such a line is refused, with its number") {
  const std::string good = "file 1 2 3\n";
  for (const char* bad :
       {"file 1 2 3", "file 1 2\n", "file 1 2 3 4\n", "device 1 2 3\n", "socket 1 2 3\n", "\n", "file 0 2 3\n",
        "file -1 2 3\n", "file 1 2 4294967296\n", "file 2147483648 2 3\n", "file 1 18446744073709551616 3\n",
        "file  1 2 3\n", "file 1 2 3 \n", " file 1 2 3\n", "file 1 2 0x3\n", "file\t1 2 3\n", "file 1 2 3\r\n"}) {
    check_refused(&parse_open_files, good + bad, 2);
  }
  for (const char* bad :
       {"1 1 0 0 thread - more\n", "1 1 0 0 both - more -\n", "1 1 0 0 thread x more -\n", "1 1 0 0 thread - some -\n",
        "1 1 0 0 thread - more 40,\n", "1 1 0 0 thread - more ,40\n", "1 1 0 0 thread - more 40,,41\n",
        "1 1 0 0 thread - more \n", "1 0 0 0 thread - more -\n", "1 1 0 0 thread - more - -\n"}) {
    check_refused(&parse_waits, bad, 1);
  }
}

TEST_CASE("hostile text is refused without its bytes in the sentence") {
  const std::string zero("file 1 2 3\0\n", 12);
  for (const std::string& bad : {zero, std::string(1U << 20U, 'x'), std::string("\x1b[31m\n"), std::string(1000, '\n'),
                                 "file 1 2 " + std::string(100'000, '9') + "\n"}) {
    const auto parsed = parse_open_files(bad);
    REQUIRE_FALSE(parsed);
    CHECK(parsed.error().kind == ErrorKind::malformed);
    CHECK(parsed.error().message.size() < 200);
    CHECK(parsed.error().message.find('\x1b') == std::string::npos);
  }
  std::string many = "1 1 0 0 thread - more 1";
  for (int i = 0; i < 5000; ++i) many += ",1";
  CHECK_FALSE(parse_waits(many + "\n"));
}

TEST_CASE("recorded readers read anew each time, and fail as their hook says") {
  const TemporaryDirectory directory;
  bool fails = false;
  const auto open = [&] {
    return Beneath::open_root(directory.path(),
                              [&](std::string_view path) -> std::optional<Error> {
                                if (!fails || path != "waits") return std::nullopt;
                                return Error{ErrorKind::timeout, "as it was then", 62};
                              })
        .value();
  };
  const auto files = recorded_files(open());
  CHECK(files->read().error().kind == ErrorKind::gone);
  directory.write("files", "file 1 2 3\n");
  CHECK(files->read()->size() == 1);
  directory.write("files", "");
  CHECK(files->read()->empty());
  directory.write("files", "file 1 2\n");
  CHECK(files->read().error().kind == ErrorKind::malformed);
  directory.write("waits", "1 1 0 0 thread - more -\n");
  const auto recorded = recorded_waits(open());
  CHECK(recorded->read()->size() == 1);
  fails = true;
  CHECK(recorded->read().error().kind == ErrorKind::timeout);
  CHECK(recorded->read().error().code == 62);
}
