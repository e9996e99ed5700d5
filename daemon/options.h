// SPDX-License-Identifier: Apache-2.0
// The command line as values.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/clock.h"

namespace defused {

struct RunOptions {
  std::optional<std::string> config;          ///< nothing: /etc/defused/defused.json where it exists, else the defaults
  std::vector<std::string> listen_addresses;  ///< instead of those of the configuration, where given
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

struct VersionOptions {};

/// The hidden commands: what `run` and the one-shot commands start of their own binary. The channel is descriptor 3.
struct InternalProberOptions {
  std::string lost;
  std::string subject;       ///< explain this beside the report; "": nothing
  bool whole_index = false;  ///< read who holds, uses and sees every connection
};
struct InternalFrontOptions {};

using Options = std::variant<RunOptions, ScanOptions, ExplainOptions, ConnectionsOptions, VersionOptions,
                             InternalProberOptions, InternalFrontOptions>;

/// What to do, or - for help and for errors, which were printed - the exit code.
std::variant<Options, int> parse_options(int argc, const char* const* argv);

}  // namespace defused
