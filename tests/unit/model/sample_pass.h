// SPDX-License-Identifier: Apache-2.0
// A PassResult in which every field differs from its default, hostile bytes included.
#pragma once

#include "model/history.h"
#include "model/settings.h"

namespace defused {

PassResult make_sample_pass();
Settings make_sample_settings();

}  // namespace defused
