// SPDX-License-Identifier: Apache-2.0
#include "daemon/commands/commands.h"
#include "daemon/options.h"

namespace {

using namespace defused;

int run(const RunOptions& options) { return run_command(options); }
int run(const ScanOptions& options) { return scan_command(options); }
int run(const ExplainOptions& options) { return explain_command(options); }
int run(const ConnectionsOptions& options) { return connections_command(options); }
int run(const AbortOptions& options) { return abort_command(options); }
int run(const CheckOptions& options) { return check_command(options); }
int run(const CaptureOptions& options) { return capture_command(options); }
int run(const ReplayOptions& options) { return replay_command(options); }
int run(const ConfigOptions& options) { return config_command(options); }
int run(const PauseOptions& options) { return pause_command(options); }
int run(const ResumeOptions& options) { return resume_command(options); }
int run(const VersionOptions& options) { return version_command(options); }
int run(const InternalProberOptions& options) { return internal_prober_command(options); }
int run(const InternalFrontOptions& options) { return internal_front_command(options); }

}  // namespace

int main(int argc, char** argv) {
  const auto parsed = defused::parse_options(argc, argv);
  if (const int* exit_code = std::get_if<int>(&parsed)) return *exit_code;
  return std::visit([](const auto& options) { return run(options); }, std::get<defused::Options>(parsed));
}
