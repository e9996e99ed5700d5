// SPDX-License-Identifier: Apache-2.0
#include "detect/subject.h"

#include <algorithm>

#include "detect/container.h"
#include "detect/remember.h"
#include "detect/world.h"

namespace defused {

namespace {

constexpr std::size_t kMaxMembersRead = 16;

bool starts_with(const std::string& text, const std::string& prefix) { return text.rfind(prefix, 0) == 0; }

bool is_of_container(const std::optional<Container>& container, const std::string& text) {
  return container && ((!container->id.empty() && starts_with(container->id, text)) ||
                       (!container->pod_uid.empty() && starts_with(container->pod_uid, text)));
}

// A few digits are a PID or a connection; a short id of docker has twelve characters.
bool may_name_container(const Subject& subject) {
  constexpr std::size_t kShortId = 12;
  return subject.kind == SubjectKind::container ||
         (subject.kind == SubjectKind::any && (!subject.number || subject.text.size() >= kShortId));
}

bool may_be(const Subject& subject, SubjectKind kind) {
  return (subject.kind == kind || subject.kind == SubjectKind::any) && subject.number;
}

std::string container_name(const Container& container) {
  std::string name = "container " + (container.id.empty() ? "of pod " + container.pod_uid : container.id);
  if (!container.runtime.empty()) name += " (" + container.runtime + ")";
  return name;
}

// Which living or dying inits belong to a container, by what is remembered of their control groups.
std::map<pid_t, Container> contained_inits(const History& history) {
  std::map<pid_t, Container> out;
  for (const auto& [pid, memory] : history.containers) {
    if (auto found = find_container({memory.path})) out.emplace(pid, *std::move(found));
  }
  return out;
}

// `init` and all below it; those in D first, then the stopped ones.
std::set<pid_t> standing_members(const std::set<pid_t>& inits, const Snapshot& snapshot) {
  std::set<pid_t> below = inits;
  // By PID parents mostly come first; what is missed is found by going round until nothing is added.
  for (bool added = true; added;) {
    added = false;
    for (const ProcessBrief& process : snapshot.processes) {
      if (below.count(process.ppid) > 0 && below.insert(process.pid).second) added = true;
    }
  }
  std::vector<const ProcessBrief*> members;
  for (const ProcessBrief& process : snapshot.processes) {
    if (below.count(process.pid) > 0 && !process.is_finished()) members.push_back(&process);
  }
  const auto weight = [](const ProcessBrief* process) {
    if (process->state == 'D') return 0;
    return process->state == 'T' || process->state == 't' ? 1 : 2;
  };
  std::stable_sort(members.begin(), members.end(), [&](const auto* a, const auto* b) { return weight(a) < weight(b); });
  std::set<pid_t> out;
  for (const ProcessBrief* member : members) {
    if (out.size() < kMaxMembersRead) out.insert(member->pid);
  }
  return out;
}

std::set<pid_t> inits_of_container(const Subject& subject, const History& history) {
  std::set<pid_t> inits;
  for (const auto& [pid, container] : contained_inits(history)) {
    if (is_of_container(container, subject.text)) inits.insert(pid);
  }
  return inits;
}

std::set<pid_t> inits_of_namespace(const Subject& subject, const Snapshot& snapshot) {
  std::set<pid_t> inits;
  for (const auto& [pid, id] : snapshot.init_namespaces) {
    if (pid != 0 && subject.number == id.inode) inits.insert(pid);
  }
  return inits;
}

template <typename T>
void add_once(std::vector<T>& to, const T& value) {
  if (std::find(to.begin(), to.end(), value) == to.end()) to.push_back(value);
}

class Finder {
 public:
  Finder(const Subject& subject, const Snapshot& snapshot, const Findings& findings, const History& history)
      : subject_(subject), snapshot_(snapshot), findings_(findings), history_(history), tree_(snapshot) {}

  SubjectFinding run() {
    out_.subject = subject_;
    if (subject_.kind == SubjectKind::everything) {
      find_everything();
      return std::move(out_);
    }
    find_process();
    find_connection();
    find_namespace();
    find_containers();
    prefer_what_may_be_stuck();
    return std::move(out_);
  }

 private:
  SubjectReading start(SubjectKind kind, std::string text, std::string name) const {
    SubjectReading reading;
    reading.subject.kind = kind;
    reading.subject.text = std::move(text);
    if (kind != SubjectKind::container) reading.subject.number = subject_.number;
    reading.name = std::move(name);
    return reading;
  }

  void add(SubjectReading reading) {
    ++out_.reading_count;
    if (out_.readings.size() < kMaxReadings) out_.readings.push_back(std::move(reading));
  }

  // Small numbers are kernel threads everywhere, and connections too.
  void prefer_what_may_be_stuck() {
    if (subject_.kind != SubjectKind::any || out_.readings.size() < 2) return;
    out_.reading_count -= static_cast<std::uint32_t>(
        std::erase_if(out_.readings, [](const SubjectReading& reading) { return reading.kernel_thread; }));
  }

  void find_everything() {
    SubjectReading all;
    all.name = "everything that is stuck or stalled";
    for (const NamespaceFinding& finding : findings_.namespaces) {
      if (!finding.blocked_threads.empty() || !finding.waits_for.empty()) add_namespace(finding.id, all);
    }
    for (const StuckExit& exit : findings_.stuck_exits) all.stuck_exits.push_back(exit.thread.id);
    for (const ConnectionFinding& connection : findings_.connections) {
      if (connection.stalled_since || connection.orphaned) all.connections.push_back(connection.id);
    }
    for (const ProcessFinding& process : findings_.asked) all.processes.push_back(process.id.pid);
    add(std::move(all));
  }

  void find_process() {
    if (!may_be(subject_, SubjectKind::process)) return;
    const auto tid = static_cast<pid_t>(*subject_.number);
    const auto owner = snapshot_.thread_owners.find(tid);
    const pid_t pid = owner == snapshot_.thread_owners.end() ? tid : owner->second;
    const ProcessBrief* brief = tree_.brief(pid);
    if (brief == nullptr) return;
    std::string name = "process " + std::to_string(pid) + " (" + brief->name + ")";
    if (pid != tid) name = "thread " + std::to_string(tid) + " of " + name;
    SubjectReading reading = start(SubjectKind::process, subject_.text, std::move(name));
    reading.kernel_thread = brief->kernel_thread;
    add_process(pid, reading);
    add(std::move(reading));
  }

  // A process with all that it waits for, serves or is part of.
  void add_process(pid_t pid, SubjectReading& reading) const {
    const int index = tree_.namespace_of(pid);
    if (index >= 0) add_namespace(tree_.dying()[static_cast<std::size_t>(index)].id, reading);
    for (const StuckExit& exit : findings_.stuck_exits) {
      if (exit.thread.pid != pid) continue;
      add_once(reading.stuck_exits, exit.thread.id);
      add_candidates(exit.thread, reading);
    }
    for (const ProcessFinding& process : findings_.asked) {
      if (process.id.pid != pid) continue;
      add_once(reading.processes, pid);
      for (const BlockedThread& thread : process.threads) add_candidates(thread, reading);
    }
    for (const ConnectionFinding& connection : findings_.connections) {
      if (is_server(connection, pid)) add_once(reading.connections, connection.id);
    }
  }

  static bool is_server(const ConnectionFinding& connection, pid_t pid) {
    return std::any_of(connection.servers.begin(), connection.servers.end(),
                       [&](const Server& server) { return server.id.pid == pid; });
  }

  static void add_candidates(const BlockedThread& thread, SubjectReading& reading) {
    for (const ConnectionId id : thread.candidates) add_once(reading.connections, id);
  }

  // With the ones inside that it waits for: their cause is told there.
  void add_namespace(NamespaceId id, SubjectReading& reading) const {
    std::vector<NamespaceId> todo = {id};
    while (!todo.empty()) {
      const NamespaceId next = todo.back();
      todo.pop_back();
      if (std::find(reading.pid_namespaces.begin(), reading.pid_namespaces.end(), next) !=
          reading.pid_namespaces.end()) {
        continue;
      }
      for (const NamespaceFinding& finding : findings_.namespaces) {
        if (finding.id != next) continue;
        reading.pid_namespaces.push_back(next);
        for (const BlockedThread& thread : finding.blocked_threads) add_candidates(thread, reading);
        todo.insert(todo.end(), finding.waits_for.begin(), finding.waits_for.end());
      }
    }
  }

  void find_connection() {
    if (!may_be(subject_, SubjectKind::connection)) return;
    for (const ConnectionFinding& connection : findings_.connections) {
      if (connection.id.kernel_dev != *subject_.number) continue;
      std::string name = "connection " + std::to_string(connection.id.kernel_dev);
      if (!connection.fstype.empty()) name += " (" + connection.fstype + ")";
      SubjectReading reading = start(SubjectKind::connection, subject_.text, std::move(name));
      reading.connections = {connection.id};
      const auto waits = [&](const BlockedThread& thread) {
        return std::find(thread.candidates.begin(), thread.candidates.end(), connection.id) != thread.candidates.end();
      };
      for (const NamespaceFinding& finding : findings_.namespaces) {
        const auto& threads = finding.blocked_threads;
        if (std::any_of(threads.begin(), threads.end(), waits)) reading.pid_namespaces.push_back(finding.id);
      }
      for (const StuckExit& exit : findings_.stuck_exits) {
        if (waits(exit.thread)) reading.stuck_exits.push_back(exit.thread.id);
      }
      for (const ProcessFinding& process : findings_.asked) {
        const bool waiting = std::any_of(process.threads.begin(), process.threads.end(), waits);
        if (waiting || is_server(connection, process.id.pid)) reading.processes.push_back(process.id.pid);
      }
      add(std::move(reading));
    }
  }

  void find_namespace() {
    if (!may_be(subject_, SubjectKind::pid_namespace)) return;
    const NamespaceId id{*subject_.number};
    std::set<pid_t> inits = inits_of_namespace(subject_, snapshot_);
    const bool dying = std::any_of(findings_.namespaces.begin(), findings_.namespaces.end(),
                                   [&](const NamespaceFinding& finding) { return finding.id == id; });
    const auto own = snapshot_.init_namespaces.find(0);
    const bool is_own = own != snapshot_.init_namespaces.end() && own->second == id;
    if (!dying && inits.empty() && !is_own) return;
    std::string name = "PID namespace " + subject_.text;
    if (is_own) name += " (the host's own)";
    SubjectReading reading = start(SubjectKind::pid_namespace, subject_.text, std::move(name));
    add_namespace(id, reading);
    add_members(inits, reading);
    add(std::move(reading));
  }

  void add_members(const std::set<pid_t>& inits, SubjectReading& reading) const {
    if (inits.empty()) return;
    for (const pid_t pid : standing_members(inits, snapshot_)) add_process(pid, reading);
  }

  void find_containers() {
    if (!may_name_container(subject_)) return;
    std::map<std::string, SubjectReading> found;
    const auto reading_of = [&](const Container& container) -> SubjectReading& {
      const std::string text = container.id.empty() ? container.pod_uid : container.id;
      const auto known = found.find(text);
      if (known != found.end()) return known->second;
      return found.emplace(text, start(SubjectKind::container, text, container_name(container))).first->second;
    };
    std::map<std::string, std::set<pid_t>> inits;
    for (const auto& [pid, container] : contained_inits(history_)) {
      if (!is_of_container(container, subject_.text) || tree_.brief(pid) == nullptr) continue;
      inits[reading_of(container).subject.text].insert(pid);
    }
    for (const NamespaceFinding& finding : findings_.namespaces) {
      if (is_of_container(finding.container, subject_.text)) add_namespace(finding.id, reading_of(*finding.container));
    }
    for (const StuckExit& exit : findings_.stuck_exits) {
      if (!is_of_container(exit.container, subject_.text)) continue;
      SubjectReading& reading = reading_of(*exit.container);
      add_once(reading.stuck_exits, exit.thread.id);
      add_candidates(exit.thread, reading);
    }
    for (auto& [text, reading] : found) {
      add_members(inits[text], reading);
      add(std::move(reading));
    }
  }

  const Subject& subject_;
  const Snapshot& snapshot_;
  const Findings& findings_;
  const History& history_;
  ProcessTree tree_;
  SubjectFinding out_;
};

}  // namespace

std::set<pid_t> processes_to_read(const Subject& subject, const Snapshot& snapshot, const History& history) {
  std::set<pid_t> out;
  if (may_be(subject, SubjectKind::process)) {
    const auto tid = static_cast<pid_t>(*subject.number);
    const auto owner = snapshot.thread_owners.find(tid);
    out.insert(owner == snapshot.thread_owners.end() ? tid : owner->second);
  }
  std::set<pid_t> inits;
  if (may_be(subject, SubjectKind::pid_namespace)) inits.merge(inits_of_namespace(subject, snapshot));
  if (may_name_container(subject)) inits.merge(inits_of_container(subject, history));
  if (!inits.empty()) out.merge(standing_members(inits, snapshot));
  return out;
}

SubjectFinding find_subject(const Subject& subject, const Snapshot& snapshot, const Findings& findings,
                            const History& history) {
  return Finder(subject, snapshot, findings, history).run();
}

std::set<pid_t> processes_around(const SubjectFinding& subject, const Findings& findings) {
  std::set<pid_t> out;
  for (const SubjectReading& reading : subject.readings) {
    for (const ConnectionFinding& connection : findings.connections) {
      const auto& about = reading.connections;
      if (std::find(about.begin(), about.end(), connection.id) == about.end()) continue;
      for (const Server& server : connection.servers) out.insert(server.id.pid);
      for (const NamedProcess& user : connection.users) out.insert(user.pid);
    }
  }
  return out;
}

}  // namespace defused
