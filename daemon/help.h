// SPDX-License-Identifier: Apache-2.0
// The text of --help, made from a described command. Pure.
#pragma once

#include <string>

#include "daemon/command_description.h"
#include "daemon/terminal.h"

namespace defused {

/// Help of `command` - one command, or defused itself where its name is "" - in lines no longer than the screen is
/// wide, at most 120 columns, 80 where there is no screen. Nothing is left out; a word longer than a line is broken.
std::string render_help(const CommandDescription& command, const Screen& screen);

}  // namespace defused
