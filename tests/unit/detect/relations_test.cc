// SPDX-License-Identifier: Apache-2.0
// Who waits for whom: namespaces in namespaces, dead members, threads of one process; and what lasts from pass to pass.
#include <catch2/catch.hpp>

#include "cases.h"

using namespace defused;
using namespace std::chrono_literals;

namespace {

constexpr NamespaceId kOuter{4026532100};

// Init 90 of an outer namespace, which waits for the inner one of the plain deadlock.
void nest(Snapshot& snapshot) {
  snapshot.processes[1].ppid = 90;
  snapshot.processes[1].level = 2;
  snapshot.suspects[0].brief = snapshot.processes[1];
  ProcessSample& outer = add_process(snapshot, brief(90, 1, 1, 1, 'S', false), thread(90, 'S', kZap));
  outer.pid_namespace = kOuter;
}

const NamespaceFinding& find(const Findings& findings, NamespaceId id) {
  for (const NamespaceFinding& finding : findings.namespaces) {
    if (finding.id == id) return finding;
  }
  FAIL("no such namespace");
  return findings.namespaces.front();
}

ThreadSample dead(pid_t tid) {
  ThreadSample out = thread(tid, 'Z', {});
  out.stack.reset();
  return out;
}

// The server of the plain deadlock is only dead, its init waits.
void die(Snapshot& snapshot, pid_t parent, pid_t tracer = 0) {
  snapshot.processes[2].state = 'Z';
  snapshot.processes[2].ppid = parent;
  snapshot.suspects[1].brief = snapshot.processes[2];
  snapshot.suspects[1].threads = {dead(101)};
  snapshot.suspects[1].threads[0].tracer = tracer;
  snapshot.connections[0].waiting = 0;
}

}  // namespace

TEST_CASE("a namespace that waits for one inside of it: the cause is told once") {
  const Findings findings = judge(nest);
  REQUIRE(findings.namespaces.size() == 2);
  const NamespaceFinding& inner = find(findings, kNamespace);
  CHECK(inner.verdict == Verdict::deadlocked);
  CHECK(inner.blocked_threads.size() == 1);
  CHECK(inner.waits_for.empty());
  const NamespaceFinding& outer = find(findings, kOuter);
  CHECK(outer.waits_for == std::vector{kNamespace});
  CHECK(outer.blocked_threads.empty());
  CHECK(outer.connections.empty());
  CHECK_FALSE(outer.stuck);
  CHECK(outer.verdict == Verdict::deadlocked);
  CHECK(outer.wait_class == WaitClass::fuse_flush);
}

TEST_CASE("an outer namespace with a cause of its own has both") {
  const Findings findings = judge([](Snapshot& s) {
    nest(s);
    add_process(s, brief(91, 90, 1, 2, 'D', false), thread(91, 'D', {"rpc_wait_bit_killable", "nfs_file_flush"}))
        .pid_namespace = kOuter;
  });
  const NamespaceFinding& outer = find(findings, kOuter);
  CHECK(outer.waits_for == std::vector{kNamespace});
  CHECK(outer.verdict == Verdict::not_fuse);
  CHECK(outer.wait_class == WaitClass::nfs);
  CHECK(outer.stuck);
}

TEST_CASE("a dead member that nobody takes away") {
  SECTION("a child of init is its tracer's") {
    const Findings findings = judge([](Snapshot& s) {
      s.processes.push_back(brief(200, 1, 0, 200, 'S', true));
      die(s, 100, 200);
    });
    const NamespaceFinding& found = find(findings, kNamespace);
    CHECK(found.wait_class == WaitClass::ptrace);
    CHECK(found.verdict == Verdict::not_fuse);
    REQUIRE(found.blocked_threads.size() == 1);
    REQUIRE(found.blocked_threads[0].awaited);
    CHECK(found.blocked_threads[0].awaited->pid == 200);
  }
  SECTION("one with a parent outside is that parent's") {
    const Findings findings = judge([](Snapshot& s) {
      s.processes.push_back(brief(200, 1, 0, 200, 'S', true));
      die(s, 200);
      s.suspects[0].threads[0].stack = {"zap_pid_ns_processes", "do_exit"};
    });
    const NamespaceFinding& found = find(findings, kNamespace);
    CHECK(found.state == DyingState::draining);
    CHECK(found.wait_class == WaitClass::unreaped_child);
    CHECK(found.blocked_threads.at(0).awaited->pid == 200);
  }
  SECTION("while init still reaps, a dead child is one that is just being reaped") {
    const Findings findings =
        judge([](Snapshot& s) { die(s, 100); }, [](Snapshot& s) { s.suspects[0].threads[0].context_switches = 9; });
    CHECK(find(findings, kNamespace).blocked_threads.empty());
  }
}

TEST_CASE("threads of one process that wait for each other") {
  const auto with_thread = [](std::vector<std::string> first, std::vector<std::string> second) {
    const Findings findings = judge([&](Snapshot& s) {
      s.suspects[1].threads[0].stack = first;
      s.suspects[1].threads[0].exiting = false;
      ThreadSample other = thread(102, 'D', second);
      other.mounts = s.suspects[1].threads[0].mounts;
      s.suspects[1].threads.push_back(other);
    });
    return find(findings, kNamespace);
  };
  const std::vector<std::string> worker = {"request_wait_answer", "fuse_simple_request", "fuse_fsync_common",
                                           "io_issue_sqe",        "io_wq_submit_work",   "io_wq_worker"};
  SECTION("the leader of io_uring has the verdict of its worker, and is told first") {
    const NamespaceFinding found = with_thread({"io_wq_put_and_exit", "io_uring_cancel_generic", "do_exit"}, worker);
    CHECK(found.wait_class == WaitClass::io_uring);
    CHECK(found.verdict == Verdict::deadlocked);
    REQUIRE(found.blocked_threads.size() == 2);
    CHECK(found.blocked_threads[0].id.tid == 101);
    CHECK(found.blocked_threads[0].connection == kWedged);
    CHECK(found.connections == std::vector{kWedged});
  }
  SECTION("without a worker that says so, io_uring may wait for anything") {
    const NamespaceFinding found = with_thread({"io_wq_put_and_exit", "io_uring_cancel_generic", "do_exit"},
                                               {"rpc_wait_bit_killable", "nfs_wb_all"});
    CHECK(found.verdict == Verdict::undetermined);
  }
  SECTION("who is behind a lock is told after the one that holds it") {
    const NamespaceFinding found = with_thread({"fuse_file_write_iter", "vfs_write"},
                                               {"request_wait_answer", "fuse_perform_write", "fuse_file_write_iter"});
    REQUIRE(found.blocked_threads.size() == 2);
    CHECK(found.wait_class == WaitClass::fuse_request);
    CHECK(found.blocked_threads[0].id.tid == 102);
    CHECK(found.blocked_threads[1].wait_class == WaitClass::fuse_lock);
    CHECK(found.blocked_threads[1].verdict == Verdict::deadlocked);
  }
  SECTION("a lock of another file system stays that") {
    const NamespaceFinding found = with_thread({"mutex_lock", "ext4_file_write_iter"}, kFlush);
    REQUIRE(found.blocked_threads.size() == 2);
    CHECK(found.blocked_threads[1].wait_class == WaitClass::block_io);
    CHECK_FALSE(found.blocked_threads[1].connection);
  }
}

TEST_CASE("an init that will never do anything else is dying, though it still has its memory") {
  const auto doomed = [](Snapshot& s, bool ProcessBrief::*why) {
    s.processes[1].has_memory = true;
    s.processes[1].*why = true;
    s.suspects[0].brief = s.processes[1];
    s.suspects[0].threads = {thread(100, 'D', {"fuse_direct_IO", "vfs_read"})};
    s.suspects[0].threads[0].has_memory = true;
    s.suspects[0].threads[0].exiting = false;
    s.suspects[0].threads[0].mounts =
        std::make_shared<const MountTable>(MountTable{{mount(66, kWedged)}, true, false, {}});
    s.suspects.pop_back();
    s.processes[2] = brief(101, 100, 1, 2, 'S', true);
  };
  for (bool ProcessBrief::*why : {&ProcessBrief::killed, &ProcessBrief::core_dumping, &ProcessBrief::told_to_die}) {
    const Findings findings = judge([&](Snapshot& s) { doomed(s, why); });
    REQUIRE(findings.namespaces.size() == 1);
    CHECK(findings.namespaces[0].state == DyingState::init_blocked);
    CHECK(findings.namespaces[0].verdict == Verdict::deadlocked);
    CHECK(findings.stuck_exits.empty());
  }
}

TEST_CASE("whose container, from memory: cgroup v1 shows nothing for a task that exits") {
  const std::string path = "/docker/3bd9ede1fe0b02766920dc46597acfc53e635a5a9bc494cce3d79e78e75b5bde";
  const DetectSettings settings{2s, false};
  Snapshot alive = deadlock();
  alive.processes[1].has_memory = true;
  alive.suspects.clear();
  alive.init_cgroups[100] = {path};
  const History history = detect(alive, History{}, settings).history;
  const auto container_after = [&](const std::function<void(Snapshot&)>& change) {
    Snapshot dying = deadlock();
    change(dying);
    return find(detect(dying, history, settings).findings, kNamespace).container;
  };
  SECTION("known") {
    const auto container = container_after([](Snapshot&) {});
    REQUIRE(container);
    CHECK(container->id == path.substr(8));
    CHECK(container->runtime == "docker");
  }
  SECTION("also where its parent has ended since") {
    CHECK(container_after([](Snapshot& s) {
      s.processes[0].pid = 7;
      s.processes[1].ppid = 7;
    }));
  }
  SECTION("another parent beside the old one: another process") {
    CHECK_FALSE(container_after([](Snapshot& s) {
      s.processes.push_back(brief(7, 1, 0, 7, 'S', true));
      s.processes[1].ppid = 7;
    }));
  }
  SECTION("one pass that could not read it does not forget it") {
    Snapshot blind = deadlock();
    blind.processes.erase(blind.processes.begin() + 1);
    blind.suspects.erase(blind.suspects.begin());
    add_gap(blind.gaps, "status", ErrorKind::io);
    const History kept = detect(blind, history, settings).history;
    CHECK(find(detect(deadlock(), kept, settings).findings, kNamespace).container);
  }
}

TEST_CASE("the control group of a namespace: init's own, the remembered one, one that its members agree on") {
  const DetectSettings settings{2s, false};
  const auto remembered = [&](const std::vector<std::string>& paths) {
    Snapshot alive = deadlock();
    alive.processes[1].has_memory = true;
    alive.suspects.clear();
    alive.init_cgroups[100] = paths;
    return detect(alive, History{}, settings).history;
  };
  const auto found = [&](const History& history, const std::function<void(Snapshot&)>& change) {
    Snapshot dying = deadlock();
    change(dying);
    return find(detect(dying, history, settings).findings, kNamespace);
  };
  const auto nothing = [](Snapshot&) {};
  const std::string docker = "/docker/" + std::string(64, 'c');
  CHECK(found(History{}, nothing).cgroup.empty());
  SECTION("what init shows comes first, v2 before v1, without the mark of a removed one") {
    const auto show = [](Snapshot& s) { s.suspects[0].cgroup_paths = {"/v2/a (deleted)", "/v1/a"}; };
    CHECK(found(remembered({"/old"}), show).cgroup == "/v2/a");
    CHECK(found(History{}, [](Snapshot& s) { s.suspects[0].cgroup_paths = {" (deleted)"}; }).cgroup == " (deleted)");
  }
  SECTION("what init was in while it lived, whether or not it names a container") {
    const History history = remembered({"/user.slice/a", "/v1/a"});
    CHECK(found(history, nothing).cgroup == "/user.slice/a");
    CHECK_FALSE(found(history, nothing).container);
    const auto other = [](Snapshot& s) { s.suspects[1].cgroup_paths = {"/of/a/member"}; };
    CHECK(found(history, other).cgroup == "/user.slice/a");
  }
  SECTION("of several the one that names a container is remembered") {
    const History history = remembered({"/user.slice/a", docker});
    CHECK(found(history, nothing).cgroup == docker);
    CHECK(found(history, nothing).container->id == docker.substr(8));
  }
  SECTION("one that shows none is not remembered") { CHECK(remembered({}).containers.empty()); }
  SECTION("members that agree, or nothing") {
    const auto tell = [](const std::string& second) {
      return [second](Snapshot& s) {
        s.suspects[1].cgroup_paths = {"/a (deleted)", "/v1"};
        add_process(s, brief(102, 100, 1, 3, 'Z', false), thread(102, 'D', kFlush)).cgroup_paths = {second};
      };
    };
    CHECK(found(History{}, tell("/a")).cgroup == "/a");
    CHECK(found(History{}, tell("/b")).cgroup.empty());
  }
}

TEST_CASE("an init in no container does not hide the container around it") {
  const DetectSettings settings{2s, false};
  const std::string docker = "/docker/" + std::string(64, 'c');
  Snapshot alive;
  alive.processes = {brief(1, 0, 0, 1, 'S', true), brief(50, 1, 1, 1, 'S', true), brief(60, 50, 2, 1, 'S', true),
                     brief(70, 60, 2, 2, 'Z', false)};
  alive.init_cgroups = {{50, {docker}}, {60, {"/sandbox"}}};
  const History history = detect(alive, History{}, settings).history;
  REQUIRE(history.containers.size() == 2);
  alive.suspects.push_back(ProcessSample{});
  ProcessSample& suspect = alive.suspects.back();
  suspect.id = ProcessId{70, 5};
  suspect.brief = alive.processes.back();
  suspect.threads = {thread(70, 'D', kFlush)};
  alive.taken.boottime = 5s;
  const History standing = detect(alive, history, settings).history;
  alive.taken.boottime = 10s;
  const Findings findings = detect(alive, standing, settings).findings;
  REQUIRE(findings.stuck_exits.size() == 1);
  REQUIRE(findings.stuck_exits[0].container);
  CHECK(findings.stuck_exits[0].container->id == docker.substr(8));
}

TEST_CASE("what the readers disagree on is told of every connection") {
  for (const bool disagree : {false, true}) {
    const Findings findings = judge([&](Snapshot& s) {
      s.connections.push_back(ConnectionSample{kOther, 0, 0, 0, 7});
      if (!s.surroundings) s.surroundings.emplace();
      s.surroundings->readers_disagree = disagree;
    });
    REQUIRE(findings.connections.size() == 2);
    for (const ConnectionFinding& connection : findings.connections) CHECK(connection.readers_disagree == disagree);
  }
  for (const ConnectionFinding& connection : judge([](Snapshot& s) { s.surroundings.reset(); }).connections) {
    CHECK_FALSE(connection.readers_disagree);
  }
}

TEST_CASE("since when a connection stalls") {
  const DetectSettings settings{2s, false};
  const auto sample = [](Nanoseconds at, std::uint64_t oldest, bool served) {
    Snapshot s = deadlock();
    s.taken = {at, 2'000'000s + at};
    s.processes.resize(1);
    s.suspects.clear();
    s.oldest_requests = std::map<ConnectionId, std::uint64_t>{{kWedged, oldest}};
    if (served) s.surroundings->holders = {holder(1, {kWedged})};
    return s;
  };
  const auto stalled = [&](const std::vector<Snapshot>& samples) {
    Detection last;
    for (const Snapshot& snapshot : samples) last = detect(snapshot, last.history, settings);
    return last.findings.connections.at(0).stalled_since;
  };
  SECTION("the same oldest request: since it was first seen") {
    CHECK(stalled({sample(10s, 7, true), sample(15s, 7, true), sample(20s, 7, true)}) == 2'000'010s);
  }
  SECTION("a busy server answers one and gets the next") {
    CHECK_FALSE(stalled({sample(10s, 7, true), sample(15s, 8, true), sample(20s, 9, true)}));
  }
  SECTION("nobody who could answer: since he was missed, not since requests have waited") {
    CHECK(stalled({sample(10s, 0, true), sample(15s, 0, false), sample(20s, 0, false)}) == 2'000'015s);
    CHECK_FALSE(stalled({sample(10s, 0, true), sample(15s, 0, true), sample(20s, 0, false)}));
  }
  SECTION("a live server, and no number: nothing is said") {
    CHECK_FALSE(stalled({sample(10s, 0, true), sample(15s, 0, true), sample(20s, 0, true)}));
  }
}
