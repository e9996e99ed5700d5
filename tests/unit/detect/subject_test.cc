// SPDX-License-Identifier: Apache-2.0
#include "detect/subject.h"

#include <catch2/catch.hpp>

#include "cases.h"

using namespace defused;

namespace {

const std::string kId(64, 'a');
const std::string kOtherId = "ab" + std::string(62, 'c');

// The plain deadlock, a living container with a server outside, and a reader that hangs on connection 41.
Snapshot scene() {
  Snapshot out = deadlock();
  out.processes.push_back(brief(2, 0, 0, 2, 'S', false));
  out.processes.back().kernel_thread = true;
  out.processes.push_back(brief(40, 2, 0, 40, 'S', false));
  out.processes.back().kernel_thread = true;
  out.processes.push_back(brief(200, 1, 1, 1, 'S', true));
  out.processes.push_back(brief(201, 200, 1, 2, 'S', true));
  out.processes.push_back(brief(202, 1, 0, 202, 'S', true));
  out.init_cgroups[200] = {"/docker/" + kId};
  out.init_namespaces[200] = NamespaceId{4026532999};
  out.init_namespaces[0] = NamespaceId{4026531836};
  out.thread_owners[203] = 202;
  out.connections.push_back(ConnectionSample{kOther, 1, 12, 9, 6});
  out.surroundings->holders = {holder(202, {kOther})};
  ProcessSample reader;
  reader.id = {201, 2000};
  reader.brief = out.processes[6];
  reader.asked = true;
  reader.threads = {thread(201, 'D', {"request_wait_answer", "__fuse_simple_request", "fuse_lookup_name"})};
  reader.threads[0].sigkill_pending = false;
  reader.threads[0].exiting = false;
  reader.threads[0].has_memory = true;
  reader.threads[0].mounts = std::make_shared<MountTable>(MountTable{{mount(67, kOther)}, true, false, {}});
  out.suspects.push_back(reader);
  return out;
}

struct Asked {
  Findings findings;
  SubjectFinding subject;
  std::set<pid_t> to_read;
  std::set<pid_t> around;
};

Asked ask(const std::string& text, Snapshot second = scene()) {
  const auto subject = parse_subject(text);
  REQUIRE(subject);
  const DetectSettings settings{2s, true};
  Detection first = detect(scene(), History{}, settings);
  second.taken.boottime += 5s;
  second.taken.wall += 5s;
  Asked out;
  out.to_read = processes_to_read(*subject, second, first.history);
  Detection detection = detect(second, first.history, settings);
  out.findings = std::move(detection.findings);
  out.subject = find_subject(*subject, second, out.findings, detection.history);
  out.around = processes_around(out.subject, out.findings);
  return out;
}

const SubjectReading& only(const Asked& asked) {
  REQUIRE(asked.subject.reading_count == 1);
  return asked.subject.readings.at(0);
}

}  // namespace

TEST_CASE("everything: what is dying with a blocked thread, and what is stalled") {
  const Asked asked = ask("");
  CHECK(only(asked).pid_namespaces == std::vector{kNamespace});
  CHECK(only(asked).stuck_exits.empty());
}

TEST_CASE("a member of a dying namespace, its init, and the namespace itself lead to the namespace") {
  for (const char* text : {"101", "pid:100", "namespace:4026532178", "4026532178"}) {
    const Asked asked = ask(text);
    CHECK(only(asked).pid_namespaces == std::vector{kNamespace});
    CHECK(only(asked).connections == std::vector{kWedged});
  }
}

TEST_CASE("a connection: who waits in it, and who serves it") {
  const Asked dying = ask("connection:40");
  CHECK(only(dying).pid_namespaces == std::vector{kNamespace});
  const Asked living = ask("41");
  CHECK(only(living).connections == std::vector{kOther});
  CHECK(only(living).pid_namespaces.empty());
  CHECK(only(living).processes == std::vector<pid_t>{201});
  CHECK(living.around == std::set<pid_t>{202});
}

TEST_CASE("a connection whose number is that of a kernel thread too is the connection, unless asked otherwise") {
  CHECK(only(ask("40")).subject.kind == SubjectKind::connection);
  CHECK(only(ask("pid:40")).kernel_thread);
}

TEST_CASE("a live process that hangs is judged as it sleeps") {
  const Asked asked = ask("201");
  CHECK(asked.to_read == std::set<pid_t>{201});
  REQUIRE(asked.findings.asked.size() == 1);
  const ProcessFinding& process = asked.findings.asked[0];
  CHECK_FALSE(process.told_to_die);
  REQUIRE(process.threads.size() == 1);
  CHECK(process.threads[0].wait_class == WaitClass::fuse_request);
  CHECK(process.threads[0].verdict == Verdict::waiting_on_live_server);
  CHECK(process.threads[0].samples == 2);
  CHECK(process.container->id == kId);
  CHECK(only(asked).connections == std::vector{kOther});
  CHECK(asked.findings.stuck_exits.empty());  // nobody told it to die
}

TEST_CASE("a thread is looked up in its process; a server leads to what it serves") {
  const Asked asked = ask("203");
  CHECK(asked.to_read == std::set<pid_t>{202});
  CHECK(only(asked).name == "thread 203 of process 202 (p202)");
  CHECK(only(asked).connections == std::vector{kOther});
}

TEST_CASE("a living container by its id or a prefix, and a living namespace: their members are read") {
  for (const std::string& text :
       {kId, kId.substr(0, 12), std::string("container:a"), std::string("namespace:4026532999")}) {
    const Asked asked = ask(text);
    CHECK(asked.to_read == std::set<pid_t>{200, 201});
    CHECK(only(asked).processes == std::vector<pid_t>{201});
    CHECK(only(asked).connections == std::vector{kOther});
  }
  CHECK(only(ask("namespace:4026531836")).name == "PID namespace 4026531836 (the host's own)");
}

TEST_CASE("a prefix of two containers has two readings, nothing at all has none") {
  Snapshot two = scene();
  two.processes.push_back(brief(300, 1, 1, 1, 'S', true));
  two.init_cgroups[300] = {"/docker/" + kOtherId};
  const Asked asked = ask("container:a", two);
  CHECK(asked.subject.reading_count == 2);
  CHECK(ask("container:ab", two).subject.reading_count == 1);
  for (const char* text : {"999", "pid:999", "connection:99", "namespace:1", "container:b", "feedbeef"}) {
    CHECK(ask(text).subject.readings.empty());
  }
}

TEST_CASE("a number that is a PID and a connection has two readings") {
  Snapshot both = scene();
  both.processes.push_back(brief(41, 1, 0, 41, 'S', true));
  const Asked asked = ask("41", both);
  REQUIRE(asked.subject.readings.size() == 2);
  CHECK(describe_subject(asked.subject.readings[0].subject) == "pid:41");
  CHECK(describe_subject(asked.subject.readings[1].subject) == "connection:41");
}
