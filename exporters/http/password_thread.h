// SPDX-License-Identifier: Apache-2.0
// PasswordThread: computes one bcrypt hash at a time, by libcrypt. Knows no users. Its owner is one other thread.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"

namespace defused {

class PasswordThread {
 public:
  /// Returns when the thread waits for work. Errors: io.
  static Result<std::unique_ptr<PasswordThread>> start();
  /// Waits for the hash that is being computed.
  ~PasswordThread();
  PasswordThread(const PasswordThread&) = delete;
  PasswordThread& operator=(const PasswordThread&) = delete;

  /// Whether the password is that of the hash; only while no other question is open.
  void ask(std::string password, std::string hash);
  /// The answer, once, when it is there.
  std::optional<bool> take();

  /// An eventfd that the thread writes to with each answer. Whoever reads it may write to it too.
  [[nodiscard]] int descriptor() const;

 private:
  class Impl;
  explicit PasswordThread(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

/// Whether `password` is the one that `hash` was made of. Takes as long as its cost says. Any thread.
bool is_password_of(const std::string& password, const std::string& hash);

/// A hash that no password has, which takes as long as the dearest of `hashes`.
std::string make_unmatched_hash(const std::vector<std::string>& hashes);

}  // namespace defused
