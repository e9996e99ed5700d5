// SPDX-License-Identifier: Apache-2.0
// The operator's hooks: a command (argv, no shell) in a process group of its own, one JSON record on its standard
// input, ended with its whole group at the time limit. It gets no descriptor of ours, "/" as working directory and a
// small environment; it ends when the prober does. Must not: wait beyond the limit, whatever the command does.
#pragma once

#include <string>
#include <vector>

#include "base/clock.h"

namespace defused {

inline constexpr std::size_t kMaxHookOutput = 4096;  ///< bytes that are kept of what a hook prints, on both streams

/// What came of one.
struct HookResult {
  bool configured = false;  ///< false: there is none; all is well then
  int exit_code = -1;       ///< -1: it did not exit by itself
  std::string output;       ///< sanitized, one line, at most kMaxHookOutput
  std::string trouble;      ///< a sentence, where it could not be run, was ended by a signal or by the limit
  /// There is none, or it exited with 0 in time.
  [[nodiscard]] bool agrees() const { return !configured || (exit_code == 0 && trouble.empty()); }
};

/// What lib/remedy asks and tells; tests have scripted ones.
class Hooks {
 public:
  Hooks() = default;
  Hooks(const Hooks&) = delete;
  Hooks& operator=(const Hooks&) = delete;
  virtual ~Hooks() = default;
  /// Before an abort, with its `intent` record. Anything but agreement is a veto.
  virtual HookResult before(const std::string& record) = 0;
  /// After it, with its `outcome` record.
  virtual HookResult after(const std::string& record) = 0;
};

/// Runs `argv` (argv[0] an absolute path) with `input` on its standard input, for at most `limit`. DEFUSED_HOOK in its
/// environment is `name`.
HookResult run_hook(const std::vector<std::string>& argv, const std::string& name, const std::string& input,
                    Nanoseconds limit);

class CommandHooks final : public Hooks {
 public:
  CommandHooks(std::vector<std::string> before, std::vector<std::string> after, Nanoseconds limit)
      : before_(std::move(before)), after_(std::move(after)), limit_(limit) {}
  HookResult before(const std::string& record) override { return run_hook(before_, "before", record, limit_); }
  HookResult after(const std::string& record) override { return run_hook(after_, "after", record, limit_); }

 private:
  std::vector<std::string> before_;
  std::vector<std::string> after_;
  Nanoseconds limit_;
};

}  // namespace defused
