// SPDX-License-Identifier: Apache-2.0
// What the texts of a configuration must look like.
#pragma once

#include "settings/settings_table.h"

namespace defused {

TextRule listen_address_rule();
TextRule telemetry_path_rule();
TextRule directory_rule();
TextRule account_rule();
TextRule pattern_rule();

}  // namespace defused
