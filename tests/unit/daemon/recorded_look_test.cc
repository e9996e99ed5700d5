// SPDX-License-Identifier: Apache-2.0
#include "daemon/recorded_look.h"

#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "capture/looks.h"

using namespace defused;

namespace {

using Kind = ReadRecorder::Kind;

std::vector<std::string> paths(const FileTree& tree) {
  std::vector<std::string> out;
  for (const auto& [path, node] : tree.nodes()) out.push_back(path);
  return out;
}

std::string status_of(int tgid, int pid) {
  return "Name:\tx\nState:\tS (sleeping)\nTgid:\t" + std::to_string(tgid) + "\nPid:\t" + std::to_string(pid) +
         "\nPPid:\t1\nThreads:\t2\nvoluntary_ctxt_switches:\t1\nnonvoluntary_ctxt_switches:\t0\n";
}

}  // namespace

TEST_CASE("a look is what was read, what failed, and what it knew beside that") {
  Readings readings(10'000);
  readings.proc.note("", Kind::directory, "1/\n17/\n");
  readings.proc.note("1/status", Kind::file, "s");
  readings.proc.note("17/ns/pid", Kind::link, "pid:[5]");
  readings.proc.note_error("17/stack", {ErrorKind::timeout, kNotAsked});
  readings.proc.note_error("", {ErrorKind::io, 5});
  readings.fusectl_present = true;
  readings.fusectl.note("40/waiting", Kind::file, "1\n");
  readings.fusectl.note_error("41", {ErrorKind::denied, 13});
  readings.bpf.note("files", Kind::file, "file 1 2 3\n");
  readings.about.begin.boottime = std::chrono::seconds(9);
  readings.about.own = 7;
  const FileTree look = make_look(readings, nullptr);
  CHECK(paths(look) == std::vector<std::string>{"bpf", "bpf/files", "errors", "look.json", "proc", "proc/1",
                                                "proc/1/status", "proc/17", "proc/17/ns", "proc/17/ns/pid", "sys",
                                                "sys/fs", "sys/fs/fuse", "sys/fs/fuse/connections",
                                                "sys/fs/fuse/connections/40", "sys/fs/fuse/connections/40/waiting"});
  CHECK(look.find("errors")->text == "io 5 proc\ntimeout 11 proc/17/stack\ndenied 13 sys/fs/fuse/connections/41\n");
  CHECK(parse_look(look.find("look.json")->text)->own == 7);
  readings.fusectl_present = false;
  CHECK(make_look(readings, nullptr).find("sys") == nullptr);
}

TEST_CASE("what did not fit is counted and cannot be read again") {
  Readings readings(20);
  readings.about.begin.boottime = std::chrono::seconds(9);
  readings.proc.note("1/status", Kind::file, std::string(100, 'x'));
  const FileTree look = make_look(readings, nullptr);
  CHECK(look.find("errors")->text == "unsupported 0 proc/1/status\n");
  CHECK(parse_look(look.find("look.json")->text)->left_out == 1);
}

TEST_CASE("others than those wanted are in no listing, and a thread is no process") {
  Readings readings(10'000);
  readings.proc.note("", Kind::directory, "1/\n17/\n170/\n");
  for (const char* pid : {"1", "17", "170"}) {
    readings.proc.note(std::string(pid) + "/status", Kind::file, status_of(std::stoi(pid), std::stoi(pid)));
  }
  readings.proc.note("18/status", Kind::file, status_of(17, 18));
  readings.proc.note("uptime", Kind::file, "1 2\n");
  readings.proc.note("self/sched", Kind::file, "x");
  const std::set<pid_t> wanted = {17, 18};
  CHECK(paths(make_look(readings, &wanted).below("proc")) ==
        std::vector<std::string>{"17", "17/status", "self", "self/sched", "uptime"});
  CHECK(paths(make_look(readings, nullptr).below("proc")) == std::vector<std::string>{"1", "1/status", "17",
                                                                                      "17/status", "170", "170/status",
                                                                                      "self", "self/sched", "uptime"});
}

TEST_CASE("descriptors that came or went while they were read are as the reader took them") {
  Readings readings(10'000);
  readings.proc.note("17/fdinfo", Kind::directory, "0\n1\n9\n");  // 2 went, 9 came
  for (const char* name : {"0", "2"}) readings.proc.note(std::string("17/fdinfo/") + name, Kind::file, "pos:\t0\n");
  readings.proc.note_error("17/fdinfo/1", {ErrorKind::denied, 13});
  readings.proc.note("17/task/18/fdinfo", Kind::directory, "0\n1\n9\n");  // the same table
  readings.proc.note("17/task/19/fdinfo", Kind::directory, "0\n5\n");     // one of its own
  readings.proc.note("17/task/19/fdinfo/0", Kind::file, "pos:\t0\n");
  readings.proc.note("20/fdinfo", Kind::directory, "0\n1\n");  // it ended before any was read
  const FileTree proc = make_look(readings, nullptr).below("proc");
  const auto names = [&](const char* directory) { return paths(proc.below(directory)); };
  CHECK(names("17/fdinfo") == std::vector<std::string>{"0", "1", "2"});
  CHECK(names("17/task/18/fdinfo") == std::vector<std::string>{"0", "1", "2"});
  CHECK(names("17/task/19/fdinfo") == std::vector<std::string>{"0"});
  CHECK(names("20/fdinfo").empty());
  CHECK(proc.find("20/fdinfo") != nullptr);
}

TEST_CASE("a hook fails what failed, with the same kind and code, wherever it is read from") {
  const auto errors = std::make_shared<std::map<std::string, ReadRecorder::Failed>>(
      *parse_errors("io 5 proc\ndenied 13 proc/17/task\ntimeout 11 sys/fs/fuse/connections/40/waiting\n"));
  const ReadHook proc = make_recorded_hook(errors, kRecordedProc);
  const ReadHook fusectl = make_recorded_hook(errors, kRecordedFusectl);
  REQUIRE(proc("."));
  CHECK(proc(".")->kind == ErrorKind::io);
  CHECK(proc("17/task")->code == 13);
  CHECK(proc("17/task/.")->kind == ErrorKind::denied);
  CHECK_FALSE(proc("17"));
  CHECK_FALSE(proc("40/waiting"));
  CHECK(fusectl("40/waiting")->code == kNotAsked);
  CHECK_FALSE(fusectl("."));
  errors->clear();  // the next look
  CHECK_FALSE(proc("."));
}
