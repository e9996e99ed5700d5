// SPDX-License-Identifier: Apache-2.0
// One situation from outside: started, sprung, described, and ended by the guardian.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "forms.h"
#include "guardian.h"

namespace lab {

/// What is true by construction. Numbers of processes and threads are those of the host.
struct Truth {
  std::string state;  ///< reaping, init_blocked, healthy, hang_reader, tar_pit
  pid_t init = 0;
  std::uint64_t init_start = 0;
  std::uint64_t pid_namespace = 0;
  pid_t blocked_pid = 0;
  pid_t blocked_tid = 0;
  long connection = -1;
  long waiting = 0;
  std::string mount_point;
  std::vector<std::string> hangs;
  std::string swallow;
};

class Situation {
 public:
  explicit Situation(const Options& options);
  ~Situation();
  Situation(const Situation&) = delete;
  Situation& operator=(const Situation&) = delete;

  /// Builds it and waits until it stands. False with `error()`.
  bool make();
  /// Ends it and looks whether anything is left: "" or what it is, with the kernel stacks.
  std::string end();
  /// False: it stands, but not in the way that the form asks for (another thread is blocked): end it and try again.
  [[nodiscard]] bool stands_as_asked() const;
  [[nodiscard]] const Truth& truth() const { return truth_; }
  [[nodiscard]] const std::string& error() const { return error_; }
  /// The machine cannot make this one at all.
  [[nodiscard]] bool unsupported() const { return unsupported_; }
  /// healthy: the client reads again. False where it failed or did not answer in 5 s.
  bool read_again();

 private:
  bool fail(const std::string& sentence);
  bool start();
  bool let_it_mount_and_hold();
  bool learn_connection(pid_t pid);
  bool spring_deadlock();
  bool find_blocked(pid_t process);
  bool find_hanging();

  Options options_;
  std::string work_directory_;
  Fusectl fusectl_;
  std::unique_ptr<Guardian> guardian_;
  Pipes ours_;
  int waiting_ = -1;
  pid_t child_ = -1;
  Truth truth_;
  std::string error_;
  bool unsupported_ = false;
};

}  // namespace lab
