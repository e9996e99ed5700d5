// SPDX-License-Identifier: Apache-2.0
// The situations, seen from inside: what the init of the lab's namespaces does until it is killed.
#pragma once

#include <string>

namespace lab {

struct Options {
  std::string form;
  std::string fstype = "ndrive";
  std::string source = "ndrive";
  std::string comm;
  std::string mount_point;
  std::string work_directory = "/tmp";
  int seconds = 120;
};

struct Pipes {
  int ready = -1;    ///< one byte once it is mounted, one once the file is held and the situation can be sprung
  int command = -1;  ///< one byte lets it mount, one lets it hold a file; then, healthy: one asks to read again
  int answer = -1;   ///< healthy: 'k' read well, 'f' failed
};

/// Runs as PID 1 of the new namespaces. Never returns. Until the guardian knows what to kill and what to abort, it does
/// nothing that could not end by itself: it waits for a command, and ends where the lab is gone.
[[noreturn]] void run_init(const Options& options, const Pipes& pipes);

/// tar_pit: runs as an ordinary process of the host.
[[noreturn]] void run_tar_pit(const Options& options, const Pipes& pipes);

/// In a container that somebody else has made, as its PID 1 or as a child of it: a server that holds a file of its own
/// mount open (`holds`), or one that serves others. Writes to standard output when it stands. Never returns.
[[noreturn]] void run_in_container(const Options& options, bool holds);

}  // namespace lab
