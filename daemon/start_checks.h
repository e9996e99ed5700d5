// SPDX-License-Identifier: Apache-2.0
// Whether this host gives the daemon what its mode needs, a sentence for each thing that is missing. Reads /proc/self,
// the fusectl mount and the state directory; no other process.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "daemon/capabilities.h"
#include "model/settings.h"

namespace defused {

/// What was found.
struct HostFacts {
  CapabilitySet capabilities;   ///< that a child which root starts can have
  std::string fusectl_trouble;  ///< why it cannot be read; "": it is there
  bool fusectl_read_only = false;
  bool in_host_pid_namespace = true;
  std::string proc_options;  ///< of the mount at /proc, as mountinfo has them: "rw,hidepid=invisible"
  bool has_btf = true;
  bool has_bpf_built_in = true;
  bool fdinfo_names_connection = true;  ///< Linux 6.16
  std::string state_trouble;            ///< why the state directory cannot be written; "": it can
};

struct StartFindings {
  std::vector<std::string> impossible;  ///< what lets the mode not be
  std::vector<std::string> warnings;    ///< what lets it see less
};

HostFacts read_host_facts(const Settings& settings);
/// Pure.
StartFindings check_start(const Settings& settings, const HostFacts& facts);

/// In another one /proc has the processes of that one only, and nothing there says so.
bool is_in_host_pid_namespace();
/// What is the case where it is not, and what can be done.
std::string own_pid_namespace_sentence();
/// Of the fusectl mount as it is now; one that is not there is not read-only.
bool is_fusectl_read_only();
std::string read_only_fusectl_sentence();

/// "rw,hidepid=invisible": mount options and those of the file system, of the mount that /proc is now.
std::string find_proc_options(std::string_view mountinfo);

}  // namespace defused
