// SPDX-License-Identifier: Apache-2.0
// Which connection: what the kernel itself says, what is open, what was open, what hangs beside it.
#include <catch2/catch.hpp>

#include "cases.h"

using namespace defused;
using namespace std::chrono_literals;

namespace {

// Two connections are mounted where the thread is, both wait, both without a server.
void two_wait(Snapshot& snapshot) {
  snapshot.connections.push_back(ConnectionSample{kOther, 1, 12, 9, 6});
  snapshot.suspects[1].threads[0].mounts =
      std::make_shared<const MountTable>(MountTable{{mount(66, kWedged), mount(67, kOther)}, true, false, {}});
}

ThreadSample& waiter(Snapshot& snapshot) { return snapshot.suspects[1].threads[0]; }

const BlockedThread& told(const Findings& findings) { return findings.namespaces.at(0).blocked_threads.at(0); }

void serve(Snapshot& snapshot, ConnectionId connection) {
  snapshot.processes.push_back(brief(200, 1, 0, 200, 'S', true));
  snapshot.surroundings->holders = {holder(200, {connection})};
}

const std::vector<std::string> kPages = {
    "folio_wait_bit", "folio_wait_writeback", "write_inode_now", "fuse_vma_close", "exit_mmap", "do_exit"};

ProcessBrief flusher(const std::string& name, char state = 'D') {
  ProcessBrief out = brief(50, 2, 0, 50, state, false);
  out.kernel_thread = true;
  out.name = name;
  return out;
}

}  // namespace

TEST_CASE("the kernel says in whose queue a thread stands") {
  const auto queued = [](Snapshot& s) {
    two_wait(s);
    waiter(s).queued = kOther;
  };
  SECTION("that is exact, and serves acting") {
    const BlockedThread thread = told(judge(queued));
    CHECK(thread.attribution == Attribution::exact);
    CHECK(thread.connection == kOther);
    CHECK(thread.attribution_serves_acting);
  }
  SECTION("where that connection is said to be idle, nothing else is blamed") {
    const BlockedThread thread = told(judge([&](Snapshot& s) {
      queued(s);
      s.connections[1].waiting = 0;
    }));
    CHECK_FALSE(thread.connection);
    CHECK(thread.verdict == Verdict::undetermined);
  }
  SECTION("one that fusectl does not list is none of those that it lists") {
    const BlockedThread thread = told(judge([](Snapshot& s) { waiter(s).queued = ConnectionId{99}; }));
    CHECK_FALSE(thread.connection);
    CHECK(thread.verdict == Verdict::undetermined);
  }
}

TEST_CASE("what the stack leads to") {
  SECTION("one connection that waits is exact") {
    const BlockedThread thread = told(judge([](Snapshot& s) {
      two_wait(s);
      waiter(s).on_stack = std::vector{kWedged};
    }));
    CHECK(thread.attribution == Attribution::exact);
    CHECK(thread.connection == kWedged);
  }
  SECTION("several prove nothing") {
    const BlockedThread thread = told(judge([](Snapshot& s) {
      two_wait(s);
      waiter(s).on_stack = std::vector{kWedged, kOther};
    }));
    CHECK(thread.attribution == Attribution::ambiguous);
    CHECK_FALSE(thread.attribution_serves_acting);
  }
}

TEST_CASE("what could not be read in the last pass rules nothing out") {
  const auto both = [](Snapshot& s) {
    two_wait(s);
    serve(s, kOther);
  };
  const auto check = [](const Findings& findings) {
    CHECK(findings.namespaces.at(0).verdict == Verdict::undetermined);
    CHECK_FALSE(told(findings).attribution_serves_acting);
  };
  const auto judge_after = [&](const std::function<void(Snapshot&)>& change_first) {
    Snapshot first = deadlock();
    both(first);
    change_first(first);
    Snapshot second = deadlock();
    both(second);
    second.taken.boottime += 5s;
    const DetectSettings settings{2s, false};
    return detect(second, detect(first, History{}, settings).history, settings).findings;
  };
  SECTION("waiting") {
    check(judge_after([](Snapshot& s) { s.connections[1].waiting.reset(); }));
  }
  SECTION("the directory") {
    check(judge_after([](Snapshot& s) { s.connections[1] = ConnectionSample{kOther, std::nullopt, 0, 0, 0}; }));
  }
  SECTION("the whole list") {
    check(judge_after([](Snapshot& s) { s.connections.pop_back(); }));
  }
}

TEST_CASE("a connection that fusectl does not list") {
  const auto check = [](const std::function<void(Snapshot&)>& change) {
    const Findings findings = judge(change);
    CHECK(findings.namespaces.at(0).verdict == Verdict::undetermined);
    CHECK_FALSE(told(findings).attribution_serves_acting);
  };
  SECTION("is mounted where the thread is") {
    check([](Snapshot& s) {
      waiter(s).mounts =
          std::make_shared<const MountTable>(MountTable{{mount(66, kWedged), mount(67, kOther)}, true, false, {}});
    });
  }
  SECTION("virtiofs is mounted there") {
    check([](Snapshot& s) { edit_mounts(waiter(s), [](MountTable& table) { table.has_virtiofs = true; }); });
  }
  SECTION("virtiofs may be a layer of the overlay that it goes through") {
    check([](Snapshot& s) {
      waiter(s).stack->insert(waiter(s).stack->begin() + 3, "ovl_flush");
      s.surroundings->viewers[0].mounts.has_virtiofs = true;
    });
  }
  SECTION("the list is not whole") {
    check([](Snapshot& s) { add_gap(s.gaps, "fusectl", ErrorKind::unsupported); });
  }
  SECTION("a character device in user space") {
    check([](Snapshot& s) { waiter(s).stack = {"request_wait_answer", "fuse_direct_io", "cuse_read_iter"}; });
  }
}

TEST_CASE("without a stack, a wait may go through an overlay that is mounted") {
  const Findings findings = judge([](Snapshot& s) {
    waiter(s).stack.reset();
    waiter(s).wchan = "request_wait_answer";
    edit_mounts(waiter(s), [](MountTable& table) { table.has_overlay = true; });
    s.connections.push_back(ConnectionSample{kOther, 1, 12, 9, 6});
    serve(s, kOther);
    s.surroundings->viewers[0].mounts.fuse_mounts = {mount(68, kOther)};
  });
  CHECK(findings.namespaces.at(0).verdict == Verdict::undetermined);
}

TEST_CASE("a file that is open but mounted elsewhere is a candidate too") {
  const auto open_elsewhere = [](Snapshot& s) {
    s.connections.push_back(ConnectionSample{kOther, 1, 12, 9, 6});
    s.surroundings->viewers[0].mounts.fuse_mounts = {mount(68, kOther)};
    waiter(s).open_mount_ids = {68};
  };
  SECTION("beside one of its own mounts") {
    const BlockedThread thread = told(judge([&](Snapshot& s) {
      open_elsewhere(s);
      serve(s, kOther);
    }));
    CHECK(thread.verdict == Verdict::undetermined);
    CHECK_FALSE(thread.attribution_serves_acting);
  }
  SECTION("where it has no mount of its own") {
    const BlockedThread thread = told(judge([&](Snapshot& s) {
      open_elsewhere(s);
      waiter(s).mounts = std::make_shared<const MountTable>(MountTable{});
    }));
    CHECK(thread.connection == kOther);
    CHECK(thread.verdict == Verdict::deadlocked);
    CHECK_FALSE(thread.attribution_serves_acting);
  }
}

TEST_CASE("the hung flusher names the connection, and does not serve acting") {
  const auto mapped = [](Snapshot& s) {
    two_wait(s);
    waiter(s).stack = kPages;
  };
  SECTION("in both samples") {
    const BlockedThread thread = told(judge([&](Snapshot& s) {
      mapped(s);
      s.processes.push_back(flusher("kworker/u8:3+flush-0:41"));
    }));
    CHECK(thread.connection == kOther);
    CHECK(thread.attribution == Attribution::exact);
    CHECK_FALSE(thread.attribution_serves_acting);
  }
  SECTION("in one sample it may only be busy") {
    const auto late = [](Snapshot& s) { s.processes.push_back(flusher("kworker/u8:3+flush-0:41")); };
    CHECK(told(judge(mapped, late)).attribution == Attribution::ambiguous);
  }
  SECTION("what it did last says nothing, nor does one that runs, nor a name that is none") {
    for (const ProcessBrief& process : {flusher("kworker/u8:3-flush-0:41"), flusher("kworker/u8:3+flush-0:41", 'R'),
                                        flusher("kworker/u8:3+flush-0:x"), flusher("kworker/u8:3+flush-btrfs-1")}) {
      CAPTURE(process.name);
      CHECK(told(judge([&](Snapshot& s) {
              mapped(s);
              s.processes.push_back(process);
            })).attribution == Attribution::ambiguous);
    }
  }
  SECTION("a process that calls itself so is no flusher") {
    CHECK(told(judge([&](Snapshot& s) {
            mapped(s);
            s.processes.push_back(flusher("kworker/u8:3+flush-0:41"));
            s.processes.back().kernel_thread = false;
          })).attribution == Attribution::ambiguous);
  }
  SECTION("who waits for an answer does not wait for pages") {
    CHECK(told(judge([&](Snapshot& s) {
            two_wait(s);
            s.processes.push_back(flusher("kworker/u8:3+flush-0:41"));
          })).attribution == Attribution::ambiguous);
  }
}

TEST_CASE("what a process had open before it stopped") {
  const DetectSettings settings{2s, false};
  const auto living = [](Nanoseconds at) {
    Snapshot s = deadlock();
    s.taken = {at, 2'000'000s};
    s.processes.pop_back();
    s.processes.push_back(brief(101, 100, 1, 2, 'S', true));
    s.processes[1].has_memory = true;
    s.suspects.clear();
    s.connections.push_back(ConnectionSample{kOther, 1, 12, 9, 6});
    return s;
  };
  const auto stopped = [](Nanoseconds at) {
    Snapshot s = deadlock();
    two_wait(s);
    s.taken = {at, 2'000'000s};
    return s;
  };
  const auto judge_after = [&](History history, Nanoseconds at) {
    history = detect(stopped(at), history, settings).history;
    return told(detect(stopped(at + 5s), history, settings).findings);
  };
  Snapshot before = living(900s);
  before.open_files = {FileUser{{101, 1000}, {}, {kOther}}};
  const History history = detect(before, History{}, settings).history;
  REQUIRE(history.open_files.size() == 1);
  SECTION("names the connection, and does not serve acting") {
    const BlockedThread thread = judge_after(history, 1000s);
    CHECK(thread.connection == kOther);
    CHECK(thread.attribution == Attribution::exact);
    CHECK_FALSE(thread.attribution_serves_acting);
  }
  SECTION("is forgotten once it was closed") {
    Snapshot later = living(950s);
    later.open_files = std::vector<FileUser>{};
    const History closed = detect(later, history, settings).history;
    CHECK(closed.open_files.empty());
    CHECK(judge_after(closed, 1000s).attribution == Attribution::ambiguous);
  }
  SECTION("is kept where not all was read") {
    Snapshot later = living(950s);
    later.surroundings->users_complete = false;
    CHECK(detect(later, history, settings).history.open_files.size() == 1);
  }
  SECTION("says nothing long after") {
    CHECK(judge_after(history, 900s + kOpenFilesServe + 1s).attribution == Attribution::ambiguous);
  }
  SECTION("is that of the process, not of its number") {
    History other = history;
    other.open_files = {{ProcessId{101, 7}, history.open_files.begin()->second}};
    CHECK(judge_after(other, 1000s).attribution == Attribution::ambiguous);
  }
}

TEST_CASE("what is remembered is bounded") {
  Snapshot many = deadlock();
  many.open_files.emplace();
  for (pid_t pid = 1000; pid < 1000 + static_cast<pid_t>(kMaxRememberedProcesses) + 100; ++pid) {
    many.processes.push_back(brief(pid, 1, 0, pid, 'S', true));
    many.open_files->push_back(FileUser{{pid, 5}, {}, {kWedged}});
  }
  CHECK(detect(many, History{}, DetectSettings{}).history.open_files.size() <= kMaxRememberedProcesses);
}

TEST_CASE("asynchronous I/O is FUSE's only where a file of a connection that waits is open") {
  const auto in_flight = [](Snapshot& s) { waiter(s).stack = {"exit_aio", "mmput", "do_exit"}; };
  SECTION("then it is told, but not acted on") {
    const BlockedThread thread = told(judge([&](Snapshot& s) {
      in_flight(s);
      waiter(s).open_mount_ids = {66};
    }));
    CHECK(thread.connection == kWedged);
    CHECK(thread.verdict == Verdict::deadlocked);
    CHECK_FALSE(thread.attribution_serves_acting);
  }
  SECTION("nothing waits at all: it is not FUSE") {
    CHECK(told(judge([&](Snapshot& s) {
            in_flight(s);
            s.connections[0].waiting = 0;
          })).verdict == Verdict::not_fuse);
  }
  SECTION("fusectl is not there: nobody knows") {
    CHECK(told(judge([&](Snapshot& s) {
            in_flight(s);
            s.connections.clear();
            s.fusectl_present = false;
          })).verdict == Verdict::undetermined);
  }
}

TEST_CASE("a descriptor that could not be read may be of a connection that is mounted elsewhere") {
  const auto unread = [](Snapshot& s) { add_gap(waiter(s).gaps, "fdinfo", ErrorKind::io); };
  SECTION("then its own mounts do not tell") {
    const BlockedThread thread = told(judge(unread));
    CHECK(thread.verdict == Verdict::undetermined);
    CHECK_FALSE(thread.attribution_serves_acting);
  }
  SECTION("the kernel does") {
    CHECK(told(judge([&](Snapshot& s) {
            unread(s);
            waiter(s).queued = kWedged;
          })).verdict == Verdict::deadlocked);
  }
  SECTION("nor does what is open tell whose asynchronous I/O it is") {
    CHECK(told(judge([&](Snapshot& s) {
            unread(s);
            waiter(s).stack = {"exit_aio", "mmput", "do_exit"};
            waiter(s).open_mount_ids = {66};
          })).verdict == Verdict::undetermined);
  }
}
