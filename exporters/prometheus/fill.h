// SPDX-License-Identifier: Apache-2.0
// How each row of the catalogue is filled. Private to exporters/prometheus.
#pragma once

#include "exporters/prometheus/catalogue.h"

namespace defused {

void fill_build_info(const Scene& scene, Samples& samples);
void fill_scans(const Scene& scene, Samples& samples);
void fill_scan_duration(const Scene& scene, Samples& samples);
void fill_scan_failures(const Scene& scene, Samples& samples);
void fill_last_scan(const Scene& scene, Samples& samples);
void fill_probers_lost(const Scene& scene, Samples& samples);
void fill_read_gaps(const Scene& scene, Samples& samples);
void fill_blind(const Scene& scene, Samples& samples);
void fill_pid_namespaces(const Scene& scene, Samples& samples);
void fill_dying(const Scene& scene, Samples& samples);
void fill_stuck(const Scene& scene, Samples& samples);
void fill_stuck_exits(const Scene& scene, Samples& samples);
void fill_stuck_info(const Scene& scene, Samples& samples);
void fill_stuck_since(const Scene& scene, Samples& samples);
void fill_dropped(const Scene& scene, Samples& samples);
void fill_connections(const Scene& scene, Samples& samples);
void fill_waiting(const Scene& scene, Samples& samples);
void fill_connection_info(const Scene& scene, Samples& samples);
void fill_connection_waiting(const Scene& scene, Samples& samples);
void fill_connection_stalled(const Scene& scene, Samples& samples);
void fill_orphaned(const Scene& scene, Samples& samples);
void fill_mode(const Scene& scene, Samples& samples);
void fill_holds(const Scene& scene, Samples& samples);
void fill_decisions(const Scene& scene, Samples& samples);
void fill_aborts(const Scene& scene, Samples& samples);
void fill_recovery(const Scene& scene, Samples& samples);
void fill_breaker(const Scene& scene, Samples& samples);
void fill_inhibited(const Scene& scene, Samples& samples);
void fill_budget(const Scene& scene, Samples& samples);
void fill_kernel(const Scene& scene, Samples& samples);
void fill_request_timeout(const Scene& scene, Samples& samples);
void fill_cpu(const Scene& scene, Samples& samples);
void fill_memory(const Scene& scene, Samples& samples);
void fill_descriptors(const Scene& scene, Samples& samples);
void fill_start_time(const Scene& scene, Samples& samples);

}  // namespace defused
