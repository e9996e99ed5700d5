// SPDX-License-Identifier: Apache-2.0
// What the readers of the kernel said, as text - a line for each thing, numbers and words only - and readers of such
// texts, for replays (docs/decisions/0008). Not of places: what is recorded is read in full, without them. Built with
// and without BPF. One thread.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/beneath.h"
#include "base/result.h"
#include "bpf/file_reader.h"
#include "bpf/wait_reader.h"

namespace defused {

std::string render_open_files(const std::vector<OpenFuseFile>& files);
std::string render_waits(const std::vector<TaskWait>& waits);
/// malformed, with the number of the line.
Result<std::vector<OpenFuseFile>> parse_open_files(std::string_view text);
Result<std::vector<TaskWait>> parse_waits(std::string_view text);

/// They read `files` and `waits` in `directory` anew each time; the errors are those of its hook, and gone.
std::unique_ptr<FileReader> recorded_files(Beneath directory);
std::unique_ptr<WaitReader> recorded_waits(Beneath directory);

}  // namespace defused
