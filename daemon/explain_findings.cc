// SPDX-License-Identifier: Apache-2.0
#include "daemon/explain_findings.h"

#include <algorithm>

#include "daemon/describe.h"
#include "daemon/explain_advice.h"
#include "daemon/explain_evidence.h"
#include "daemon/explain_policy.h"
#include "model/sentences.h"

namespace defused {

namespace {

constexpr std::size_t kMaxThreadsTold = 4;
constexpr std::size_t kMaxConnectionsTold = 4;

std::string name_of(const NamespaceFinding& finding) {
  std::string name = "PID namespace " + std::to_string(finding.id.inode);
  if (finding.container) name += " (" + describe_container(*finding.container) + ")";
  return name;
}

std::string verdict_in_words(Verdict verdict, Evidence evidence) {
  return std::string(verdict_in_words(verdict)) + " Verdict: " + describe_verdict(verdict, evidence) + ".";
}

void add_init_fact(TextPage& page, const NamespaceFinding& finding) {
  const std::string init = "/proc/" + std::to_string(finding.init.pid);
  const std::string name = "'" + finding.init_comm + "'";
  if (finding.state == DyingState::init_blocked) {
    page.fact(init + "/status", name + " is PID 1 of the namespace (last number of NStgid)");
  } else {
    page.fact(init + "/task/*/stack", name + ", PID 1 of the namespace, sits in zap_pid_ns_processes");
  }
}

// ---- sections

void add_unknown(TextPage& page, const NamespaceFinding* finding, const std::vector<BlockedThread>& threads,
                 const ExplainInput& input) {
  page.heading("What is not known");
  bool any = false;
  const auto item = [&](const std::string& text) {
    page.item(text);
    any = true;
  };
  if (finding != nullptr && !finding->stuck && !threads.empty()) {
    item("Whether it stays like this: it has stood still for " + render_age(finding->stuck_for) +
         " only. It counts as stuck after detect.stuck_after.");
  }
  if (finding != nullptr && !finding->gaps.empty()) {
    item("What these files of its processes say, which could not be read: " + describe_gaps(finding->gaps, {}) + ".");
  }
  std::size_t unknown = 0;
  for (const BlockedThread& thread : threads) {
    if (!is_fuse(thread.wait_class) || thread.connection || ++unknown > kMaxThreadsTold) continue;
    item("Which connection thread " + std::to_string(thread.id.tid) + " waits for.");
  }
  auto connections = candidates_of(threads, input.pass.report);
  if (connections.size() > kMaxConnectionsTold) connections.resize(kMaxConnectionsTold);
  for (const ConnectionFinding* connection : connections) {
    const std::string id = "connection " + number(connection->id);
    if (connection->server_state == ServerState::unknown) item("Who could answer on " + id + ".");
    if (!connection->outside_users) {
      item("Who outside uses " + id +
           (connection->mount_ids.empty()
                ? ": on a mount that nobody sees, a working directory or a mapping is in no list."
                : ": not every process could be looked at."));
    }
    if (!connection->outside_viewers) item("Who outside sees " + id + ".");
  }
  const Report& report = input.pass.report;
  if (!report.gaps.empty()) {
    const bool kernel_asked = std::find(report.blind.begin(), report.blind.end(), "bpf") == report.blind.end();
    item("On this host could not be read: " + describe_gaps(report.gaps, report.gap_processes) +
         (kernel_asked ? "; of descriptors (fdinfo) the kernel itself was asked (BPF)." : "."));
  }
  any = add_blindness(page, report) || any;
  if (!any) page.say("Nothing that this rests on.");
}

// `count` is how many there are, told or not.
void add_threads(TextPage& page, const std::vector<BlockedThread>& threads, std::size_t count,
                 const ExplainInput& input) {
  for (std::size_t i = 0; i < std::min(kMaxThreadsTold, threads.size()); ++i) {
    const BlockedThread& thread = threads[i];
    std::string who = "Thread " + std::to_string(thread.id.tid) + " (" + thread.comm + ")";
    if (thread.id.tid != thread.pid) who += " of process " + std::to_string(thread.pid);
    page.say(who + (thread.state == 'Z' ? " is dead, and is still there." : " was told to die and cannot."));
    add_thread_evidence(page, thread, input);
  }
  if (count > kMaxThreadsTold) {
    page.say("and " + std::to_string(count - kMaxThreadsTold) + " blocked threads more; --json has them.");
  }
}

void add_connections(TextPage& page, const std::vector<BlockedThread>& threads, const ExplainInput& input) {
  const auto connections = candidates_of(threads, input.pass.report);
  for (std::size_t i = 0; i < std::min(kMaxConnectionsTold, connections.size()); ++i) {
    page.heading("Connection " + number(connections[i]->id));
    add_connection_evidence(page, *connections[i], input);
  }
  if (connections.size() > kMaxConnectionsTold)
    page.say("and " + std::to_string(connections.size() - kMaxConnectionsTold) + " connections more.");
}

// What was done for a namespace, or on any connection that these threads may wait for.
void add_done(TextPage& page, const std::vector<NamespaceId>& namespaces, std::vector<ConnectionId> connections,
              const std::vector<BlockedThread>& threads, const Report& report) {
  for (const BlockedThread& thread : threads)
    connections.insert(connections.end(), thread.candidates.begin(), thread.candidates.end());
  add_past_actions(page, namespaces, connections, report);
}

// ---- a process that nobody told to die

void add_hanging(TextPage& page, const ProcessFinding& process, const std::vector<BlockedThread>& waiting,
                 const ExplainInput& input) {
  page.say("Nobody told it to die, but " + count_of(waiting.size(), "thread of it stands", "threads of it stand") +
           " still:");
  for (std::size_t i = 0; i < std::min(kMaxThreadsTold, waiting.size()); ++i)
    add_thread_evidence(page, waiting[i], input);
  if (waiting.size() > kMaxThreadsTold) page.say("and " + std::to_string(waiting.size() - kMaxThreadsTold) + " more.");
  add_connections(page, waiting, input);
  add_done(page, {}, {}, waiting, input.pass.report);
  page.heading("What you can do");
  const std::string again = "defused explain pid:" + std::to_string(process.id.pid);
  if (waiting.front().state == 'T' && !is_fuse(waiting.front().wait_class)) {
    page.say("It is stopped. To let it go on:");
    return page.command("kill -CONT " + std::to_string(process.id.pid));
  }
  if (is_fuse(waiting.front().wait_class)) {
    page.say(
        "It may be killed (kill -9) only while its request has not been taken by the server; otherwise the answer has "
        "to come first.");
  }
  add_advice(page, waiting.front().verdict, waiting, again, input);
}

// Living processes that wait in it; the dying ones have a section of their own.
void add_waiters(TextPage& page, const ConnectionFinding& connection, const Report& report) {
  std::size_t count = 0;
  for (const ProcessFinding& process : report.findings.asked) {
    for (const BlockedThread& thread : process.threads) {
      const bool waits = thread.connection == connection.id && waits_for_something(thread);
      if (waits && ++count <= kMaxThreadsTold) {
        page.fact(task_path(thread) + "/stack", "'" + thread.comm + "' waits in it for " +
                                                    render_age(thread.blocked_for) +
                                                    ", though nobody told it to die: " + stack_in_words(thread.stack));
      }
    }
  }
  if (count > kMaxThreadsTold) page.say("and " + std::to_string(count - kMaxThreadsTold) + " threads more.");
}

}  // namespace

void add_namespace(TextPage& page, const NamespaceFinding& finding, const ExplainInput& input) {
  const std::string id = std::to_string(finding.id.inode);
  if (finding.blocked_threads.empty() && !finding.waits_for.empty()) {
    page.title(name_of(finding) + " is dying and waits for a PID namespace inside of it");
    for (const NamespaceId inner : finding.waits_for)
      page.say("The cause is told at PID namespace " + std::to_string(inner.inode) + ".");
    return;
  }
  if (finding.blocked_threads.empty()) {
    page.title(name_of(finding) + " is dying, and nothing in it is blocked");
    return page.say("It looks like a normal end: it should be gone in a moment. If it is not, look again.");
  }
  page.title(name_of(finding) +
             (finding.stuck ? " cannot die: it has made no progress for " : " is dying and has stood still for ") +
             render_age(finding.stuck_for));
  page.say(verdict_in_words(finding.verdict, finding.evidence));
  page.heading("What it rests on");
  page.say(std::string(state_in_words(finding.state)));
  add_init_fact(page, finding);
  page.say("In it, or below it: " + describe_processes(finding.members, finding.member_count) + ".");
  add_threads(page, finding.blocked_threads,
              std::max<std::size_t>(finding.blocked_thread_count, finding.blocked_threads.size()), input);
  add_connections(page, finding.blocked_threads, input);
  add_unknown(page, &finding, finding.blocked_threads, input);
  add_policy(page, finding, input);
  add_done(page, {finding.id}, finding.connections, finding.blocked_threads, input.pass.report);
  page.heading("What you can do");
  add_advice(page, finding.verdict, finding.blocked_threads, "defused explain namespace:" + id, input);
}

void add_stuck_exit(TextPage& page, const StuckExit& exit, const ExplainInput& input) {
  const BlockedThread& thread = exit.thread;
  std::string name = "Process " + std::to_string(thread.pid) + " (" + thread.comm + ")";
  if (exit.container) name += " in " + describe_container(*exit.container);
  page.title(name + " was told to die and has stood still for " + render_age(thread.blocked_for));
  page.say("It is a stuck exit: it is in no PID namespace that is dying.");
  page.say(verdict_in_words(thread.verdict, thread.evidence));
  page.heading("What it rests on");
  add_threads(page, {thread}, 1, input);
  add_connections(page, {thread}, input);
  add_unknown(page, nullptr, {thread}, input);
  page.heading("What the policy says");
  page.say("defused shows stuck exits and never acts on them, in no mode.");
  add_done(page, {}, {}, {thread}, input.pass.report);
  page.heading("What you can do");
  add_advice(page, thread.verdict, {thread}, "defused explain pid:" + std::to_string(thread.pid), input);
}

void add_connection(TextPage& page, const ConnectionFinding& connection, const ExplainInput& input) {
  const bool trouble = connection.stalled_since || connection.orphaned;
  std::string title = "Connection " + number(connection.id);
  if (!connection.fstype.empty()) title += " (" + connection.fstype + ")";
  if (connection.stalled_since) {
    const Nanoseconds age = std::max(input.pass.report.scanned_at - *connection.stalled_since, Nanoseconds(0));
    title += ": its oldest request has not moved for " + render_age(age);
  } else {
    title += connection.waiting > 0 ? ": requests wait, and they move" : ": healthy, no request waits";
  }
  page.title(title);
  add_connection_evidence(page, connection, input);
  add_waiters(page, connection, input.pass.report);
  if (!trouble) page.say("Nothing of it is blocked.");
  add_past_actions(page, {}, {connection.id}, input.pass.report);
  if (!trouble) return;
  page.heading("What you can do");
  add_connection_advice(page, connection, input);
}

void add_process(TextPage& page, const ProcessFinding& process, const ExplainInput& input) {
  std::string title = "Process " + std::to_string(process.id.pid) + " (" + process.comm + ")";
  if (process.container) title += " in " + describe_container(*process.container);
  std::vector<BlockedThread> waiting;
  std::copy_if(process.threads.begin(), process.threads.end(), std::back_inserter(waiting), waits_for_something);
  page.title(title + (waiting.empty() ? ": nothing of it is blocked" : " hangs"));
  page.fact("/proc/" + std::to_string(process.id.pid) + "/status",
            std::string("State: ") + process.state + "; Threads: " + std::to_string(process.thread_count));
  if (!process.gaps.empty())
    page.fact("/proc/" + std::to_string(process.id.pid), "could not be read: " + describe_gaps(process.gaps, {}));
  const bool late = std::any_of(process.threads.begin(), process.threads.end(), [](const BlockedThread& thread) {
    return std::any_of(thread.gaps.begin(), thread.gaps.end(),
                       [](const auto& gap) { return gap.first.second == ErrorKind::timeout; });
  });
  if (late) {
    page.say(
        "Files of it did not answer in time. That is what a process looks like that stands in execve: whoever reads "
        "its stack, its stat or its links waits with it. Its `status` can be read.");
  }
  if (!waiting.empty()) return add_hanging(page, process, waiting, input);
  if (process.told_to_die) page.say("It was told to die and is on its way.");
}

}  // namespace defused
