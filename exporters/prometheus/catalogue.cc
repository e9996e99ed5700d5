// SPDX-License-Identifier: Apache-2.0
#include "exporters/prometheus/catalogue.h"

#include <array>

#include "exporters/prometheus/fill.h"

namespace defused {

namespace {

constexpr auto kCounter = prometheus::MetricType::Counter;
constexpr auto kGauge = prometheus::MetricType::Gauge;
constexpr auto kHistogram = prometheus::MetricType::Histogram;

// name, type, labels, help, meaning, example query, needs a pass, names objects, fill
constexpr auto kRows = std::to_array<FamilyRow>({
    {"defused_build_info", kGauge, "version, revision, compiler", "Version of defused, always 1.",
     "Which build answers.", "count by (version) (defused_build_info)", false, false, fill_build_info},
    {"defused_scans_total", kCounter, "", "Passes over /proc that were finished.",
     "Stands still when the daemon cannot look any more; goes on when a prober is replaced.",
     "rate(defused_scans_total[5m])", true, false, fill_scans},
    {"defused_scan_duration_seconds", kHistogram, "", "Time that one pass took.",
     "From the first read to the report, without acting.",
     "histogram_quantile(0.99, rate(defused_scan_duration_seconds_bucket[1h]))", true, false, fill_scan_duration},
    {"defused_scan_failures_total", kCounter, "stage", "Passes in which a whole stage failed.",
     "`processes`: /proc could not be listed, so nothing at all is known of that pass.",
     "increase(defused_scan_failures_total[1h]) > 0", true, false, fill_scan_failures},
    {"defused_last_scan_timestamp_seconds", kGauge, "", "When the last pass began, Unix time.",
     "Grows older while no prober finishes a pass.", "time() - defused_last_scan_timestamp_seconds > 60", true, false,
     fill_last_scan},
    {"defused_probers_lost_total", kCounter, "", "Probers that missed a deadline and could not be killed.",
     "Each one is a process that the kernel holds, until what it waits for answers, is aborted, or the machine boots.",
     "increase(defused_probers_lost_total[1d]) > 0", false, false, fill_probers_lost},
    {"defused_read_gaps_total", kCounter, "file, kind", "Reads that failed, by file and reason.",
     "A gap is unknown, never none, and holds actions back. Processes that just ended are not counted. `file` names "
     "the kind of file, never a process; pairs appear as they occur.",
     "topk(5, rate(defused_read_gaps_total[1h]))", true, false, fill_read_gaps},
    {"defused_blind", kGauge, "what", "1 for what cannot be seen at all, else 0.",
     "`fusectl`: not mounted. `stack`: kernel stacks are closed to us. `bpf`: /proc serves alone. `prober`: none is "
     "running, or it does not answer. `processes`: /proc could not be listed. Before the first pass there "
     "is `prober` alone, with 1: of the others nothing is known yet.",
     "defused_blind == 1", false, false, fill_blind},
    {"defused_pid_namespaces", kGauge, "", "PID namespaces below the host's own.",
     "Living and dying ones: about one for each container.", "defused_pid_namespaces", true, false,
     fill_pid_namespaces},
    {"defused_dying_pid_namespaces", kGauge, "state", "PID namespaces whose init is exiting.",
     "Most are gone with the next pass. `reaping`: waits for a child to die. `draining`: a zombie from outside is "
     "left. "
     "`init_blocked`: init itself is blocked.",
     "sum without (state) (min_over_time(defused_dying_pid_namespaces[5m])) > 0", true, false, fill_dying},
    {"defused_stuck_pid_namespaces", kGauge, "wait_class, verdict",
     "Dying PID namespaces with a blocked thread and no progress for detect.stuck_after.",
     "What this daemon is for: a container that cannot die. Combinations appear as they occur.",
     "sum by (wait_class) (defused_stuck_pid_namespaces{verdict=\"deadlocked\"}) > 0", true, false, fill_stuck},
    {"defused_stuck_exits", kGauge, "wait_class, verdict", "Blocked threads in no dying PID namespace.",
     "A process of the host, say. Never aborted automatically. Combinations appear as they occur; at most 4096 threads "
     "are told apart.",
     "defused_stuck_exits > 0", true, false, fill_stuck_exits},
    {"defused_stuck_pid_namespace_info", kGauge,
     "pid_namespace, init_pid, container_id, runtime, pod_uid, wait_class, verdict, connection",
     "One stuck PID namespace, always 1.",
     "`connection` names those that hold it, with commas between; after 16 comes `+N` for N more. `container_id` is "
     "the "
     "full one, `pod_uid` has dashes; both are empty where they are not known. The rules of "
     "[PROMETHEUS.md](PROMETHEUS.md#names-of-pods-and-containers) add the names of pod and container.",
     "(time() - min by (job, instance, pid_namespace) (defused_stuck_pid_namespace_since_timestamp_seconds)) * on "
     "(job, "
     "instance, pid_namespace) group_right () max by (job, instance, pid_namespace, container_id, pod_uid, verdict) "
     "(defused_stuck_pid_namespace_info)",
     true, true, fill_stuck_info},
    {"defused_stuck_pid_namespace_since_timestamp_seconds", kGauge, "pid_namespace",
     "Since when it makes no progress, Unix time.",
     "From our own samples, or from the kernel's `sched` file, so it can lie before the start of the daemon.",
     "time() - defused_stuck_pid_namespace_since_timestamp_seconds", true, true, fill_stuck_since},
    {"defused_series_dropped_total", kCounter, "family",
     "Series beyond the cap of their family, once for each pass that was served.",
     "Grows only while more than 100 objects of a kind are stuck at once: the deadlocked and oldest ones are shown, "
     "the "
     "same ones in each family. Starts again from 0 with the process that serves, as a counter may.",
     "increase(defused_series_dropped_total[1h]) > 0", true, false, fill_dropped},
    {"defused_fuse_connections", kGauge, "", "FUSE connections of this kernel.",
     "While `defused_blind{what=\"fusectl\"}` is 1, only those that are mounted where a process sees them.",
     "defused_fuse_connections", true, false, fill_connections},
    {"defused_fuse_waiting_requests", kGauge, "", "Requests that wait in all FUSE connections.",
     "Queued, or read by a server and not answered. Busy servers have some; what matters is that they move.",
     "min_over_time(defused_fuse_waiting_requests[10m]) > 0", true, false, fill_waiting},
    {"defused_fuse_connection_info", kGauge, "connection, fstype, source, server_state",
     "One stuck, stalled or orphaned FUSE connection, always 1.",
     "`source` is shown as `expose_source` allows: without user names, passwords and query parts by default.",
     "defused_fuse_connection_info{server_state=\"none\"}", true, true, fill_connection_info},
    {"defused_fuse_connection_waiting_requests", kGauge, "connection", "Requests that wait in this connection.",
     "As in /sys/fs/fuse/connections/N/waiting.", "defused_fuse_connection_waiting_requests > 0", true, true,
     fill_connection_waiting},
    {"defused_fuse_connection_stalled_since_timestamp_seconds", kGauge, "connection",
     "Since when the oldest request of this connection has waited, or nobody could answer one; Unix time.",
     "Shown once that is `detect.stuck_after`. Which request is the oldest, the kernel tells (BPF); without that only "
     "a connection without a server is said to be stalled.",
     "time() - defused_fuse_connection_stalled_since_timestamp_seconds > 300", true, true, fill_connection_stalled},
    {"defused_fuse_orphaned_connections", kGauge, "",
     "Connections mounted nowhere and held by nobody, with waiting requests.",
     "What is left of a server and its mount; those who wait are stuck exits or in stuck namespaces.",
     "defused_fuse_orphaned_connections > 0", true, false, fill_orphaned},
    {"defused_remediation_mode", kGauge, "mode", "1 for the mode in force, else 0.",
     "`observe`: looks only. `dry_run`: decides, and acts not. `enforce`: acts.",
     "count by (mode) (defused_remediation_mode == 1)", true, false, fill_mode},
    {"defused_holds", kGauge, "reason", "Stuck PID namespaces that are held back now, by gate.",
     "One namespace may be held by several gates. Gates appear as they occur; [OPERATING.md](OPERATING.md#gates) "
     "explains each.",
     "topk(5, sum by (reason) (defused_holds))", true, false, fill_holds},
    {"defused_decisions_total", kCounter, "action", "Decisions about stuck PID namespaces, counted when they change.",
     "In mode dry_run `abort` counts what would have been aborted.", "increase(defused_decisions_total[1d])", true,
     false, fill_decisions},
    {"defused_aborts_total", kCounter, "outcome", "Actions by what came of them.",
     "Nothing was written where it is `skipped_identity_changed` or `vetoed`. `not_released`, `write_failed` and "
     "`interrupted` count for the circuit breaker. Those of the daemon: what `defused abort` does is in the audit log, "
     "and in `actions` of the report.",
     "increase(defused_aborts_total{outcome!=\"released\"}[1d]) > 0", true, false, fill_aborts},
    {"defused_recovery_duration_seconds", kHistogram, "", "Time from stuck since to released.",
     "Of each action that ended in `released`; `remedy.min_stuck` is the least that it can be.",
     "histogram_quantile(0.5, rate(defused_recovery_duration_seconds_bucket[7d]))", true, false, fill_recovery},
    {"defused_breaker_open", kGauge, "cause", "1 for what has opened the circuit breaker, else 0.",
     "While it is open nothing is aborted. `failed_outcomes`: too many failed actions in a row. `ledger_lost`: the "
     "ledger could not be read, so what was done is not known. An operator closes it: `defused resume "
     "--reset-breaker`.",
     "max without (cause) (defused_breaker_open) == 1", true, false, fill_breaker},
    {"defused_inhibited", kGauge, "", "1 while actions are paused, else 0.",
     "By `defused pause`, or because somebody else may be acting: an earlier prober, a `defused abort`.",
     "min_over_time(defused_inhibited[1d]) == 1", true, false, fill_inhibited},
    {"defused_abort_budget_remaining", kGauge, "", "Aborts that the window still allows.",
     "`remedy.max_aborts` less those of the last `remedy.max_aborts_window`; at 0 the gate `rate_limited` holds.",
     "defused_abort_budget_remaining == 0", true, false, fill_budget},
    {"defused_kernel_info", kGauge, "release, fuse_flush_waits", "The kernel, always 1.",
     "`fuse_flush_waits`: whether an exiting thread waits for FLUSH, from the kernel's symbols.",
     "count by (release) (defused_kernel_info{fuse_flush_waits=\"yes\"})", true, false, fill_kernel},
    {"defused_kernel_fuse_request_timeout_seconds", kGauge, "",
     "fs.fuse.max_request_timeout, or the default one; 0 is off.", "Absent before Linux 6.15.",
     "defused_kernel_fuse_request_timeout_seconds == 0", true, false, fill_request_timeout},
    {"defused_process_cpu_seconds_total", kCounter, "process", "CPU time of supervisor, prober and front.",
     "Of the process that runs now: starts again when it is replaced.", "rate(defused_process_cpu_seconds_total[5m])",
     false, false, fill_cpu},
    {"defused_process_resident_memory_bytes", kGauge, "process", "Resident memory.",
     "Pages that the three share are counted for each.", "sum(defused_process_resident_memory_bytes)", false, false,
     fill_memory},
    {"defused_process_open_fds", kGauge, "process", "Open descriptors.",
     "The prober's grow for moments, while it reads; the front has one for each client.", "defused_process_open_fds",
     false, false, fill_descriptors},
    {"defused_process_start_time_seconds", kGauge, "process", "When the process started, Unix time.",
     "A prober or front that was replaced shows here.", "changes(defused_process_start_time_seconds[1h])", false, false,
     fill_start_time},
});

}  // namespace

std::span<const FamilyRow> metric_catalogue() { return kRows; }

}  // namespace defused
