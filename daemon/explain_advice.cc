// SPDX-License-Identifier: Apache-2.0
#include "daemon/explain_advice.h"

#include <algorithm>

#include "daemon/describe.h"
#include "daemon/explain_evidence.h"
#include "model/by_hand.h"
#include "model/sentences.h"

namespace defused {

namespace {

std::string in_fusectl(ConnectionId id, const char* file) {
  return "/sys/fs/fuse/connections/" + number(id) + "/" + file;
}

std::string of_pid(pid_t pid, const char* file) { return "/proc/" + std::to_string(pid) + "/" + file; }

bool holds(const HandJudgement& judgement, Gate gate) {
  return std::find(judgement.gates.begin(), judgement.gates.end(), gate) != judgement.gates.end();
}

// What a person has said already: this page leads past no such word. False: nobody has.
bool name_what_was_said(TextPage& page, const HandJudgement& judgement) {
  if (holds(judgement, Gate::denied)) {
    page.say("The configuration says that it is never to be aborted (gate `denied`): ask whoever wrote that first.");
    return true;
  }
  if (!holds(judgement, Gate::inhibited)) return false;
  page.say(
      "Actions are paused, or somebody else acts (gate `inhibited`): ask whoever paused them. Once that is settled:");
  page.command("defused resume");
  page.say("Then look again: this page names the command.");
  return true;
}

// The command where it may go through; the file where a gate is known to hold it that asks for a person's judgement.
void name_abort(TextPage& page, ConnectionId id, const Report& report) {
  const HandJudgement judgement = judge_by_hand(report, id);
  if (judgement.answer == HandAnswer::refuses && name_what_was_said(page, judgement)) return;
  if (judgement.answer == HandAnswer::refuses) return page.command("echo 1 > " + in_fusectl(id, "abort"));
  if (judgement.answer == HandAnswer::unasked) {
    page.say("The gates were asked for connection " + number(*judgement.asked_instead) +
             ", which holds the same PID namespace, and not for this one. This command asks them for this one, and "
             "refuses where one holds:");
    page.command("defused abort " + number(id));
    return page.say("Where it acts, it records what it does.");
  }
  page.command("defused abort " + number(id));
  page.say("It looks again, asks the gates of the daemon, and records what it does.");
}

void advise_abort(TextPage& page, const ConnectionFinding& connection, const std::string& again, const Report& report) {
  const std::string id = number(connection.id);
  if (connection.outside_users.value_or(0) > 0) {
    page.say("Do not abort connection " + id + " yet. Live processes outside would lose their files on it: " +
             describe_processes(connection.users, *connection.outside_users) +
             ". End them, or have them close their files; then look again:");
    page.command("defused explain connection:" + id);
    page.say("Once nobody outside uses it, that page names the command that ends this.");
    return;
  }
  page.say("Look again first. It may have ended meanwhile, and its number may be that of another connection by then:");
  page.command(again);
  page.command("cat " + in_fusectl(connection.id, "waiting"));
  if (connection.outside_viewers.value_or(0) > 0) {
    page.say(
        "Processes outside see it mounted, though none has a file open on it; they would be left with a dead mount: " +
        describe_processes(connection.viewers, *connection.outside_viewers) + ".");
  }
  if (!connection.outside_users || !connection.outside_viewers) {
    page.say("Who else uses it is not fully known. Whoever does would lose it: that risk is yours.");
  }
  if (connection.server_evidence == Evidence::inferred) {
    page.say(
        "That nobody can answer is inferred, not proven. Make sure that no server of it is running elsewhere on this "
        "host.");
  }
  const std::string what = connection.fstype.empty() ? "the file system" : "the " + connection.fstype + " file system";
  page.say("If nothing has changed, abort connection " + id +
           ". That destroys it: every request in it fails, for all its clients; "
           "what they had not yet written is lost; " +
           what + " has to be mounted again by whoever mounted it.");
  name_abort(page, connection.id, report);
}

void show_server_threads(TextPage& page, pid_t pid, const Report& report) {
  constexpr std::size_t kShown = 4;
  for (const ProcessFinding& process : report.findings.asked) {
    if (process.id.pid != pid) continue;
    bool idle = false;
    for (std::size_t i = 0; i < std::min(kShown, process.threads.size()); ++i) {
      const BlockedThread& thread = process.threads[i];
      const auto& stack = thread.stack;
      idle = idle || std::find(stack.begin(), stack.end(), "fuse_dev_do_read") != stack.end();
      std::vector<std::string> frames(
          stack.begin(), stack.begin() + static_cast<std::ptrdiff_t>(std::min<std::size_t>(stack.size(), 6)));
      page.fact(task_path(thread) + "/stack", frames.empty() ? "empty, or could not be read" : join(frames, " <- "));
    }
    if (process.threads.size() > kShown)
      page.say("and " + std::to_string(process.thread_count - kShown) + " threads more.");
    if (idle)
      page.say(
          "A thread of it waits for the next request (fuse_dev_do_read): it has taken what waits and is free to "
          "answer, but does not.");
    if (!process.gaps.empty()) page.fact(of_pid(pid, ""), "could not be read: " + describe_gaps(process.gaps, {}));
  }
}

void advise_live_server(TextPage& page, const ConnectionFinding& connection, const ExplainInput& input) {
  constexpr std::size_t kShown = 4;
  page.say("Do not abort connection " + number(connection.id) +
           ": its server is alive, and all its clients would lose their files. Look at the server instead.");
  std::size_t shown = 0;
  for (const Server& server : connection.servers) {
    if (server.state != ServerState::alive || ++shown > kShown) continue;
    const std::string pid = std::to_string(server.id.pid);
    const std::string name = "Process " + pid + " (" + server.comm + ")";
    if (server.process_state == 'T') {
      page.say(name + " is stopped (by SIGSTOP, say). Let it go on:");
      page.command("kill -CONT " + pid);
      continue;
    }
    if (server.process_state == 't') {
      page.say(name +
               " is stopped by a tracer (state t: strace or gdb, say); `kill -CONT` does not help there. Detach the "
               "tracer, or end it: then the kernel lets go of the process. Which one it is:");
      page.command("grep TracerPid " + of_pid(server.id.pid, "status"));
      continue;
    }
    page.say(name + " runs, but has not answered yet. Where it is, and what it says in its log:");
    show_server_threads(page, server.id.pid, input.pass.report);
    page.command("grep State " + of_pid(server.id.pid, "task/*/status"));
    page.command("timeout 2 cat " + of_pid(server.id.pid, "task/*/stack"));
    page.command("journalctl -n 50 _PID=" + pid);
  }
  page.say(
      "When it answers, this ends by itself. If it cannot be brought to answer, restart it by the means of whoever "
      "started it: once the last process that holds its /dev/fuse has ended, the kernel fails all its requests.");
}

void advise_unknown_server(TextPage& page, const ConnectionFinding& connection, const std::string& again) {
  page.say("Do not abort connection " + number(connection.id) +
           ": somebody who cannot be seen may be about to answer. To know more, look for longer:");
  page.command(again + " --samples 10 --every 1s");
  page.command("cat " + in_fusectl(connection.id, "waiting"));
}

void advise_connection(TextPage& page, const ConnectionFinding& connection, const std::string& again,
                       const ExplainInput& input) {
  switch (connection.server_state) {
    case ServerState::none:
    case ServerState::dying: return advise_abort(page, connection, again, input.pass.report);
    case ServerState::alive: return advise_live_server(page, connection, input);
    case ServerState::unknown: return advise_unknown_server(page, connection, again);
  }
}

void advise_parent(TextPage& page, const BlockedThread& thread) {
  if (!thread.awaited) {
    page.say("Its parent is not known. `PPid` in its status names it:");
    page.command("grep PPid " + of_pid(thread.pid, "status"));
    return;
  }
  const std::string parent = std::to_string(thread.awaited->pid);
  page.say(
      "The parent, process " + describe_process(*thread.awaited) +
      ", has to take its dead child away (wait). If it is stopped, let it go on; if not, it has a bug, and "
      "restarting it helps: a dead child of a process that ends is taken over by another one, which takes it away.");
  page.command("grep State " + of_pid(thread.awaited->pid, "status"));
  page.command("kill -CONT " + parent);
}

void advise_tracer(TextPage& page, const BlockedThread& thread) {
  if (!thread.awaited) {
    page.say(
        "Which process traces it is not to be seen any more. Look for debuggers and tracers (strace, gdb, dlv, "
        "perf trace) that work on this container, and end them: the kernel lets go of what an ended tracer held.");
    page.command("grep TracerPid " + of_pid(thread.pid, "task/*/status"));
    return;
  }
  page.say("The tracer, process " + describe_process(*thread.awaited) +
           ", has to take notice or let go: detach it (gdb: `detach`), or end it; the kernel lets go of what an ended "
           "tracer held.");
  page.command("kill " + std::to_string(thread.awaited->pid));
}

void advise_freezer(TextPage& page, const BlockedThread& thread) {
  page.say(
      "Thaw its control group: unpause the container by its runtime (`docker unpause`, `ctr task resume`), or by "
      "hand. Which group it is:");
  page.command("cat " + of_pid(thread.pid, "cgroup"));
  page.say("With cgroup v1, PATH from the line `freezer`; with v2, from the line `0::`:");
  page.command("echo THAWED > /sys/fs/cgroup/freezer/PATH/freezer.state");
  page.command("echo 0 > /sys/fs/cgroup/PATH/cgroup.freeze");
}

void advise_not_fuse(TextPage& page, const BlockedThread& thread) {
  switch (thread.wait_class) {
    case WaitClass::unreaped_child: return advise_parent(page, thread);
    case WaitClass::ptrace: return advise_tracer(page, thread);
    case WaitClass::freezer: return advise_freezer(page, thread);
    case WaitClass::coredump:
      page.say(
          "Let it finish its core dump. If `core_pattern` begins with '|', a helper takes the dump: look at that one.");
      return page.command("cat /proc/sys/kernel/core_pattern");
    case WaitClass::nfs:
    case WaitClass::cifs:
    case WaitClass::ceph:
    case WaitClass::p9:
      page.say(
          "Bring the file server back: then it ends by itself. Which mount it is, its mount table tells; a forced "
          "unmount (umount -f) of that mount point is the last resort and loses what was not yet written.");
      return page.command("cat " + task_path(thread) + "/mountinfo");
    case WaitClass::block_io:
      page.say("Look for errors of the disk or of its controller:");
      return page.command("dmesg | tail -n 50");
    default:
      page.say("An abort of a FUSE connection would not help. The kernel's own log may say more:");
      return page.command("dmesg | tail -n 50");
  }
}

// The worst connection decides what is advised: one that nobody can answer on comes after those of live servers.
std::vector<ConnectionId> connections_behind(const std::vector<BlockedThread>& threads, Verdict verdict) {
  std::vector<ConnectionId> out;
  const auto add = [&](ConnectionId id) {
    if (std::find(out.begin(), out.end(), id) == out.end()) out.push_back(id);
  };
  for (const BlockedThread& thread : threads) {
    if (thread.verdict != verdict) continue;
    if (thread.connection) {
      add(*thread.connection);
    } else {
      std::for_each(thread.candidates.begin(), thread.candidates.end(), add);
    }
  }
  return out;
}

void advise_to_look_on(TextPage& page, const std::vector<BlockedThread>& threads, const std::string& again) {
  page.say("Do not abort anything on this evidence. Look for longer, and at the stack by hand:");
  page.command(again + " --samples 10 --every 1s");
  constexpr std::size_t kShown = 3;
  for (std::size_t i = 0; i < std::min(kShown, threads.size()); ++i) {
    page.command("timeout 2 cat " + task_path(threads[i]) + "/stack");
  }
}

}  // namespace

void add_advice(TextPage& page, Verdict verdict, const std::vector<BlockedThread>& threads, const std::string& again,
                const ExplainInput& input) {
  if (threads.empty()) return;
  const BlockedThread& first = threads.front();
  if (verdict == Verdict::deadlocked && !first.attribution_serves_acting) {
    page.say(
        "That it is this connection rests on what is told above, not on the kernel's word for this thread: be the more "
        "careful.");
  }
  if (verdict == Verdict::not_fuse) return advise_not_fuse(page, threads.front());
  const auto connections = connections_of(connections_behind(threads, verdict), input.pass.report);
  const auto is_silent = [](const ConnectionFinding* connection) {
    return connection->server_state == ServerState::none || connection->server_state == ServerState::dying;
  };
  // That nobody answers on it does not mean that this is what it waits for.
  if (verdict == Verdict::undetermined && (connections.size() != 1 || is_silent(connections.front()))) {
    if (connections.size() > 1) {
      page.say("Look at the connections that it may wait for one by one; each page says what can be done about it:");
      for (const ConnectionFinding* connection : connections) {
        page.command("defused explain connection:" + number(connection->id));
      }
    }
    return advise_to_look_on(page, threads, again);
  }
  constexpr std::size_t kShown = 4;
  for (std::size_t i = 0; i < std::min(kShown, connections.size()); ++i) {
    advise_connection(page, *connections[i], again, input);
  }
  if (connections.size() > kShown) {
    page.say("and " + std::to_string(connections.size() - kShown) +
             " connections more; `defused connections` lists them.");
  }
}

void add_connection_advice(TextPage& page, const ConnectionFinding& connection, const ExplainInput& input) {
  if (connection.waiting == 0) return page.say("Nothing: no request waits in it.");
  advise_connection(page, connection, "defused explain connection:" + number(connection.id), input);
}

bool add_blindness(TextPage& page, const Report& report) {
  for (const std::string& what : report.blind) {
    const std::string_view sentence = blind_in_words(what);
    if (what == "fusectl") {
      page.item(std::string(sentence) + " To mount it:");
      page.command("mount -t fusectl fusectl /sys/fs/fuse/connections");
    } else {
      page.item(sentence.empty() ? "Blind: " + what + "." : std::string(sentence));
    }
  }
  return !report.blind.empty();
}

}  // namespace defused
