// SPDX-License-Identifier: Apache-2.0
#include "fault_sweep.h"

#include <algorithm>
#include <utility>

#include "capture_cycle.h"
#include "model/codec.h"

namespace defused {

namespace {

constexpr int kPasses = 3;

struct Fault {
  int pass = 0;        // in which pass, counted from 1; 0: never
  std::size_t at = 0;  // the read of that pass that fails, counted from 1
  ErrorKind kind = ErrorKind::io;
};

struct Run {
  Report report;
  std::size_t reads = 0;  // of the last pass
  std::string failed;     // the path whose reading failed
};

Run run(const std::string& root, const Fault& fault) {
  int pass = 0;
  std::size_t count = 0;
  Run out;
  ManualClock clock({10000s, 1'800'000'000s});
  const auto cycle = make_tree_cycle(root, clock, Mode::observe, [&](std::string_view path) -> std::optional<Error> {
    ++count;
    if (pass != fault.pass || count != fault.at) return std::nullopt;
    out.failed = path;
    return Error{fault.kind, "made to fail", 0};
  });
  for (pass = 1; cycle && pass <= kPasses; ++pass) {
    count = 0;
    out.report = cycle->run(Bar::none).report;
    clock.advance(5s);
  }
  out.reads = count;
  return out;
}

template <typename T, typename Matches>
const T* find(const std::vector<T>& values, Matches matches) {
  const auto found = std::find_if(values.begin(), values.end(), matches);
  return found == values.end() ? nullptr : &*found;
}

bool is_silent(ServerState state) { return state == ServerState::none || state == ServerState::dying; }

// A thread may be said to wait for a connection to act on only if it really does.
std::string compare_threads(const std::vector<BlockedThread>& whole, const std::vector<BlockedThread>& faulty) {
  for (const BlockedThread& thread : faulty) {
    const auto* same = find(whole, [&](const BlockedThread& other) { return other.id.tid == thread.id.tid; });
    const std::string name = "thread " + std::to_string(thread.id.tid);
    const bool deadlocked = same != nullptr && same->verdict == Verdict::deadlocked;
    if (thread.verdict == Verdict::deadlocked && !deadlocked) return name + " is deadlocked";
    const bool to_act_on = thread.connection && thread.attribution_serves_acting;
    if (to_act_on && (same == nullptr || same->connection != thread.connection)) {
      return name + " waits for connection " + std::to_string(thread.connection->kernel_dev);
    }
  }
  return {};
}

// A read that fails may take a thread out of its namespace, so all are compared with all.
std::vector<BlockedThread> all_threads(const Findings& findings) {
  std::vector<BlockedThread> threads;
  for (const NamespaceFinding& finding : findings.namespaces) {
    threads.insert(threads.end(), finding.blocked_threads.begin(), finding.blocked_threads.end());
  }
  for (const StuckExit& exit : findings.stuck_exits) threads.push_back(exit.thread);
  return threads;
}

std::string compare_namespaces(const Findings& whole, const Findings& faulty) {
  for (const NamespaceFinding& finding : faulty.namespaces) {
    const auto* same = find(whole.namespaces, [&](const NamespaceFinding& other) { return other.id == finding.id; });
    const bool deadlocked = same != nullptr && same->verdict == Verdict::deadlocked;
    if (finding.verdict == Verdict::deadlocked && !deadlocked) {
      return "PID namespace " + std::to_string(finding.id.inode) + " is deadlocked";
    }
  }
  return {};
}

// Fewer than there are. Where the whole data gave no number, nobody had looked.
bool is_undercounted(std::optional<std::uint32_t> whole, std::optional<std::uint32_t> faulty) {
  return whole && faulty && *faulty < *whole;
}

std::string compare_connections(const Findings& whole, const Findings& faulty) {
  for (const ConnectionFinding& finding : faulty.connections) {
    const auto* same = find(whole.connections, [&](const ConnectionFinding& other) { return other.id == finding.id; });
    const std::string name = "connection " + std::to_string(finding.id.kernel_dev);
    if (same == nullptr) return name + " is there";
    if (is_silent(finding.server_state) && !is_silent(same->server_state)) return name + " has no server";
    if (is_undercounted(same->outside_users, finding.outside_users)) return name + " has fewer outside users";
    if (is_undercounted(same->outside_viewers, finding.outside_viewers)) return name + " has fewer outside viewers";
    // Unknown viewers hold by themselves.
    if (same->host_mount && !finding.host_mount && finding.outside_viewers) return name + " is no mount of the host";
    if (finding.orphaned && !same->orphaned) return name + " is orphaned";
  }
  return {};
}

std::string compare_decisions(const Report& whole, const Report& faulty) {
  for (const Decision& decision : faulty.decisions) {
    const auto* same =
        find(whole.decisions, [&](const Decision& other) { return other.pid_namespace == decision.pid_namespace; });
    const bool alone = decision.reasons == std::vector{Gate::mode};  // observe: all else allows it
    const bool was_alone = same != nullptr && same->reasons == decision.reasons;
    if (decision.action == Action::abort || (alone && !was_alone)) {
      return "PID namespace " + std::to_string(decision.pid_namespace.inode) + ": nothing but the mode holds";
    }
  }
  return {};
}

}  // namespace

std::string find_stronger_claim(const Report& whole, const Report& faulty) {
  for (auto claim : {compare_namespaces(whole.findings, faulty.findings),
                     compare_threads(all_threads(whole.findings), all_threads(faulty.findings)),
                     compare_connections(whole.findings, faulty.findings), compare_decisions(whole, faulty)}) {
    if (!claim.empty()) return claim;
  }
  return {};
}

Report judge_tree(const std::string& root) { return run(root, Fault{}).report; }

FaultSweep sweep_faults(const std::string& root, const std::vector<ErrorKind>& kinds) {
  const Run first = run(root, Fault{});
  const Report& whole = first.report;
  const std::size_t reads = first.reads;
  const std::string as_told = render_report_json(whole, ExposeSource::full);
  FaultSweep sweep;
  sweep.reads = reads;
  for (const ErrorKind kind : kinds) {
    for (int pass = 2; pass <= kPasses; ++pass) {
      for (std::size_t n = 1; n <= reads; ++n) {
        const auto [report, _, failed] = run(root, Fault{pass, n, kind});
        ++sweep.runs;
        if (render_report_json(report, ExposeSource::full) != as_told) ++sweep.weakened;
        const std::string claim = find_stronger_claim(whole, report);
        if (claim.empty()) continue;
        sweep.violations.push_back("read " + std::to_string(n) + " of pass " + std::to_string(pass) + " (" + failed +
                                   ") fails as " + std::string(to_string(kind)) + ": " + claim);
      }
    }
  }
  return sweep;
}

}  // namespace defused
