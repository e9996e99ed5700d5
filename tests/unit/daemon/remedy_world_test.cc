// SPDX-License-Identifier: Apache-2.0
// What is left of a namespace after an abort, over a small tree: what is gone, what is another one, what cannot be
// told.
#include "daemon/remedy_world.h"

#include <sys/stat.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <filesystem>
#include <set>
#include <string>

#include "temporary_directory.h"

namespace defused {

namespace {

namespace fs = std::filesystem;  // for a tree of our own only

struct Task {
  int pid = 0;
  int tid = 0;
  int inner = 0;  // number in its PID namespace; 0: it is in none
  char state = 'D';
  int threads = 1;
  bool has_memory = false;
  int start = 5000;
  int switches = 17;
  std::string stack = "[<0>] request_wait_answer+0x1/0x2\n[<0>] fuse_flush+0x1/0x2\n";
  std::string wchan = "request_wait_answer";
};

// Init 100 of a dying namespace with two blocked processes, 101 and 102, behind connections 40 and 41.
class Host {
 public:
  Host() {
    put({100, 100, 1, 'S', 1, false, 4000, 3, "[<0>] zap_pid_ns_processes+0x1/0x2\n", "zap_pid_ns_processes"});
    put({101, 101, 2});
    put({102, 102, 3});
    for (const char* id : {"40", "41"}) set_waiting(id, "1\n");
    finding.init = {100, 4000};
    finding.blocked_threads = {blocked(101, 40), blocked(102, 41)};
    connection.id = ConnectionId{40};
    struct stat found {};
    REQUIRE(stat(root_.file("fusectl/40").c_str(), &found) == 0);
    connection.directory_inode = found.st_ino;
  }

  void put(const Task& it) const {
    write_task("proc/" + std::to_string(it.pid), it);
    write_task("proc/" + std::to_string(it.pid) + "/task/" + std::to_string(it.tid), it);
  }
  void remove(const std::string& path) const { fs::remove_all(root_.file(path)); }
  void write(const std::string& path, const std::string& text) const { root_.write(path, text); }
  void set_waiting(const std::string& id, const std::string& text) const { write("fusectl/" + id + "/waiting", text); }

  World::NamespaceRest look() {
    opened.clear();
    const auto hook = [this](std::string_view path) -> std::optional<Error> {
      opened.insert(std::string(path));
      if (path == unreadable) return Error{ErrorKind::denied, "no", 0};
      return std::nullopt;
    };
    const auto proc = ProcRoot::open(root_.file("proc"), hook);
    REQUIRE(proc);
    const auto rest = look_at_rest(*proc, FuseRoot::open_capture(root_.file("fusectl"), hook), finding, connection);
    REQUIRE(rest);
    return *rest;
  }
  [[nodiscard]] bool read(const std::string& path) const { return opened.count(path) > 0; }

  NamespaceFinding finding;
  ConnectionFinding connection;
  std::string unreadable;
  std::set<std::string> opened;

 private:
  static BlockedThread blocked(pid_t tid, std::uint32_t number) {
    BlockedThread thread;
    thread.pid = tid;
    thread.id = {tid, 5000};
    thread.comm = "ndrive";
    thread.state = 'D';
    thread.wait_class = WaitClass::fuse_flush;
    thread.stack = {"old_function"};
    thread.wchan = "old_function";
    thread.connection = ConnectionId{number};
    thread.context_switches = 17;
    return thread;
  }

  void write_task(const std::string& directory, const Task& it) const {
    const std::string tid = std::to_string(it.tid);
    std::string status = "Name:\tnow\nState:\t";
    status.append(1, it.state).append(" (x)\nTgid:\t").append(std::to_string(it.pid)).append("\nPid:\t").append(tid);
    status += "\nPPid:\t1\nFDSize:\t0\nNStgid:\t" + std::to_string(it.pid);
    if (it.inner > 0) status += "\t" + std::to_string(it.inner);
    if (it.has_memory) status += "\nVmSize:\t1 kB";
    status += "\nThreads:\t" + std::to_string(it.threads);
    status += "\nSigPnd:\t0000000000000000\nShdPnd:\t0000000000000100\nvoluntary_ctxt_switches:\t" +
              std::to_string(it.switches) + "\nnonvoluntary_ctxt_switches:\t0\n";
    write(directory + "/status", status);
    write(directory + "/stat",
          tid + " (now) " + it.state + " 1 1 1 0 -1 4 0 0 0 0 0 0 0 0 20 0 1 0 " + std::to_string(it.start) + " 0 0\n");
    write(directory + "/stack", it.stack);
    write(directory + "/wchan", it.wchan);
  }

  TemporaryDirectory root_;
};

std::vector<pid_t> tids_of(const World::NamespaceRest& rest) {
  std::vector<pid_t> tids;
  for (const BlockedThread& thread : rest.still_blocked) tids.push_back(thread.id.tid);
  return tids;
}

}  // namespace

TEST_CASE("As it was: nothing is gone, and each thread is told as it is now") {
  Host host;
  const auto rest = host.look();
  CHECK_FALSE(rest.gone);
  CHECK(rest.connection_wedged);
  REQUIRE(tids_of(rest) == std::vector<pid_t>{101, 102});
  const BlockedThread& thread = rest.still_blocked[0];
  CHECK(thread.comm == "now");
  CHECK(thread.state == 'D');
  CHECK(thread.sigkill_pending);
  CHECK(thread.exiting == true);
  CHECK(thread.stack == std::vector<std::string>{"request_wait_answer", "fuse_flush"});
  CHECK(thread.wchan == "request_wait_answer");
  CHECK(thread.wait_class == WaitClass::fuse_flush);
  CHECK(thread.connection == ConnectionId{40});
}

TEST_CASE("A namespace is gone with its init") {
  Host host;
  SECTION("not there") { host.remove("proc/100"); }
  SECTION("dead, and not taken away yet") { host.put({100, 100, 1, 'Z', 1, false, 4000}); }
  SECTION("another process that started later") { host.put({100, 100, 1, 'S', 1, false, 4001}); }
  SECTION("another process that is no init, even one whose stat may block") {
    host.put({100, 100, 0, 'S', 1, true, 9000});
  }
  const auto rest = host.look();
  CHECK(rest.gone);
  CHECK_FALSE(rest.connection_wedged);
  CHECK(rest.still_blocked.empty());
}

TEST_CASE("A namespace is not gone while its init is there, or may be") {
  Host host;
  SECTION("its leader is dead, its other threads are not") { host.put({100, 100, 1, 'Z', 2, false, 4000}); }
  SECTION("it has memory, so it is not asked for its start") {
    host.put({100, 100, 1, 'D', 1, true, 4001});
    CHECK_FALSE(host.look().gone);
    CHECK_FALSE(host.read("100/stat"));
  }
  SECTION("its status cannot be read") { host.unreadable = "100/status"; }
  SECTION("its stat cannot be read") { host.unreadable = "100/stat"; }
  SECTION("its start was never read") { host.finding.init.start_ticks = 0; }
  CHECK_FALSE(host.look().gone);
}

TEST_CASE("Whether a connection is waited for, fusectl says") {
  Host host;
  SECTION("no request waits any more, though its thread is still there, blocked on another one") {
    host.set_waiting("40", "0\n");
    CHECK_FALSE(host.look().connection_wedged);
  }
  SECTION("it is gone") {
    host.remove("fusectl/40");
    CHECK_FALSE(host.look().connection_wedged);
  }
  SECTION("it is another one, which has requests of its own") {
    host.connection.directory_inode += 1;
    CHECK_FALSE(host.look().connection_wedged);
  }
  SECTION("it ended while it was read") {
    host.set_waiting("40", "");
    CHECK_FALSE(host.look().connection_wedged);
  }
  SECTION("requests wait, though no thread that waited is left") {
    host.remove("proc/101");
    CHECK(host.look().connection_wedged);
  }
}

TEST_CASE("Where fusectl cannot say it, the threads that waited do") {
  Host host;
  SECTION("not mounted") { host.remove("fusectl"); }
  SECTION("not readable") { host.unreadable = "40/waiting"; }
  SECTION("not a number") { host.set_waiting("40", "many"); }
  SECTION("which one it was is not known") { host.connection.directory_inode = 0; }
  CHECK(host.look().connection_wedged);
  host.remove("proc/101");
  CHECK_FALSE(host.look().connection_wedged);
}

TEST_CASE("A thread is there no more") {
  Host host;
  SECTION("gone") { host.remove("proc/101/task/101"); }
  SECTION("dead") { host.put({101, 101, 2, 'Z'}); }
  SECTION("another one with its number") { host.put({101, 101, 2, 'D', 1, false, 5001}); }
  CHECK(tids_of(host.look()) == std::vector<pid_t>{102});
}

TEST_CASE("A thread that was dead before and that nobody takes away is still there") {
  Host host;
  host.put({101, 101, 2, 'Z', 1, false, 5000, 17, "", "0"});
  host.finding.blocked_threads[0].state = 'Z';
  const auto rest = host.look();
  REQUIRE(tids_of(rest) == std::vector<pid_t>{101, 102});
  CHECK(rest.still_blocked[0].wchan == "");
  CHECK(rest.still_blocked[0].wait_class == WaitClass::unknown);
}

TEST_CASE("A thread that has run may wait for something else") {
  Host host;
  host.put({101, 101, 2, 'D', 1, false, 5000, 18, "[<0>] rpc_wait_bit_killable+0x1/0x2 [sunrpc]\n"});
  const auto rest = host.look();
  REQUIRE(tids_of(rest) == std::vector<pid_t>{101, 102});
  CHECK_FALSE(rest.still_blocked[0].connection);
  CHECK(rest.still_blocked[0].wait_class == WaitClass::nfs);
  CHECK(rest.still_blocked[0].context_switches == 18);
}

TEST_CASE("Without a stack its wchan tells what a thread waits in") {
  Host host;
  host.remove("proc/101/task/101/stack");
  const auto rest = host.look();
  REQUIRE(tids_of(rest) == std::vector<pid_t>{101, 102});
  CHECK(rest.still_blocked[0].stack.empty());
  CHECK(rest.still_blocked[0].wchan == "request_wait_answer");
}

TEST_CASE("Of a thread that has memory nothing is read that may block") {
  Host host;
  host.put({101, 101, 2, 'D', 1, true, 5001});
  const auto rest = host.look();
  REQUIRE(tids_of(rest) == std::vector<pid_t>{101, 102});
  CHECK(rest.still_blocked[0].has_memory);
  CHECK(rest.still_blocked[0].stack.empty());
  for (const char* file : {"stat", "stack", "wchan"}) CHECK_FALSE(host.read(std::string("101/task/101/") + file));
}

TEST_CASE("A thread that cannot be read is there, and nothing is said of where") {
  Host host;
  SECTION("its status") { host.unreadable = "101/task/101/status"; }
  SECTION("its stat") { host.unreadable = "101/task/101/stat"; }
  const auto rest = host.look();
  REQUIRE(tids_of(rest) == std::vector<pid_t>{101, 102});
  CHECK(rest.still_blocked[0].stack.empty());
  CHECK(rest.still_blocked[0].wait_class == WaitClass::unknown);
}

TEST_CASE("Of many threads the first are looked at closely") {
  Host host;
  const BlockedThread one = host.finding.blocked_threads[1];
  host.finding.blocked_threads.assign(kMaxRereadThreads + 1, one);
  const auto rest = host.look();
  REQUIRE(rest.still_blocked.size() == kMaxRereadThreads + 1);
  CHECK(rest.still_blocked[kMaxRereadThreads - 1].stack.size() == 2);
  CHECK(rest.still_blocked[kMaxRereadThreads].stack.empty());
}

TEST_CASE("RemedyWorld asks whom it was given") {
  std::string told;
  RemedyWorld world(RemedyWorld::Callbacks{
      [] { return Result<World::SecondLook>(fail(ErrorKind::io, "look")); },
      [](const NamespaceFinding&, const ConnectionFinding& connection) {
        return Result<World::NamespaceRest>(World::NamespaceRest{connection.id == ConnectionId{40}, false, {}});
      },
      [&](RemedyStep step, const std::string& record) { told += std::string(to_string(step)) + " " + record + ";"; },
      [](Ledger& ledger, const OutcomeRecord&) { ledger.breaker.failures = 7; }});
  CHECK(world.look_again().error().message == "look");
  ConnectionFinding connection;
  connection.id = ConnectionId{40};
  CHECK(world.look_at_rest({}, connection)->gone);
  world.reach(RemedyStep::write, "x");
  CHECK(told == "write x;");
  Ledger ledger;
  world.settle(ledger, {});
  CHECK(ledger.breaker.failures == 7);
}

}  // namespace defused
