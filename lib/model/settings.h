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

/// Glob patterns (`*`, `?`) on file-system types; a connection is allowed if one pattern of `allow` matches and none of
/// `deny`.
struct PolicySettings {
  Mode mode = Mode::observe;
  Nanoseconds min_stuck = 60s;
  std::uint32_t min_samples = 3;
  bool require_proven = true;
  std::vector<std::string> allow_fstypes = {"fuse", "fuse.*"};
  std::vector<std::string> deny_fstypes = {"fuse.lxcfs", "fuse.sysboxfs", "fuse.fuse-overlayfs", "fuseblk"};
  Nanoseconds cooldown = 1h;     ///< no second abort of the same connection within
  std::uint32_t max_aborts = 3;  ///< per max_aborts_window, on this host
  Nanoseconds max_aborts_window = 1h;
};

struct RemedySettings {
  Nanoseconds watch = 10s;  ///< how long a namespace may take to go after the write
};

/// How much of a mount's source is shown in metrics and reports.
enum class ExposeSource { redacted, hidden, full };

struct WebSettings {
  std::vector<std::string> listen_addresses = {"127.0.0.1:10073"};  ///< HOST:PORT, [IPv6]:PORT or :PORT (all addresses)
  std::string telemetry_path = "/metrics";
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
  WebSettings web;
  LogSettings log;
  ExposeSource expose_source = ExposeSource::redacted;
  std::string state_directory = "/var/lib/defused";
  std::string runtime_directory = "/run/defused";
  std::string front_user = "defused";  ///< account of the front; where it does not exist, a fixed free uid is used
};

}  // namespace defused
