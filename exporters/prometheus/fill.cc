// SPDX-License-Identifier: Apache-2.0
#include "exporters/prometheus/fill.h"

#include <version.h>

#include <algorithm>
#include <optional>
#include <set>

#include "model/codec.h"
#include "model/sentences.h"

namespace defused {

namespace {

std::string word(auto value) { return std::string(to_string(value)); }

// A label is bounded: a server may hold a namespace by thousands.
constexpr std::size_t kMaxJoined = 16;

// "40,41", or "40,41,..,+284" where there are 284 more.
std::string join_ids(const std::vector<ConnectionId>& ids) {
  std::string text;
  const std::size_t count = std::min(ids.size(), kMaxJoined);
  for (std::size_t i = 0; i < count; ++i) text += (i > 0 ? "," : "") + number(ids[i]);
  return ids.size() > count ? text + ",+" + std::to_string(ids.size() - count) : text;
}

// Rows of counts by wait class and verdict, in the order of the words.
using CountByWait = std::map<std::pair<WaitClass, Verdict>, std::uint64_t>;

void add_counts(const CountByWait& counts, Samples& samples) {
  for (const auto& [key, count] : counts) {
    samples.add(static_cast<double>(count), {{"wait_class", word(key.first)}, {"verdict", word(key.second)}});
  }
}

// A series for each object that is shown; `value` is nothing where an object has none.
template <typename Finding, typename Value, typename MakeLabels>
void add_for_objects(const ToldObjects<Finding>& told, Samples& samples, Value value, MakeLabels labels) {
  for (const Finding* finding : told.shown) {
    const std::optional<double> number = value(*finding);
    if (number) samples.add(*number, labels(*finding));
  }
  for (const Finding* finding : told.left_out) {
    if (value(*finding)) samples.leave_out();
  }
}

template <typename Finding>
std::optional<double> always_one(const Finding& /*finding*/) {
  return 1.0;
}

Labels namespace_label(const NamespaceFinding& finding) {
  return {{"pid_namespace", std::to_string(finding.id.inode)}};
}

Labels connection_label(const ConnectionFinding& connection) { return {{"connection", number(connection.id)}}; }

// One that is not running, or has not told yet, has no series.
void add_for_processes(const Scene& scene, Samples& samples, double (*value)(const ProcessUsage&)) {
  const auto add = [&](const char* process, const ProcessUsage& usage) {
    if (usage.start_time_seconds > 0) samples.add(value(usage), {{"process", process}});
  };
  add("supervisor", scene.view.supervisor.supervisor);
  add("prober", scene.view.supervisor.prober);
  add("front", scene.view.front);
}

// A counter for each word, also for what never happened.
template <typename Word>
void add_words(const std::map<Word, std::uint64_t>& counts, const char* label, Samples& samples) {
  for (const Word value : AllWords<Word>::values) {
    const auto found = counts.find(value);
    samples.add(found == counts.end() ? 0 : static_cast<double>(found->second), {{label, word(value)}});
  }
}

}  // namespace

void fill_build_info(const Scene& /*scene*/, Samples& samples) {
  samples.add(1, {{"version", kVersion}, {"revision", kRevision}, {"compiler", kCompiler}});
}

void fill_scans(const Scene& scene, Samples& samples) {
  samples.add(static_cast<double>(scene.memory->counters.scans));
}

void fill_scan_duration(const Scene& scene, Samples& samples) {
  samples.add_histogram(scene.memory->counters.scan_duration);
}

void fill_scan_failures(const Scene& scene, Samples& samples) {
  std::map<std::string, std::uint64_t> failures = scene.memory->counters.scan_failures;
  failures.try_emplace("processes", 0);
  for (const auto& [stage, count] : failures) samples.add(static_cast<double>(count), {{"stage", stage}});
}

void fill_last_scan(const Scene& scene, Samples& samples) { samples.add(to_seconds(scene.report->scanned_at)); }

void fill_probers_lost(const Scene& scene, Samples& samples) {
  samples.add(static_cast<double>(scene.view.supervisor.probers_lost));
}

void fill_read_gaps(const Scene& scene, Samples& samples) {
  for (const auto& [key, count] : scene.memory->counters.read_gaps) {
    samples.add(static_cast<double>(count), {{"file", key.first}, {"kind", key.second}});
  }
}

void fill_blind(const Scene& scene, Samples& samples) {
  const bool no_prober = scene.view.supervisor.prober_blind != 0 || scene.report == nullptr;
  samples.add(no_prober ? 1 : 0, {{"what", "prober"}});
  if (scene.report == nullptr) return;  // nobody has looked for the others: a 0 would say that they can be seen
  const std::set<std::string> blind(scene.report->blind.begin(), scene.report->blind.end());
  std::set<std::string> all = {"bpf", "fusectl", "processes", "stack"};
  all.insert(blind.begin(), blind.end());
  for (const std::string& what : all) samples.add(blind.count(what) > 0 ? 1 : 0, {{"what", what}});
}

void fill_pid_namespaces(const Scene& scene, Samples& samples) { samples.add(scene.report->pid_namespace_count); }

void fill_dying(const Scene& scene, Samples& samples) {
  for (const DyingState state : AllWords<DyingState>::values) {
    const auto& all = scene.report->findings.namespaces;
    const auto count =
        std::count_if(all.begin(), all.end(), [&](const auto& finding) { return finding.state == state; });
    samples.add(static_cast<double>(count), {{"state", word(state)}});
  }
}

void fill_stuck(const Scene& scene, Samples& samples) {
  CountByWait counts;
  for (const NamespaceFinding& finding : scene.report->findings.namespaces) {
    if (finding.stuck) ++counts[{finding.wait_class, finding.verdict}];
  }
  add_counts(counts, samples);
}

void fill_stuck_exits(const Scene& scene, Samples& samples) {
  CountByWait counts;
  for (const StuckExit& exit : scene.report->findings.stuck_exits) {
    ++counts[{exit.thread.wait_class, exit.thread.verdict}];
  }
  add_counts(counts, samples);
}

void fill_stuck_info(const Scene& scene, Samples& samples) {
  const auto labels = [](const NamespaceFinding& finding) -> Labels {
    const Container container = finding.container.value_or(Container{});
    return {{"pid_namespace", std::to_string(finding.id.inode)},
            {"init_pid", std::to_string(finding.init.pid)},
            {"container_id", container.id},
            {"runtime", container.runtime},
            {"pod_uid", container.pod_uid},
            {"wait_class", word(finding.wait_class)},
            {"verdict", word(finding.verdict)},
            {"connection", join_ids(finding.connections)}};
  };
  add_for_objects(scene.namespaces, samples, always_one<NamespaceFinding>, labels);
}

void fill_stuck_since(const Scene& scene, Samples& samples) {
  const auto since = [](const NamespaceFinding& finding) -> std::optional<double> { return to_seconds(finding.since); };
  add_for_objects(scene.namespaces, samples, since, namespace_label);
}

void fill_dropped(const Scene& scene, Samples& samples) {
  for (const FamilyRow& row : metric_catalogue()) {
    if (!row.names_objects) continue;
    const auto found = scene.dropped.find(row.name);
    samples.add(found == scene.dropped.end() ? 0 : static_cast<double>(found->second), {{"family", row.name}});
  }
}

void fill_connections(const Scene& scene, Samples& samples) {
  samples.add(static_cast<double>(scene.report->findings.connections.size()));
}

void fill_waiting(const Scene& scene, Samples& samples) {
  std::uint64_t sum = 0;
  for (const ConnectionFinding& connection : scene.report->findings.connections) sum += connection.waiting;
  samples.add(static_cast<double>(sum));
}

void fill_connection_info(const Scene& scene, Samples& samples) {
  const auto labels = [&](const ConnectionFinding& connection) -> Labels {
    return {{"connection", number(connection.id)},
            {"fstype", connection.fstype},
            {"source", expose_source(connection.source, scene.view.settings.expose_source)},
            {"server_state", word(connection.server_state)}};
  };
  add_for_objects(scene.connections, samples, always_one<ConnectionFinding>, labels);
}

void fill_connection_waiting(const Scene& scene, Samples& samples) {
  const auto waiting = [](const ConnectionFinding& connection) -> std::optional<double> {
    return static_cast<double>(connection.waiting);
  };
  add_for_objects(scene.connections, samples, waiting, connection_label);
}

void fill_connection_stalled(const Scene& scene, Samples& samples) {
  const auto since = [](const ConnectionFinding& connection) -> std::optional<double> {
    if (!connection.stalled_since) return std::nullopt;
    return to_seconds(*connection.stalled_since);
  };
  add_for_objects(scene.connections, samples, since, connection_label);
}

void fill_orphaned(const Scene& scene, Samples& samples) {
  const auto& all = scene.report->findings.connections;
  const auto count = std::count_if(all.begin(), all.end(), [](const auto& connection) { return connection.orphaned; });
  samples.add(static_cast<double>(count));
}

void fill_mode(const Scene& scene, Samples& samples) {
  for (const Mode mode : AllWords<Mode>::values) {
    samples.add(scene.report->mode == mode ? 1 : 0, {{"mode", word(mode)}});
  }
}

void fill_holds(const Scene& scene, Samples& samples) {
  std::map<Gate, std::uint64_t> held;
  const auto& findings = scene.report->findings.namespaces;
  for (std::size_t i = 0; i < findings.size() && i < scene.report->decisions.size(); ++i) {
    if (!findings[i].stuck) continue;
    for (const Gate gate : scene.report->decisions[i].reasons) ++held[gate];
  }
  for (const auto& [gate, count] : held) samples.add(static_cast<double>(count), {{"reason", word(gate)}});
}

void fill_decisions(const Scene& scene, Samples& samples) {
  add_words(scene.memory->counters.decisions, "action", samples);
}

void fill_aborts(const Scene& scene, Samples& samples) { add_words(scene.memory->counters.aborts, "outcome", samples); }

void fill_recovery(const Scene& scene, Samples& samples) {
  samples.add_histogram(scene.memory->counters.recovery_duration);
}

void fill_breaker(const Scene& scene, Samples& samples) {
  const RemedyState& state = scene.report->remedy;
  for (const BreakerCause cause : AllWords<BreakerCause>::values) {
    if (cause == BreakerCause::none) continue;
    samples.add(state.breaker_open && state.breaker_cause == cause ? 1 : 0, {{"cause", word(cause)}});
  }
}

void fill_inhibited(const Scene& scene, Samples& samples) { samples.add(scene.report->remedy.inhibited ? 1 : 0); }

void fill_budget(const Scene& scene, Samples& samples) { samples.add(scene.report->remedy.abort_budget); }

void fill_kernel(const Scene& scene, Samples& samples) {
  const KernelFacts& kernel = scene.report->kernel;
  samples.add(1, {{"release", kernel.release}, {"fuse_flush_waits", word(kernel.fuse_flush_waits)}});
}

void fill_request_timeout(const Scene& scene, Samples& samples) {
  const KernelFacts& kernel = scene.report->kernel;
  const std::uint64_t most = kernel.max_request_timeout_seconds.value_or(0);
  if (!kernel.max_request_timeout_seconds && !kernel.default_request_timeout_seconds) return;
  samples.add(static_cast<double>(most > 0 ? most : kernel.default_request_timeout_seconds.value_or(0)));
}

void fill_cpu(const Scene& scene, Samples& samples) {
  add_for_processes(scene, samples, [](const ProcessUsage& usage) { return usage.cpu_seconds; });
}

void fill_memory(const Scene& scene, Samples& samples) {
  add_for_processes(scene, samples,
                    [](const ProcessUsage& usage) { return static_cast<double>(usage.resident_bytes); });
}

void fill_descriptors(const Scene& scene, Samples& samples) {
  add_for_processes(scene, samples, [](const ProcessUsage& usage) { return static_cast<double>(usage.open_fds); });
}

void fill_start_time(const Scene& scene, Samples& samples) {
  add_for_processes(scene, samples, [](const ProcessUsage& usage) { return usage.start_time_seconds; });
}

}  // namespace defused
