// SPDX-License-Identifier: Apache-2.0
#include "daemon/commands/look.h"

#include <unistd.h>

#include <algorithm>
#include <iostream>

#include "daemon/commands/commands.h"
#include "daemon/configuration.h"
#include "daemon/exit_codes.h"
#include "daemon/terminal.h"
#include "daemon/usage_error.h"
#include "policy/gates.h"

namespace defused {

std::variant<Look, int> take_look(const char* command, const ScanOptions& options, Mode mode, const Wish& wish) {
  if (geteuid() != 0) {
    return refuse(kExitNotPermitted, std::string(command) +
                                         " needs root: kernel stacks and the descriptors of other users' processes "
                                         "are closed to others");
  }
  auto settings = load_settings(options.config);
  if (!settings) return refuse(kExitUsage, settings.error().message);
  Look look;
  look.settings = *settings;
  auto shot = probe_once(for_one_look(*std::move(settings), mode), options.samples, options.every, wish);
  if (!shot) return refuse(kExitFailure, shot.error().message);
  if (!shot->trouble.empty()) complain(shot->trouble);
  if (!shot->pass) return kExitFailure;
  look.pass = *std::move(shot->pass);
  look.looks = std::move(shot->looks);
  return look;
}

int refuse(int code, const std::string& sentence) {
  complain(sentence);
  return code;
}

int exit_code_of_file(const Error& error) {
  const bool usage =
      error.kind == ErrorKind::gone || error.kind == ErrorKind::malformed || error.kind == ErrorKind::unsupported;
  return usage ? kExitUsage : kExitFailure;
}

int refuse_word(const std::string& command, const std::string& sentence) {
  complain(sentence + see_help(command), command);
  return kExitUsage;
}

std::vector<GateInWords> put_in_words(const std::vector<Decision>& decisions) {
  std::vector<GateInWords> out;
  for (const Decision& decision : decisions) {
    for (const GateRule& rule : gate_rules()) {
      const auto& reasons = decision.reasons;
      if (std::find(reasons.begin(), reasons.end(), rule.gate) == reasons.end()) continue;
      out.push_back({decision.pid_namespace, rule.gate, std::string(rule.looks_at), std::string(rule.why)});
    }
  }
  return out;
}

bool has_diagnosis(const Report& report) {
  return std::find(report.blind.begin(), report.blind.end(), "processes") == report.blind.end();
}

int print(const std::string& text, int code) {
  std::cout << text;
  std::cout.flush();
  return std::cout.good() ? code : kExitFailure;
}

}  // namespace defused
