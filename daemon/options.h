// SPDX-License-Identifier: Apache-2.0
// The command line as values.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/clock.h"
#include "daemon/recording.h"

namespace defused {

struct RunOptions {
  std::optional<std::string> config;  ///< nothing: /etc/defused/defused.json where it exists, else the defaults
  // Instead of what the configuration says, where given.
  std::vector<std::string> listen_addresses;
  std::optional<std::string> telemetry_path;
  std::optional<std::string> web_config_file;
};

struct ScanOptions {
  std::optional<std::string> config;
  bool json = false;
  std::uint32_t samples = 3;
  Nanoseconds every = std::chrono::milliseconds(250);
};

struct ExplainOptions {
  ScanOptions look;
  std::string subject;  ///< as parse_subject takes it; "": everything
};

struct ConnectionsOptions {
  ScanOptions look;
};

struct AbortOptions {
  ScanOptions look;                            ///< with json nothing is asked
  std::string connection;                      ///< its number
  std::optional<std::string> override_reason;  ///< too_young and too_few_samples are not asked
  bool yes = false;                            ///< no question
};

struct PauseOptions {
  std::optional<std::string> config;
  std::string reason;
};

struct ResumeOptions {
  std::optional<std::string> config;
  bool reset_breaker = false;
};

struct CheckOptions {
  std::optional<std::string> config;
  bool json = false;
  bool alone = false;  ///< --probe: looks itself, also where a daemon runs
  bool node_problem_detector = false;
  bool warnings = false;          ///< for that: a warning is a problem too
  Nanoseconds critical_after{0};  ///< a deadlock younger than this is a warning
};

struct CaptureOptions {
  ScanOptions look;                   ///< json is not asked
  std::optional<std::string> output;  ///< nothing: ./defused-<host>-<time>.tar; "-": standard output
  bool all = false;
  bool redact = false;
  bool force = false;  ///< an existing file is replaced
};

struct ReplayOptions {
  std::string file;
  std::optional<std::string> config;  ///< instead of what the capture holds
  bool json = false;
  std::optional<std::string> explain;  ///< a subject, "": everything; the explanation instead of the table
};

struct ConfigOptions {
  enum class What { check, schema, defaults };
  What what = What::check;
  std::optional<std::string> file;  ///< of check; nothing: the default one
};

struct VersionOptions {
  bool json = false;
};

/// The hidden commands: what `run` and the one-shot commands start of their own binary. The channel is descriptor 3.
struct InternalProberOptions {
  std::string lost;
  std::string subject;       ///< explain this beside the report; "": nothing
  bool whole_index = false;  ///< read who holds, uses and sees every connection
  bool keep_records = false;
  Recording record = Recording::none;
  std::optional<std::uint32_t> abort;  ///< by hand: this connection
  std::uint32_t uid = 0;               ///< of who asked for that
  std::string override_reason;
};
struct InternalFrontOptions {};

using Options = std::variant<RunOptions, ScanOptions, ExplainOptions, ConnectionsOptions, AbortOptions, CheckOptions,
                             CaptureOptions, ReplayOptions, PauseOptions, ResumeOptions, ConfigOptions, VersionOptions,
                             InternalProberOptions, InternalFrontOptions>;

/// What to do, or - for help, internal-describe and errors, which were printed - the exit code. An error is one
/// sentence on standard error; of `check` one on standard output, where monitoring looks for it.
std::variant<Options, int> parse_options(int argc, const char* const* argv);

}  // namespace defused
