// SPDX-License-Identifier: Apache-2.0
// The guardian: a process beside the lab that ends the situation when the lab cannot - killed, crashed or late. It
// holds the abort file of the lab's own connection, opened when the connection was made, so that it cannot hit another
// one.
#pragma once

#include <sys/types.h>

#include <string>

namespace lab {

/// The kernel's list of connections, as a mount that is attached nowhere.
class Fusectl {
 public:
  Fusectl();
  ~Fusectl();
  Fusectl(const Fusectl&) = delete;
  Fusectl& operator=(const Fusectl&) = delete;
  [[nodiscard]] bool usable() const { return mount_ >= 0; }
  /// A descriptor or -1. It stays with this connection: the number may come again, the file is then without effect.
  [[nodiscard]] int open_abort(long connection) const;
  [[nodiscard]] int open_waiting(long connection) const;

 private:
  int mount_ = -1;
};

/// The requests that wait, by a descriptor of open_waiting; -1 where its connection is gone.
long read_waiting(int file);

/// What the guardian's process does. Over `socket` it gets descriptors, each with a letter: 'p' a pidfd to kill, 'a' an
/// abort file to write to, 't' the state file of a frozen cgroup (v1) to be thawed. Once the other end is closed, or
/// after `seconds`, it uses them, and removes mount point and directory.
[[noreturn]] void run_guardian(int socket, const std::string& work_directory, const std::string& mount_point,
                               int seconds);

class Guardian {
 public:
  /// Forks it. It acts when this process ends, or `seconds` from now.
  Guardian(const std::string& work_directory, const std::string& mount_point, int seconds);
  /// Ends the situation and waits for the guardian, some seconds at most.
  ~Guardian();
  Guardian(const Guardian&) = delete;
  Guardian& operator=(const Guardian&) = delete;
  /// Hands it a process to kill (init or server).
  void watch(pid_t pid);
  /// Hands it an abort file; the descriptor is closed here.
  void arm(int abort_file);
  /// For a child of the lab: it must not keep the guardian asleep.
  void forget();

 private:
  void send(char kind, int descriptor);
  int socket_ = -1;
  pid_t pid_ = -1;
};

}  // namespace lab
