// SPDX-License-Identifier: Apache-2.0
// A container by a name that fits into a line. Pure.
#pragma once

#include <string>

#include "model/report.h"

namespace defused {

/// "docker 0123456789ab": runtime and short id. The full id is for the ones who copy it.
std::string short_name(const Container& container);

}  // namespace defused
