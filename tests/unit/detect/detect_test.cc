// SPDX-License-Identifier: Apache-2.0
#include "cases.h"

#include <catch2/catch.hpp>
#include <functional>

using namespace defused;
using namespace std::chrono_literals;

TEST_CASE("the plain deadlock") {
  const Findings findings = judge();
  REQUIRE(findings.namespaces.size() == 1);
  const NamespaceFinding& found = findings.namespaces[0];
  CHECK(found.id == kNamespace);
  CHECK(found.init == ProcessId{100, 900});
  CHECK(found.state == DyingState::reaping);
  CHECK(found.wait_class == WaitClass::fuse_flush);
  CHECK(found.verdict == Verdict::deadlocked);
  CHECK(found.evidence == Evidence::proven);
  CHECK(found.stuck);
  CHECK(found.stuck_for == 5s);
  CHECK(found.since == 2'000'000s);
  CHECK_FALSE(found.gap);
  REQUIRE(found.blocked_threads.size() == 1);
  CHECK(found.blocked_threads[0].id.tid == 101);
  CHECK(found.blocked_threads[0].attribution == Attribution::only_candidate);
  CHECK(found.blocked_threads[0].attribution_serves_acting);
  CHECK(found.connections == std::vector{kWedged});
  REQUIRE(findings.connections.size() == 1);
  CHECK(findings.connections[0].server_state == ServerState::none);
  CHECK(findings.connections[0].outside_users == 0U);
  CHECK(findings.connections[0].outside_viewers == 0U);
  CHECK_FALSE(findings.connections[0].host_mount);
  CHECK(findings.stuck_exits.empty());
}

TEST_CASE("one sample is no proof of being blocked") {
  const Findings findings = detect(deadlock(), History{}, DetectSettings{2s, false}).findings;
  REQUIRE(findings.namespaces.size() == 1);
  CHECK(findings.namespaces[0].blocked_threads.empty());
  CHECK_FALSE(findings.namespaces[0].stuck);
}

TEST_CASE("a context switch between the samples restarts the clock") {
  const Findings findings = judge({}, [](Snapshot& s) { s.suspects[1].threads[0].context_switches = 5; });
  CHECK(findings.namespaces[0].blocked_threads.empty());
  CHECK_FALSE(findings.namespaces[0].stuck);
}

TEST_CASE("another thread with the same TID is another thread") {
  const Findings findings = judge({}, [](Snapshot& s) { s.suspects[1].threads[0].id.start_ticks = 1001; });
  CHECK(findings.namespaces[0].blocked_threads.empty());
}

TEST_CASE("sched tells the age of what stood before we came") {
  const Findings findings = judge([](Snapshot& s) { s.suspects[1].threads[0].slept = 100s; });
  CHECK(findings.namespaces[0].stuck_for == 105s);
}

TEST_CASE("asleep in S is as blocked as in D") {
  const Findings findings = judge([](Snapshot& s) { s.suspects[1].threads[0].state = 'S'; });
  CHECK(findings.namespaces[0].verdict == Verdict::deadlocked);
}

TEST_CASE("init itself blocked: the server is PID 1") {
  const auto change = [](Snapshot& s) {
    s.suspects[0].threads = {thread(100, 'Z', {}), thread(102, 'D', kFlush)};
    s.suspects[0].threads[1].mounts =
        std::make_shared<const MountTable>(MountTable{{mount(66, kWedged)}, true, false, {}});
    s.suspects.pop_back();
    s.processes[1].state = 'Z';
    s.processes[1].threads = 2;
    s.processes[2] = brief(101, 100, 1, 2, 'S', true);  // an ordinary member, alive and not told to die
    s.surroundings->viewers.push_back(Viewer{{101}, MountTable{{mount(66, kWedged)}, true, false, {}}});
    s.surroundings->users.push_back(FileUser{{101, 0}, {66}, {}});
  };
  SECTION("its members are neither users nor viewers") {
    const Findings findings = judge(change);
    CHECK(findings.namespaces[0].state == DyingState::init_blocked);
    CHECK(findings.namespaces[0].verdict == Verdict::deadlocked);
    CHECK(findings.connections[0].outside_users == 0U);
    CHECK(findings.connections[0].outside_viewers == 0U);
  }
  SECTION("a member that holds the device and lives is a server") {
    const Findings findings = judge([&](Snapshot& s) {
      change(s);
      s.surroundings->holders = {holder(101, {kWedged})};
    });
    CHECK(findings.namespaces[0].verdict == Verdict::waiting_on_live_server);
    CHECK(findings.connections[0].server_state == ServerState::alive);
  }
}

TEST_CASE("draining: only a zombie from outside is left") {
  const Findings findings = judge([](Snapshot& s) {
    s.suspects[0].threads[0].stack = {"zap_pid_ns_processes", "do_exit"};
  });
  CHECK(findings.namespaces[0].state == DyingState::draining);
}

TEST_CASE("who could answer, on 6.16 and later") {
  SECTION("a live server outside") {
    const Findings findings = judge([](Snapshot& s) {
      s.processes.push_back(brief(200, 1, 0, 200, 'S', true));
      s.surroundings->holders = {holder(200, {kWedged})};
    });
    CHECK(findings.namespaces[0].verdict == Verdict::waiting_on_live_server);
    REQUIRE(findings.connections[0].servers.size() == 1);
    CHECK(findings.connections[0].servers[0].state == ServerState::alive);
  }
  SECTION("a stopped one is alive") {
    const Findings findings = judge([](Snapshot& s) {
      s.processes.push_back(brief(200, 1, 0, 200, 'T', true));
      s.surroundings->holders = {holder(200, {kWedged})};
    });
    CHECK(findings.namespaces[0].verdict == Verdict::waiting_on_live_server);
  }
  SECTION("one that was told to die is not") {
    const Findings findings = judge([](Snapshot& s) {
      s.processes.push_back(brief(200, 1, 0, 200, 'D', true));
      s.processes.back().sigkill_pending = s.processes.back().killed = true;
      s.surroundings->holders = {holder(200, {kWedged})};
    });
    CHECK(findings.namespaces[0].verdict == Verdict::deadlocked);
    CHECK(findings.connections[0].server_state == ServerState::dying);
  }
  SECTION("one that came after the walk lives") {
    const Findings findings = judge([](Snapshot& s) { s.surroundings->holders = {holder(999, {kWedged})}; });
    CHECK(findings.namespaces[0].verdict == Verdict::waiting_on_live_server);
  }
  SECTION("one past exit_mm lives while its threads cannot be read") {
    const auto change = [](bool complete) {
      return [complete](Snapshot& s) {
        s.processes.push_back(brief(200, 1, 0, 200, 'Z', false));
        s.processes.back().threads = 2;
        ProcessSample sample;
        sample.id = {200, 1};
        sample.brief = s.processes.back();
        sample.threads_complete = complete;
        s.suspects.push_back(sample);
        s.surroundings->holders = {holder(200, {kWedged})};
      };
    };
    CHECK(judge(change(false)).connections[0].server_state == ServerState::alive);
    CHECK(judge(change(true)).connections[0].server_state == ServerState::dying);
  }
  SECTION("a holder inside the reaped namespace is not") {
    const Findings findings = judge([](Snapshot& s) {
      s.processes.push_back(brief(103, 100, 1, 3, 'S', true));
      s.surroundings->holders = {holder(103, {kWedged})};
    });
    CHECK(findings.namespaces[0].verdict == Verdict::deadlocked);
  }
  SECTION("a server of another connection says nothing") {
    const Findings findings = judge([](Snapshot& s) { s.surroundings->holders = {holder(1, {kOther})}; });
    CHECK(findings.namespaces[0].verdict == Verdict::deadlocked);
  }
}

TEST_CASE("a server that was there in the last sample is not long gone, however long the thread has waited") {
  const auto lives = [](Snapshot& s) {
    s.processes.push_back(brief(200, 1, 0, 200, 'S', true));
    s.surroundings->holders = {holder(200, {kWedged})};
  };
  Snapshot sample = deadlock();
  CHECK_FALSE(detect(sample, History{}, DetectSettings{2s, false}).findings.connections[0].server_gone_for);
  lives(sample);
  const Detection first = detect(sample, History{}, DetectSettings{2s, false});
  CHECK_FALSE(first.findings.connections[0].server_gone_for);
  History history = first.history;
  for (const Nanoseconds gone : {0s, 10s}) {  // the first look without it is 5 s after the last one with it
    Snapshot later = deadlock();
    later.taken.boottime = sample.taken.boottime + 5s + gone;
    Detection next = detect(later, history, DetectSettings{2s, false});
    CHECK(next.findings.connections[0].server_gone_for == gone);
    history = std::move(next.history);
  }
  Snapshot reused = deadlock();
  reused.connections[0].directory_inode += 1;
  CHECK_FALSE(detect(reused, history, DetectSettings{2s, false}).findings.connections[0].server_gone_for);
}

TEST_CASE("a server whose leader is to go because another thread calls execve is alive") {
  const Findings findings = judge([](Snapshot& s) {
    s.processes.push_back(brief(200, 1, 0, 200, 'D', true));
    s.processes.back().sigkill_pending = true;
    s.surroundings->holders = {holder(200, {kWedged})};
  });
  CHECK(findings.namespaces[0].verdict == Verdict::waiting_on_live_server);
}

TEST_CASE("unreadable means unknown, never none") {
  const auto undetermined = [](const std::function<void(Snapshot&)>& change) {
    const Findings findings = judge(change);
    CHECK(findings.namespaces[0].verdict == Verdict::undetermined);
    CHECK(findings.connections[0].server_state == ServerState::unknown);
  };
  undetermined([](Snapshot& s) { s.surroundings->holders_complete = false; });
  undetermined([](Snapshot& s) { s.surroundings.reset(); });
  undetermined([](Snapshot& s) { add_gap(s.gaps, "status", ErrorKind::denied); });
  undetermined([](Snapshot& s) {
    s.kernel.fdinfo_names_connection = false;
    s.surroundings->viewers_complete = false;
  });
}

TEST_CASE("gaps show") {
  CHECK(
      judge([](Snapshot& s) { add_gap(s.suspects[1].threads[0].gaps, "mountinfo", ErrorKind::io); }).namespaces[0].gap);
  CHECK(judge([](Snapshot& s) { s.suspects[1].threads_complete = false; }).namespaces[0].gap);
  CHECK(judge([](Snapshot& s) { s.fusectl_present = false; }).namespaces[0].gap);
  const Findings findings = judge([](Snapshot& s) { s.surroundings->users_complete = false; });
  CHECK_FALSE(findings.connections[0].outside_users.has_value());
}

TEST_CASE("before 6.16 a server is none only where every descriptor is explained") {
  const auto old_kernel = [](Snapshot& s) {
    s.kernel.fdinfo_names_connection = false;
    s.processes.push_back(brief(200, 1, 0, 200, 'S', true));
    s.connections.push_back(ConnectionSample{kOther, 0, 12, 9, 6});
    s.surroundings->viewers = {Viewer{{1, 200}, MountTable{{mount(70, kOther)}, true, false, {}}}};
  };
  SECTION("no descriptor at all") {
    const Findings findings = judge([](Snapshot& s) { s.kernel.fdinfo_names_connection = false; });
    CHECK(findings.namespaces[0].verdict == Verdict::deadlocked);
    CHECK(findings.namespaces[0].evidence == Evidence::inferred);
  }
  SECTION("explained by the connection that its process has mounted") {
    const Findings findings = judge([&](Snapshot& s) {
      old_kernel(s);
      s.surroundings->holders = {holder(200, {}, 1)};
    });
    CHECK(findings.namespaces[0].verdict == Verdict::deadlocked);
    CHECK(findings.namespaces[0].evidence == Evidence::inferred);
  }
  SECTION("one connection explains one descriptor") {
    const Findings findings = judge([&](Snapshot& s) {
      old_kernel(s);
      s.surroundings->holders = {holder(200, {}, 2)};
    });
    CHECK(findings.namespaces[0].verdict == Verdict::undetermined);
  }
  SECTION("not even when two processes share it") {
    const Findings findings = judge([&](Snapshot& s) {
      old_kernel(s);
      s.surroundings->holders = {holder(200, {}, 1), holder(1, {}, 1)};
    });
    CHECK(findings.namespaces[0].verdict == Verdict::undetermined);
  }
  SECTION("the connection itself explains nothing") {
    const Findings findings = judge([&](Snapshot& s) {
      old_kernel(s);
      s.surroundings->viewers[0].mounts.fuse_mounts = {mount(66, kWedged)};
      s.surroundings->holders = {holder(200, {}, 1)};
    });
    CHECK(findings.namespaces[0].verdict == Verdict::undetermined);
  }
}

TEST_CASE("which connection") {
  SECTION("of two mounts only one waits") {
    const Findings findings = judge([](Snapshot& s) {
      edit_mounts(s.suspects[1].threads[0], [](MountTable& table) { table.fuse_mounts.push_back(mount(67, kOther)); });
      s.connections.push_back(ConnectionSample{kOther, 0, 12, 9, 6});
    });
    const BlockedThread& blocked = findings.namespaces[0].blocked_threads[0];
    CHECK(blocked.attribution == Attribution::by_waiting);
    CHECK(blocked.connection == kWedged);
    CHECK(findings.namespaces[0].connections == std::vector{kWedged});
  }
  SECTION("both wait: ambiguous, yet deadlocked where nobody can answer on either") {
    const auto change = [](Snapshot& s) {
      edit_mounts(s.suspects[1].threads[0], [](MountTable& table) { table.fuse_mounts.push_back(mount(67, kOther)); });
      s.connections.push_back(ConnectionSample{kOther, 1, 12, 9, 6});
    };
    const Findings findings = judge(change);
    CHECK(findings.namespaces[0].blocked_threads[0].attribution == Attribution::ambiguous);
    CHECK_FALSE(findings.namespaces[0].blocked_threads[0].connection);
    CHECK(findings.namespaces[0].verdict == Verdict::deadlocked);
    const Findings one_alive = judge([&](Snapshot& s) {
      change(s);
      s.surroundings->holders = {holder(1, {kOther})};
    });
    CHECK(one_alive.namespaces[0].verdict == Verdict::undetermined);
  }
  SECTION("waiting in one sample only is not enough") {
    const Findings findings =
        judge([](Snapshot& s) { s.connections[0].waiting = 0; }, [](Snapshot& s) { s.connections[0].waiting = 1; });
    CHECK(findings.namespaces[0].blocked_threads[0].attribution == Attribution::unknown);
    CHECK(findings.namespaces[0].verdict == Verdict::undetermined);
  }
  SECTION("a recycled number is another connection") {
    const Findings findings = judge({}, [](Snapshot& s) { s.connections[0].directory_inode = 99; });
    CHECK(findings.namespaces[0].blocked_threads[0].attribution == Attribution::unknown);
  }
  SECTION("no mountinfo any more") {
    const Findings findings = judge([](Snapshot& s) { s.suspects[1].threads[0].mounts.reset(); });
    CHECK(findings.namespaces[0].verdict == Verdict::undetermined);
  }
}

TEST_CASE("an attribution by mounts does not serve acting where something waits out of sight") {
  SECTION("a waiting connection in nobody's mountinfo") {
    const Findings findings = judge([](Snapshot& s) {
      s.connections.push_back(ConnectionSample{kOther, 1, 12, 9, 6});
    });
    CHECK(findings.namespaces[0].verdict == Verdict::deadlocked);
    CHECK_FALSE(findings.namespaces[0].blocked_threads[0].attribution_serves_acting);
  }
  SECTION("an overlay frame") {
    const Findings findings = judge([](Snapshot& s) {
      s.suspects[1].threads[0].stack->insert(s.suspects[1].threads[0].stack->begin() + 3, "ovl_flush");
    });
    CHECK_FALSE(findings.namespaces[0].blocked_threads[0].attribution_serves_acting);
  }
}

TEST_CASE("who would be hurt") {
  const auto outsider = [](Snapshot& s) { s.processes.push_back(brief(200, 1, 0, 200, 'S', true)); };
  SECTION("a user outside") {
    const Findings findings = judge([&](Snapshot& s) {
      outsider(s);
      s.surroundings->users = {FileUser{{200, 0}, {66}, {}}};
    });
    CHECK(findings.connections[0].outside_users == 1U);
  }
  SECTION("a viewer outside, and one that is the host") {
    const Findings findings = judge([&](Snapshot& s) {
      outsider(s);
      const MountTable table{{mount(166, kWedged)}, true, false, {}};
      s.surroundings->viewers = {Viewer{{1}, table}, Viewer{{200}, table}};
    });
    CHECK(findings.connections[0].outside_viewers == 2U);
    CHECK(findings.connections[0].host_mount);
  }
  SECTION("a mount namespace of the dying only is no viewer") {
    const Findings findings = judge([](Snapshot& s) {
      s.surroundings->viewers.push_back(Viewer{{101}, MountTable{{mount(66, kWedged)}, true, false, {}}});
    });
    CHECK(findings.connections[0].outside_viewers == 0U);
  }
}

TEST_CASE("a wait for something else") {
  const Findings findings = judge([](Snapshot& s) {
    s.suspects[1].threads[0].stack = {"rpc_wait_bit_killable", "nfs4_file_flush", "do_exit"};
  });
  CHECK(findings.namespaces[0].verdict == Verdict::not_fuse);
  CHECK(findings.namespaces[0].wait_class == WaitClass::nfs);
  CHECK(findings.namespaces[0].connections.empty());
}

TEST_CASE("without stacks wchan is the fallback") {
  const Findings findings = judge([](Snapshot& s) {
    s.suspects[0].threads[0].stack.reset();
    s.suspects[0].threads[0].wchan = "do_wait";
    s.suspects[1].threads[0].stack.reset();
    s.suspects[1].threads[0].wchan = "request_wait_answer";
    add_gap(s.suspects[1].threads[0].gaps, "stack", ErrorKind::denied);
  });
  CHECK(findings.namespaces[0].state == DyingState::reaping);
  CHECK(findings.namespaces[0].wait_class == WaitClass::fuse_request);
  CHECK(findings.namespaces[0].gap);
}

TEST_CASE("a stuck exit outside of any namespace is told, not mixed in") {
  const Findings findings = judge([](Snapshot& s) {
    s.suspects.erase(s.suspects.begin());
    s.processes[1].has_memory = true;  // its init lives on
    s.processes[2].level = 0;
    s.suspects[0].brief.level = 0;
    s.processes[2].ppid = 1;
  });
  CHECK(findings.namespaces.empty());
  REQUIRE(findings.stuck_exits.size() == 1);
  CHECK(findings.stuck_exits[0].thread.verdict == Verdict::deadlocked);
}

TEST_CASE("a connection that ends while it is looked at is no orphan") {
  const auto alone = [](Snapshot& snapshot) {
    snapshot.processes = {brief(1, 0, 0, 1, 'S', true)};
    snapshot.suspects.clear();
  };
  Snapshot first = deadlock();
  alone(first);
  const Findings once = detect(first, History{}, DetectSettings{2s, false}).findings;
  REQUIRE(once.connections.size() == 1);
  CHECK(once.connections[0].server_state == ServerState::none);
  CHECK_FALSE(once.connections[0].orphaned);
  const Findings twice = judge(alone);
  REQUIRE(twice.connections.size() == 1);
  CHECK(twice.connections[0].orphaned);
}

TEST_CASE("history forgets what is gone") {
  const DetectSettings settings{2s, false};
  const History first = detect(deadlock(), History{}, settings).history;
  CHECK(first.threads.size() == 2);  // init's too: only once it stands still, dead children are told
  CHECK(first.namespaces.size() == 1);
  Snapshot empty;
  empty.fusectl_present = true;
  const History second = detect(empty, first, settings).history;
  CHECK(second.threads.empty());
  CHECK(second.namespaces.empty());
  CHECK(second.connections.empty());
}
