// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <algorithm>
#include <iostream>

#include "daemon/commands/commands.h"
#include "daemon/configuration.h"
#include "daemon/exit_codes.h"
#include "daemon/one_shot.h"
#include "daemon/render_table.h"
#include "model/codec.h"

namespace defused {

namespace {

// A pass that could not even list the processes says nothing of them.
bool has_diagnosis(const Report& report) {
  return std::find(report.blind.begin(), report.blind.end(), "processes") == report.blind.end();
}

}  // namespace

int scan_command(const ScanOptions& options) {
  if (geteuid() != 0) {
    std::cerr << "defused: scan needs root: kernel stacks and the descriptors of other users' processes are closed to "
                 "others\n";
    return kExitNotPermitted;
  }
  auto settings = load_settings(options.config);
  if (!settings) {
    std::cerr << "defused: " << settings.error().message << "\n";
    return kExitUsage;
  }
  // A look never acts, whatever the configuration says, and tells what is young as well.
  settings->policy.mode = Mode::observe;
  settings->detect.include_young = true;
  const auto shot = probe_once(*settings, options.samples, options.every);
  if (!shot) {
    std::cerr << "defused: " << shot.error().message << "\n";
    return kExitFailure;
  }
  if (!shot->trouble.empty()) std::cerr << "defused: " << shot->trouble << "\n";
  if (!shot->pass) return kExitFailure;
  const Report& report = shot->pass->report;
  if (options.json) {
    constexpr int kIndent = 2;
    std::cout << render_report_json(report, settings->expose_source, kIndent) << "\n";
  } else {
    std::cout << render_table(report, settings->expose_source);
  }
  std::cout.flush();
  return std::cout.good() && has_diagnosis(report) ? kExitOk : kExitFailure;
}

}  // namespace defused
