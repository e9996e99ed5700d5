// SPDX-License-Identifier: Apache-2.0
// The subcommands: each takes its options, prints, and returns the exit code of the process (daemon/exit_codes.h).
#pragma once

#include <string>

#include "base/result.h"
#include "daemon/options.h"

namespace defused {

/// Prints "defused: SENTENCE" on standard error and gives `code` back.
int refuse(int code, const std::string& sentence);

/// A word that `command` does not take: "defused COMMAND: SENTENCE (see defused COMMAND --help)" on standard error, and
/// exit code 2.
int refuse_word(const std::string& command, const std::string& sentence);

/// Of a file that the command line names: one that is none of ours, or is in the way, is wrong usage; one that cannot
/// be read, or a full disk, is a failure.
int exit_code_of_file(const Error& error);

int run_command(const RunOptions& options);
int scan_command(const ScanOptions& options);
int explain_command(const ExplainOptions& options);
int connections_command(const ConnectionsOptions& options);
int abort_command(const AbortOptions& options);
int check_command(const CheckOptions& options);
int capture_command(const CaptureOptions& options);
int replay_command(const ReplayOptions& options);
int config_command(const ConfigOptions& options);
int pause_command(const PauseOptions& options);
int resume_command(const ResumeOptions& options);
int version_command(const VersionOptions& options);
int internal_prober_command(const InternalProberOptions& options);
int internal_front_command(const InternalFrontOptions& options);

}  // namespace defused
