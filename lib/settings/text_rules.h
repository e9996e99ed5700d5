// SPDX-License-Identifier: Apache-2.0
// What the texts of a configuration must look like.
#pragma once

#include "settings/settings_table.h"

namespace defused {

TextRule listen_address_rule();
TextRule telemetry_path_rule();
TextRule directory_rule();
TextRule optional_path_rule();  ///< "": none
TextRule account_rule();

/// Patterns of selectors, and what each is matched against.
TextRule fstype_rule();
TextRule source_rule();
TextRule mount_point_rule();
TextRule container_id_rule();
TextRule pod_uid_rule();
TextRule cgroup_rule();

/// The parts of a command.
TextRule program_rule();
TextRule argument_rule();

}  // namespace defused
