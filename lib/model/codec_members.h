// SPDX-License-Identifier: Apache-2.0
// The members of each structure of the private payload, in the order in which they are written and read (codec.cc,
// which refuses to compile where one is missing here). Private to lib/model.
#pragma once

#include <concepts>
#include <tuple>
#include <type_traits>

#include "model/history.h"
#include "model/report.h"
#include "model/settings.h"
#include "model/subject.h"
#include "model/web_config.h"

namespace defused {

template <typename Actual, typename Wanted>
concept Is = std::same_as<std::remove_const_t<Actual>, Wanted>;

auto members(Is<ProcessId> auto& it) { return std::tie(it.pid, it.start_ticks); }
auto members(Is<ThreadId> auto& it) { return std::tie(it.tid, it.start_ticks); }
auto members(Is<NamespaceId> auto& it) { return std::tie(it.inode); }
auto members(Is<ConnectionId> auto& it) { return std::tie(it.kernel_dev); }

auto members(Is<KernelFacts> auto& it) {
  return std::tie(it.release, it.fuse_flush_waits, it.fdinfo_names_connection, it.default_request_timeout_seconds,
                  it.max_request_timeout_seconds, it.openat2);
}
auto members(Is<NamedProcess> auto& it) { return std::tie(it.pid, it.comm); }
auto members(Is<FuseMount> auto& it) {
  return std::tie(it.mount_id, it.connection, it.fstype, it.source, it.mount_point);
}
auto members(Is<BlockedThread> auto& it) {
  return std::tie(it.pid, it.id, it.comm, it.state, it.has_memory, it.exiting, it.wait_class, it.sigkill_pending,
                  it.stack, it.wchan, it.connection, it.candidates, it.mounts, it.attribution, it.witness,
                  it.attribution_serves_acting, it.verdict, it.evidence, it.context_switches, it.samples,
                  it.blocked_for, it.awaited, it.gaps);
}
auto members(Is<Container> auto& it) { return std::tie(it.id, it.runtime, it.pod_uid); }
auto members(Is<NamespaceFinding> auto& it) {
  return std::tie(it.id, it.init, it.init_comm, it.state, it.wait_class, it.verdict, it.evidence, it.since,
                  it.stuck_for, it.samples, it.stuck, it.gap, it.gaps, it.members, it.member_count,
                  it.blocked_thread_count, it.container, it.cgroup, it.blocked_threads, it.connections, it.waits_for);
}
auto members(Is<StuckExit> auto& it) { return std::tie(it.thread, it.since, it.container); }
auto members(Is<Server> auto& it) { return std::tie(it.id, it.comm, it.state, it.process_state); }
auto members(Is<ConnectionFinding> auto& it) {
  return std::tie(it.id, it.directory_inode, it.fstype, it.source, it.mount_points, it.mount_ids, it.waiting,
                  it.max_background, it.congestion_threshold, it.server_state, it.server_evidence, it.servers,
                  it.outside_users, it.outside_viewers, it.users, it.viewers, it.containers, it.host_mount,
                  it.readers_disagree, it.orphaned, it.waiting_since, it.stalled_since, it.server_gone_for);
}
auto members(Is<ProcessFinding> auto& it) {
  return std::tie(it.id, it.ppid, it.comm, it.state, it.has_memory, it.told_to_die, it.pid_namespace, it.container,
                  it.threads, it.thread_count, it.threads_complete, it.gaps);
}
auto members(Is<Findings> auto& it) {
  return std::tie(it.namespaces, it.stuck_exits, it.stuck_exit_count, it.connections, it.asked);
}
auto members(Is<Decision> auto& it) {
  return std::tie(it.pid_namespace, it.action, it.reasons, it.connection, it.abort_budget);
}
auto members(Is<OutcomeRecord> auto& it) {
  return std::tie(it.pid_namespace, it.connection, it.outcome, it.detail, it.recovery, it.at, it.by_hand);
}
auto members(Is<RemedyState> auto& it) {
  return std::tie(it.breaker_open, it.breaker_cause, it.breaker_since, it.breaker_detail, it.failures_in_row,
                  it.inhibited, it.inhibited_since, it.inhibited_reason, it.abort_budget, it.record_trouble);
}
auto members(Is<Report> auto& it) {
  return std::tie(it.scanned_at, it.duration, it.host, it.provisional, it.mode, it.kernel, it.blind, it.gaps,
                  it.gap_processes, it.pid_namespace_count, it.findings, it.decisions, it.outcomes, it.actions,
                  it.remedy);
}

auto members(Is<ThreadMemory> auto& it) { return std::tie(it.context_switches, it.unchanged_since, it.samples); }
auto members(Is<NamespaceMemory> auto& it) { return std::tie(it.first_seen); }
auto members(Is<ConnectionMemory> auto& it) {
  return std::tie(it.directory_inode, it.waiting, it.waiting_since, it.oldest_request, it.oldest_since, it.oldest_read,
                  it.silent_since, it.answered, it.flusher_hung);
}
auto members(Is<OpenConnection> auto& it) { return std::tie(it.id, it.directory_inode); }
auto members(Is<OpenFilesMemory> auto& it) { return std::tie(it.connections, it.seen); }
auto members(Is<ContainerMemory> auto& it) { return std::tie(it.ppid, it.path); }
auto members(Is<History> auto& it) {
  return std::tie(it.threads, it.namespaces, it.connections, it.containers, it.open_files);
}
auto members(Is<Histogram> auto& it) { return std::tie(it.bounds, it.counts, it.sum); }
auto members(Is<Counters> auto& it) {
  return std::tie(it.scans, it.scan_failures, it.read_gaps, it.decisions, it.aborts, it.scan_duration,
                  it.recovery_duration);
}
auto members(Is<LogFacts> auto& it) {
  return std::tie(it.pid_namespace, it.init_pid, it.pid, it.tid, it.comm, it.container_id, it.connections, it.fstype,
                  it.verdict, it.wait_class, it.decision, it.reasons, it.server_state);
}
auto members(Is<ToldMemory> auto& it) {
  return std::tie(it.name, it.facts, it.trouble, it.orphaned, it.counted, it.lines, it.last_line, it.unsaid, it.records,
                  it.last_record);
}
auto members(Is<LogMemory> auto& it) { return std::tie(it.told, it.window, it.lines, it.left_out); }
auto members(Is<Memory> auto& it) { return std::tie(it.history, it.counters, it.log); }
auto members(Is<Subject> auto& it) { return std::tie(it.kind, it.text, it.number); }
auto members(Is<SubjectReading> auto& it) {
  return std::tie(it.subject, it.name, it.kernel_thread, it.pid_namespaces, it.stuck_exits, it.connections,
                  it.processes);
}
auto members(Is<SubjectFinding> auto& it) { return std::tie(it.subject, it.readings, it.reading_count); }
auto members(Is<PassResult> auto& it) { return std::tie(it.report, it.memory, it.subject); }

auto members(Is<DetectSettings> auto& it) { return std::tie(it.stuck_after, it.include_young); }
auto members(Is<Selectors> auto& it) {
  return std::tie(it.fstypes, it.sources, it.mount_points, it.container_ids, it.pod_uids, it.cgroups);
}
auto members(Is<PolicySettings> auto& it) {
  return std::tie(it.mode, it.min_stuck, it.min_samples, it.require_proven, it.require_host_pid_namespace, it.allow,
                  it.deny, it.cooldown, it.max_aborts, it.max_aborts_window, it.breaker_failures);
}
auto members(Is<RemedySettings> auto& it) {
  return std::tie(it.watch, it.before_hook, it.after_hook, it.hook_timeout, it.evidence_bundles, it.evidence_bytes);
}
auto members(Is<AuditSettings> auto& it) { return std::tie(it.max_bytes, it.max_files); }
auto members(Is<WebSettings> auto& it) { return std::tie(it.listen_addresses, it.telemetry_path, it.config_file); }
auto members(Is<TextfileSettings> auto& it) { return std::tie(it.directory); }
auto members(Is<LogSettings> auto& it) { return std::tie(it.format, it.level); }
auto members(Is<Settings> auto& it) {
  return std::tie(it.interval, it.pass_deadline, it.max_lost_probers, it.detect, it.policy, it.remedy, it.audit, it.web,
                  it.textfile, it.log, it.expose_source, it.state_directory, it.runtime_directory, it.front_user);
}

auto members(Is<TlsSettings> auto& it) {
  return std::tie(it.cert_file, it.key_file, it.client_ca_file, it.client_auth, it.client_allowed_sans, it.min_version,
                  it.max_version);
}
auto members(Is<WebUser> auto& it) { return std::tie(it.name, it.password_hash); }
auto members(Is<WebConfig> auto& it) { return std::tie(it.tls, it.users, it.headers); }
auto members(Is<TlsMaterial> auto& it) { return std::tie(it.certificate, it.key, it.client_ca); }
auto members(Is<CheckedWebConfig> auto& it) { return std::tie(it.config, it.material); }

}  // namespace defused
