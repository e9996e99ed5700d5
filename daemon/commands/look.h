// SPDX-License-Identifier: Apache-2.0
// What scan, explain and connections have in common: root, a configuration, a one-shot prober that never acts.
#pragma once

#include <string>
#include <variant>
#include <vector>

#include "daemon/one_shot.h"
#include "daemon/options.h"
#include "model/codec.h"

namespace defused {

struct Look {
  PassResult pass;
  Settings settings = {};            ///< as configured; the pass was made in another mode
  std::vector<FileTree> looks = {};  ///< OneShot::looks
};

/// One look at this host in `mode`, which must not be enforce; or the exit code after a sentence on standard error.
std::variant<Look, int> take_look(const char* command, const ScanOptions& options, Mode mode, const Wish& wish);

/// The gates that hold these decisions, in words.
std::vector<GateInWords> put_in_words(const std::vector<Decision>& decisions);

/// False: not even the processes could be listed, so the report says nothing of them.
bool has_diagnosis(const Report& report);

/// Prints what a pass found of its subject, as text or JSON: the exit code of explain.
int print_explanation(const PassResult& pass, Mode configured, ExposeSource expose, bool json);

/// Prints `text`: the exit code is `code`, or 1 where it cannot be written.
int print(const std::string& text, int code);

}  // namespace defused
