// SPDX-License-Identifier: Apache-2.0
// Settings: the whole configuration as values, defaults included. Parsed from JSON by lib/settings; the parts are what
// lib/detect and lib/policy get. Passive data. The reason for each default is in docs/OPERATING.md.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/clock.h"
#include "model/words.h"

namespace defused {

using namespace std::chrono_literals;  // NOLINT(google-build-using-namespace,google-global-names-in-headers): literals
                                       // only

struct DetectSettings {
  Nanoseconds stuck_after = 15s;  ///< no progress for so long makes a dying namespace stuck
  bool include_young =
      false;  ///< stuck exits younger than that are told too: one-shot commands, which say `provisional`
};

/// Glob patterns (`*`, `?`), by what they are matched against. An empty list says nothing about its kind.
struct Selectors {
  std::vector<std::string> fstypes;
  std::vector<std::string> sources;       ///< of the mount, unredacted
  std::vector<std::string> mount_points;  ///< as mountinfo shows them, in any mount namespace
  std::vector<std::string> container_ids;
  std::vector<std::string> pod_uids;
  std::vector<std::string> cgroups;  ///< paths below the root of the hierarchy
};

/// A connection may be acted on if each list of `allow` that is not empty matches and no list of `deny` does; an empty
/// `allow.fstypes` allows nothing. What is not known (a container id, say) is matched by no list, and is not allowed
/// while there is a list for it (policy/selectors.h).
struct PolicySettings {
  Mode mode = Mode::observe;
  Nanoseconds min_stuck = 60s;
  std::uint32_t min_samples = 3;
  bool require_proven = true;
  bool require_host_pid_namespace = true;  ///< of who acts: he sees every process that may answer
  Selectors allow = {{"fuse", "fuse.*"}, {}, {}, {}, {}, {}};
  Selectors deny = {{"fuse.lxcfs", "fuse.sysboxfs", "fuse.fuse-overlayfs", "fuseblk"}, {}, {}, {}, {}, {}};
  Nanoseconds cooldown = 1h;     ///< no second abort of the same connection within
  std::uint32_t max_aborts = 3;  ///< per max_aborts_window, on this host
  Nanoseconds max_aborts_window = 1h;
  std::uint32_t breaker_failures = 2;  ///< failed outcomes in a row that open the circuit breaker
};

struct RemedySettings {
  Nanoseconds watch = 10s;                    ///< how long a namespace may take to go after the write
  std::vector<std::string> before_hook;       ///< argv, no shell; asked before each abort, may veto. Empty: none
  std::vector<std::string> after_hook;        ///< argv; told of each outcome
  Nanoseconds hook_timeout = 10s;             ///< of one hook
  std::uint32_t evidence_bundles = 16;        ///< kept, the newest ones; 0: none is made
  std::uint64_t evidence_bytes = 64U << 20U;  ///< of all bundles together
};

struct AuditSettings {
  std::uint64_t max_bytes = 16U << 20U;  ///< of one file: then it is renamed and another begun
  std::uint32_t max_files = 4;           ///< renamed ones that are kept
};

/// How much of a mount's source is shown in metrics and reports.
enum class ExposeSource { redacted, hidden, full };

struct WebSettings {
  std::vector<std::string> listen_addresses = {"127.0.0.1:10073"};  ///< HOST:PORT, [IPv6]:PORT or :PORT (all addresses)
  std::string telemetry_path = "/metrics";
  std::string config_file;  ///< TLS, passwords, headers (model/web_config.h); "": plain HTTP, for everybody
};

/// The file for node_exporter's textfile collector.
struct TextfileSettings {
  std::string directory;  ///< "": none is written
};

enum class LogFormat { text, json };
enum class LogLevel { debug, info, warning, error };

struct LogSettings {
  LogFormat format = LogFormat::text;
  LogLevel level = LogLevel::info;
};

struct Settings {
  Nanoseconds interval = 5s;
  Nanoseconds pass_deadline = 5s;
  std::uint32_t max_lost_probers = 8;  ///< abandoned, unkillable probers; beyond it no new one is started
  DetectSettings detect;
  PolicySettings policy;
  RemedySettings remedy;
  AuditSettings audit;
  WebSettings web;
  TextfileSettings textfile;
  LogSettings log;
  ExposeSource expose_source = ExposeSource::redacted;
  std::string state_directory = "/var/lib/defused";
  std::string runtime_directory = "/run/defused";
  std::string front_user = "defused";  ///< account of the front; where it does not exist, a fixed free uid is used
};

}  // namespace defused
