// SPDX-License-Identifier: Apache-2.0
// What a pass that looks for changes reads again, and what it does not; many passes over a small tree.
#include <algorithm>
#include <catch2/catch.hpp>
#include <filesystem>
#include <set>

#include "procfs/proc_root.h"
#include "temporary_directory.h"

using namespace defused;
using namespace std::chrono_literals;

namespace {

struct Process {
  int pid = 0;
  int ppid = 1;
  int inner = 0;  // number in a PID namespace of its own; 0: it is in none
  char state = 'S';
  bool has_memory = true;
  bool killed = false;
  int switches = 1;
};

std::string status_of(const Process& it) {
  const std::string pid = std::to_string(it.pid);
  std::string text = "Name:\tx\nState:\t";
  text.append(1, it.state).append(" (x)\nTgid:\t").append(pid).append("\nPid:\t").append(pid);
  text += "\nPPid:\t" + std::to_string(it.ppid) + "\nFDSize:\t64\nNStgid:\t" + pid;
  if (it.inner > 0) text += "\t" + std::to_string(it.inner);
  if (it.has_memory) text += "\nVmSize:\t1 kB";
  text += "\nThreads:\t1\nSigPnd:\t0000000000000000\nShdPnd:\t0000000000000";
  text += it.killed ? "100" : "000";
  text += "\nvoluntary_ctxt_switches:\t" + std::to_string(it.switches) + "\nnonvoluntary_ctxt_switches:\t0\n";
  return text;
}

// A host whose walk is done again and again, with what it opened each time.
class Host {
 public:
  Host() {
    auto proc = ProcRoot::open(root_.path(), [this](std::string_view path) -> std::optional<Error> {
      opened_.insert(std::string(path));
      return std::nullopt;
    });
    REQUIRE(proc);
    proc_ = std::make_unique<ProcRoot>(*std::move(proc));
    for (const int pid : {1, 300, 301, 302, 303}) put({pid});
    put({100, 1, 1});
    put({101, 100, 2});
    put({102, 101, 3});
    put({200, 1, 1});
    put({201, 200, 2});
  }

  void put(const Process& it) const {
    const std::string base = std::to_string(it.pid);
    root_.write(base + "/status", status_of(it));
    root_.write(base + "/task/" + base + "/status", status_of(it));
    root_.write(base + "/task/" + base + "/stack", "[<0>] request_wait_answer+0x1/0x2\n[<0>] fuse_flush+0x1/0x2\n");
    root_.write(base + "/cgroup", "0::/docker/" + std::string(64, 'a') + "\n");
  }
  void remove(int pid) const { std::filesystem::remove_all(root_.file(std::to_string(pid))); }
  // Another process of that number: another directory, which the old one's inode is kept from.
  void replace(const Process& it) const {
    std::filesystem::rename(root_.file(std::to_string(it.pid)), root_.file("gone" + std::to_string(++replaced_)));
    put(it);
  }

  /// From now on the kernel tells of dying threads; these are all.
  void tell(std::optional<ThreadsByProcess> threads) { order_.dying_threads = std::move(threads); }

  const Snapshot& walk(WalkDepth depth = WalkDepth::changes, std::set<pid_t> told_to_die = {}) {
    order_.depth = depth;
    order_.told_to_die = std::move(told_to_die);
    opened_.clear();
    now_ += 5s;
    snapshot_ = Snapshot{};
    snapshot_.taken.boottime = now_;
    REQUIRE(read_processes(*proc_, ReadLimits{}, order_, memory_, snapshot_));
    read_hazards(*proc_, ReadLimits{}, memory_, snapshot_);
    return snapshot_;
  }
  // The processes whose status was read in the last walk.
  [[nodiscard]] std::set<int> read() const {
    std::set<int> pids;
    for (const std::string& path : opened_) {
      if (path.find("/task/") == std::string::npos && path.size() > 7 && path.substr(path.size() - 7) == "/status") {
        pids.insert(std::stoi(path));  // NOLINT(cert-err34-c): a path of ours
      }
    }
    return pids;
  }
  [[nodiscard]] bool opened(const std::string& path) const { return opened_.count(path) > 0; }
  void set_rotation(Nanoseconds rotation) { order_.rotation = rotation; }
  void advance(Nanoseconds by) { now_ += by; }

 private:
  TemporaryDirectory root_;
  std::unique_ptr<ProcRoot> proc_;
  std::set<std::string> opened_;
  WalkOrder order_{WalkDepth::changes, {}, {}, 10h};
  WalkMemory memory_;
  Snapshot snapshot_;
  Nanoseconds now_ = 1000s;
  mutable int replaced_ = 0;
};

std::vector<pid_t> suspects_of(const Snapshot& snapshot) {
  std::vector<pid_t> pids;
  for (const ProcessSample& suspect : snapshot.suspects) pids.push_back(suspect.id.pid);
  return pids;
}

const Process kDyingInit{100, 1, 1, 'S', false, true};

}  // namespace

TEST_CASE("the first walk reads every process, the next ones those that may have changed") {
  Host host;
  CHECK(host.walk().processes.size() == 10);
  CHECK(host.read().size() == 10);
  const Snapshot& again = host.walk();
  CHECK(again.processes.size() == 10);  // all are told of
  // One has its turn in each walk: 1 is the first. Inits are always read.
  CHECK(host.read() == std::set<int>{1, 100, 200});
  host.walk(WalkDepth::full);
  CHECK(host.read().size() == 10);
}

TEST_CASE("all have their turn within the rotation") {
  Host host;
  host.walk();
  host.set_rotation(20s);
  std::set<int> read;
  for (int pass = 0; pass < 4; ++pass) {
    host.walk();
    CHECK(host.read().size() <= 5);
    read.merge(std::set<int>(host.read()));
  }
  CHECK(read.size() == 10);
}

TEST_CASE("a new process is read, and so is another one with a number that was used before") {
  Host host;
  host.walk();
  host.put({400});
  host.replace({302, 1, 1});
  host.remove(303);
  const Snapshot& snapshot = host.walk();
  CHECK(host.read() == std::set<int>{1, 100, 200, 302, 400});
  const auto found = std::find_if(snapshot.processes.begin(), snapshot.processes.end(),
                                  [](const ProcessBrief& process) { return process.pid == 302; });
  REQUIRE(found != snapshot.processes.end());
  CHECK(found->is_init());
  CHECK(std::none_of(snapshot.processes.begin(), snapshot.processes.end(),
                     [](const ProcessBrief& process) { return process.pid == 303; }));
}

TEST_CASE("who is told to die is read, and again until it is gone") {
  Host host;
  host.walk();
  host.put({301, 1, 0, 'D', true, true});
  host.walk();
  CHECK(host.read().count(301) == 0);  // nobody said so, and its turn has not come
  CHECK(suspects_of(host.walk(WalkDepth::changes, {301})) == std::vector<pid_t>{301});
  CHECK(suspects_of(host.walk()) == std::vector<pid_t>{301});
  CHECK(host.read().count(301) == 1);
}

TEST_CASE("the family of a dying init is read, and who lost its parent since") {
  Host host;
  host.walk();
  host.put(kDyingInit);
  host.put({101, 100, 2, 'D', false, true});
  CHECK(suspects_of(host.walk()) == std::vector<pid_t>{100, 101, 102});
  CHECK(host.read().count(201) == 0);
  // 102 becomes a child of init when 101 is gone; what was remembered names a parent that is not there.
  host.remove(101);
  host.put({102, 100, 3, 'D', false, true});
  CHECK(suspects_of(host.walk()) == std::vector<pid_t>{100, 102});
}

TEST_CASE("a child that a living family took over comes back with its own") {
  Host host;
  host.put({201, 101, 2});  // as if its parent's number had been that of another process
  host.walk();
  host.put({201, 200, 2});
  host.put(kDyingInit);
  CHECK(suspects_of(host.walk()) == std::vector<pid_t>{100, 101, 102});
  CHECK(host.read().count(201) == 1);
}

TEST_CASE("of a thread that has not run only the status is read, for a while") {
  Host host;
  const std::string stack = "101/task/101/stack";
  host.put(kDyingInit);
  host.put({101, 100, 2, 'D', false, true, 7});
  host.walk();
  CHECK(host.opened(stack));
  const Snapshot& kept = host.walk();
  CHECK_FALSE(host.opened(stack));
  REQUIRE(kept.suspects.size() == 3);
  CHECK(kept.suspects[1].threads[0].kept);
  CHECK(kept.suspects[1].threads[0].stack == std::vector<std::string>{"request_wait_answer", "fuse_flush"});
  SECTION("nothing of it changed") {
    host.advance(-4s);  // so that the next walk comes before the 10 s are over
    host.walk();
    CHECK_FALSE(host.opened(stack));
  }
  SECTION("it ran") {
    host.advance(-4s);
    host.put({101, 100, 2, 'D', false, true, 8});
    host.walk();
    CHECK(host.opened(stack));
  }
  SECTION("it is another process") {
    host.advance(-4s);
    host.replace({101, 100, 2, 'D', false, true, 7});
    host.walk();
    CHECK(host.opened(stack));
  }
  SECTION("everything is asked for, before acting") {
    host.advance(-4s);
    host.walk(WalkDepth::full);
    CHECK(host.opened(stack));
  }
  SECTION("after 10 s, then 20 s, then 40 s ..") {
    std::vector<int> read;
    for (int pass = 2; pass < 20; ++pass) {
      host.walk();
      if (host.opened(stack)) read.push_back(pass);
    }
    CHECK(read == std::vector<int>{2, 6, 14});
  }
}

TEST_CASE("the control group of an init is read while it starts, and then when its turn comes") {
  Host host;
  host.walk();
  host.walk();
  CHECK(host.opened("100/cgroup"));
  host.advance(60s);
  host.walk();
  const Snapshot& snapshot = host.walk();
  CHECK_FALSE(host.opened("100/cgroup"));
  REQUIRE(snapshot.init_cgroups.count(100) == 1);
  CHECK(snapshot.init_cgroups.at(100).front().find("/docker/") == 0);
}

TEST_CASE("where the kernel tells of dying threads, an init of which none is told is read in its turn only") {
  Host host;
  host.walk();
  host.tell(ThreadsByProcess{});
  host.walk();
  CHECK(host.read() == std::set<int>{1});
  host.put(kDyingInit);
  host.tell(ThreadsByProcess{{100, {{{100, 0}, 1}}}});
  CHECK(suspects_of(host.walk()) == std::vector<pid_t>{100, 101, 102});
  CHECK(host.read().count(200) == 0);
}

TEST_CASE("a suspect of which the kernel says that it has not run is not read at all, for a while") {
  Host host;
  const Process blocked{301, 1, 0, 'D', false, true, 7};
  host.put(blocked);
  host.tell(ThreadsByProcess{{301, {{{301, 0}, 7}}}});
  host.walk();
  CHECK(host.read().count(301) == 1);
  const Snapshot& kept = host.walk();
  CHECK(host.read().count(301) == 0);
  CHECK_FALSE(host.opened("301/task/301/status"));
  REQUIRE(suspects_of(kept) == std::vector<pid_t>{301});
  CHECK(kept.suspects[0].threads[0].kept);
  CHECK(kept.suspects[0].threads[0].context_switches == 7);
  host.advance(-4s);  // so that the next walk comes before the 10 s are over
  int read = 1;
  SECTION("nothing of it changed") { read = 0; }
  SECTION("it ran") { host.tell(ThreadsByProcess{{301, {{{301, 0}, 8}}}}); }
  SECTION("it has another thread") { host.tell(ThreadsByProcess{{301, {{{301, 0}, 7}, {{302, 0}, 7}}}}); }
  SECTION("it is another process") { host.replace(blocked); }
  SECTION("it is not told of any more") { host.tell(ThreadsByProcess{}); }
  SECTION("nobody tells any more") { host.tell(std::nullopt); }
  SECTION("the time is over") { host.advance(10s); }
  host.walk();
  CHECK(host.read().count(301) == static_cast<std::size_t>(read));
}
