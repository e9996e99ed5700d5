// SPDX-License-Identifier: Apache-2.0
#include "daemon/explain_evidence.h"

#include <algorithm>
#include <set>

#include "daemon/describe.h"
#include "model/sentences.h"

namespace defused {

namespace {

constexpr std::size_t kShownFrames = 10;

bool has(const std::vector<std::string>& stack, std::string_view frame) {
  return std::find(stack.begin(), stack.end(), frame) != stack.end();
}

std::string state_in_words(char state) {
  switch (state) {
    case 'R': return "R (running)";
    case 'S': return "S (sleeping)";
    case 'D': return "D (disk sleep: no signal wakes it)";
    case 'T': return "T (stopped)";
    case 't': return "t (stopped for a tracer)";
    case 'Z': return "Z (zombie: dead, not yet taken away)";
    case 'I': return "I (idle)";
    default: break;
  }
  std::string letter(1, state);
  return letter;
}

std::string mount_line(const FuseMount& mount, ExposeSource expose) {
  const std::string source = expose_source(mount.source, expose);
  return std::to_string(mount.mount_id) + " .. " + device_number(mount.connection) + " .. " + mount.mount_point +
         " .. - " + mount.fstype + " " + (source.empty() ? "(source hidden)" : source);
}

void add_where(TextPage& page, const BlockedThread& thread) {
  const std::string path = task_path(thread);
  if (!thread.stack.empty()) {
    page.fact(path + "/stack", stack_in_words(thread.stack));
  } else if (!thread.wchan.empty()) {
    page.fact(path + "/wchan", thread.wchan);
  } else if (thread.state != 'Z') {
    page.fact(path + "/stack", "could not be read, or empty");
  }
  if (!thread.gaps.empty()) page.fact(path, "could not be read: " + describe_gaps(thread.gaps, {}));
}

void add_age(TextPage& page, const BlockedThread& thread) {
  if (thread.samples < 2) {
    page.fact(task_path(thread) + "/status", "it has run since the last sample: it moves");
    return;
  }
  page.fact(task_path(thread) + "/status", "context switches: " + std::to_string(thread.context_switches) +
                                               " in each of " + std::to_string(thread.samples) +
                                               " samples; it has not run for " + render_age(thread.blocked_for));
}

std::string witness_in_words(const BlockedThread& thread) {
  const std::string id = number(*thread.connection);
  switch (thread.witness) {
    case Witness::kernel_queue:
      return "The kernel itself (BPF) says that it stands in the queue of connection " + id + ".";
    case Witness::kernel_stack:
      return "The kernel itself (BPF) says that its stack leads to connection " + id + " and to no other.";
    case Witness::flusher:
      return "The kernel thread that writes the pages of connection " + id + " (kworker/..+flush-" +
             device_number(*thread.connection) + ") hangs beside it.";
    case Witness::open_files:
      return "Its process has, or had, files open on connection " + id + ", and on no other one that waits.";
    case Witness::sibling: return "It waits for another thread of its process, which waits for connection " + id + ".";
    default: return "Of the connections that it can see, only connection " + id + " has requests waiting.";
  }
}

void add_attribution(TextPage& page, const BlockedThread& thread, const ExplainInput& input) {
  if (thread.connection) {
    page.say(witness_in_words(thread));
    if (!thread.attribution_serves_acting) {
      page.say("That is good enough to tell, but not to act upon automatically.");
    }
  } else if (!thread.candidates.empty()) {
    std::vector<std::string> ids;
    for (const ConnectionId id : thread.candidates) ids.push_back(number(id));
    page.say("It may wait for any of these connections, and nothing tells which: " + join(ids, ", ") + ".");
  } else if (is_fuse(thread.wait_class)) {
    page.say("Nothing tells which connection it waits for.");
  }
  for (const FuseMount& mount : thread.mounts) {
    page.fact(task_path(thread) + "/mountinfo", mount_line(mount, input.expose));
  }
}

std::string users_in_words(const ConnectionFinding& connection) {
  if (!connection.outside_users) {
    std::string text = "it is not known whether live processes outside use it";
    if (!connection.users.empty()) {
      text += "; seen were " + describe_processes(connection.users, connection.users.size());
    }
    return text;
  }
  if (*connection.outside_users == 0) return "no live process outside has a file open on it";
  return count_of(*connection.outside_users, "live process outside has", "live processes outside have") +
         " files open on it: " + describe_processes(connection.users, *connection.outside_users);
}

std::string viewers_in_words(const ConnectionFinding& connection) {
  if (!connection.outside_viewers) return "it is not known who outside sees it mounted";
  if (*connection.outside_viewers == 0) return "no live process outside sees it mounted";
  return count_of(*connection.outside_viewers, "mount namespace of live processes outside has",
                  "mount namespaces of live processes outside have") +
         " it mounted; a process of each: " + describe_processes(connection.viewers, *connection.outside_viewers);
}

void add_servers(TextPage& page, const ConnectionFinding& connection) {
  const std::string proof = connection.server_evidence == Evidence::inferred
                                ? " (inferred: this kernel does not name the connection of a descriptor)"
                                : "";
  switch (connection.server_state) {
    case ServerState::none:
      page.say("Nobody holds /dev/fuse of this connection any more" + proof + ": no server, no answer.");
      break;
    case ServerState::dying:
      page.say(
          "Only processes that are dying themselves hold its /dev/fuse: they never run again, so they cannot answer.");
      break;
    case ServerState::alive:
      page.say(connection.waiting > 0
                   ? "A live process holds /dev/fuse of this connection: it is the server, and may still answer."
                   : "A live process holds /dev/fuse of this connection: its server.");
      break;
    case ServerState::unknown:
      page.say(
          "It is not known who holds /dev/fuse of this connection, so it is not known whether anybody can answer.");
      break;
  }
  constexpr std::size_t kShownServers = 8;
  for (std::size_t i = 0; i < std::min(kShownServers, connection.servers.size()); ++i) {
    const Server& server = connection.servers[i];
    page.fact("/proc/" + std::to_string(server.id.pid) + "/fdinfo",
              "'" + server.comm + "' holds /dev/fuse of connection " + number(connection.id) +
                  "; State: " + state_in_words(server.process_state) + "; " + std::string(to_string(server.state)));
  }
  if (connection.servers.size() > kShownServers) {
    page.say("and " + std::to_string(connection.servers.size() - kShownServers) + " more that hold it.");
  }
}

}  // namespace

std::string task_path(const BlockedThread& thread) {
  std::string path = "/proc/" + std::to_string(thread.pid);
  if (thread.id.tid != thread.pid) path += "/task/" + std::to_string(thread.id.tid);
  return path;
}

// What stands below do_exit is how it came there, which is no matter.
std::string stack_in_words(const std::vector<std::string>& stack) {
  std::vector<std::string> frames(stack.begin(), std::find(stack.begin(), stack.end(), "do_exit"));
  if (frames.size() > kShownFrames) {
    frames.resize(kShownFrames);
    frames.emplace_back("..");
  }
  if (has(stack, "do_exit")) frames.emplace_back("do_exit");
  return join(frames, " <- ");
}

std::string wait_in_words(const BlockedThread& thread) {
  return std::string(wait_in_words(thread.wait_class, thread.state == 'Z'));
}

void add_thread_evidence(TextPage& page, const BlockedThread& thread, const ExplainInput& input) {
  std::string facts = "State: " + state_in_words(thread.state);
  if (thread.sigkill_pending) facts += "; SIGKILL is pending (SigPnd or ShdPnd)";
  if (!thread.has_memory && thread.state != 'Z') facts += "; no Vm* lines: its memory is given up";
  page.fact(task_path(thread) + "/status", facts);
  if (thread.exiting.value_or(false) && thread.state != 'Z')
    page.fact(task_path(thread) + "/stat", "flags (field 9) have PF_EXITING: it is on its way out");
  if (thread.state != 'Z') add_where(page, thread);
  add_age(page, thread);
  page.say(wait_in_words(thread));
  if (thread.awaited) {
    page.say("The one who has to act is process " + describe_process(*thread.awaited) + ".");
  }
  add_attribution(page, thread, input);
}

void add_connection_evidence(TextPage& page, const ConnectionFinding& connection, const ExplainInput& input) {
  const std::string directory = "/sys/fs/fuse/connections/" + number(connection.id);
  page.fact(directory + "/waiting", std::to_string(connection.waiting) +
                                        (connection.stalled_since ? " (the oldest of them does not move)" : ""));
  std::string what = "It is device " + device_number(connection.id);
  if (!connection.fstype.empty()) what += ", a " + connection.fstype;
  const std::string source = expose_source(connection.source, input.expose);
  if (!source.empty()) what += " of '" + source + "'";
  if (connection.mount_points.empty()) {
    what += ", mounted nowhere that was read";
  } else {
    constexpr std::size_t kShownPoints = 3;
    const std::size_t shown = std::min(kShownPoints, connection.mount_points.size());
    what += ", mounted at " + join({connection.mount_points.begin(),
                                    connection.mount_points.begin() + static_cast<std::ptrdiff_t>(shown)},
                                   ", ");
    if (connection.mount_points.size() > shown)
      what += " and " + std::to_string(connection.mount_points.size() - shown) + " more";
  }
  page.say(what + ".");
  add_servers(page, connection);
  if (connection.orphaned) page.say("It is an orphan: mounted nowhere, held by nobody, and yet requests wait in it.");
  page.say("Who else would lose it: " + users_in_words(connection) + "; " + viewers_in_words(connection) + ".");
  if (connection.readers_disagree) {
    page.say("The kernel (BPF) and /proc do not say the same of who holds or uses it: one of them is wrong.");
  }
  if (connection.host_mount) page.say("The host itself (the mount namespace of PID 1) has it mounted.");
  if (!connection.containers.empty()) {
    std::vector<std::string> names;
    for (const Container& container : connection.containers) names.push_back(describe_container(container));
    page.say("Containers that see or serve it, as far as known: " + join(names, ", ") +
             (connection.containers.size() == kMaxShownContainers ? " and maybe more" : "") + ".");
  }
}

std::vector<const ConnectionFinding*> connections_of(const std::vector<ConnectionId>& ids, const Report& report) {
  const std::set<ConnectionId> wanted(ids.begin(), ids.end());
  std::vector<const ConnectionFinding*> out;
  for (const ConnectionFinding& connection : report.findings.connections) {
    if (wanted.count(connection.id) > 0) out.push_back(&connection);
  }
  return out;
}

std::vector<const ConnectionFinding*> candidates_of(const std::vector<BlockedThread>& threads, const Report& report) {
  std::vector<ConnectionId> ids;
  for (const BlockedThread& thread : threads) ids.insert(ids.end(), thread.candidates.begin(), thread.candidates.end());
  return connections_of(ids, report);
}

bool waits_for_something(const BlockedThread& thread) {
  const bool named = thread.wait_class != WaitClass::other && thread.wait_class != WaitClass::unknown;
  return thread.samples >= 2 && (named || thread.state == 'D' || thread.state == 'T' || thread.state == 't');
}

}  // namespace defused
