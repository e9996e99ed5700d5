// SPDX-License-Identifier: Apache-2.0
// Credentials: who may read, by basic authentication. A bcrypt hash takes tens to hundreds of milliseconds, so hashes
// are computed by libcrypt in one thread, never by the loop that serves; what was found right is remembered, in bounded
// number and only as a keyed digest. The thread is started by the constructor, which returns once the thread needs no
// further system call to begin: before the sandbox forbids threads. All calls from the serving thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "model/web_config.h"

namespace defused {

class Credentials {
 public:
  static constexpr std::size_t kMostRemembered = 100;
  static constexpr std::size_t kMostPending = 16;  ///< beyond it somebody is told to come again

  enum class Answer { right, wrong, pending, busy };
  struct Verdict {
    std::uint64_t ticket = 0;
    Answer answer = Answer::wrong;  ///< never pending; busy: it gave way to another source
  };

  /// Errors: io (no thread, no descriptor, no random numbers).
  static Result<std::unique_ptr<Credentials>> create();
  /// Waits for the hash that is being computed.
  ~Credentials();
  Credentials(const Credentials&) = delete;
  Credentials& operator=(const Credentials&) = delete;

  /// Those who may read; forgets what was remembered and answers what is pending with wrong. Empty: everybody may.
  void set_users(const std::vector<WebUser>& users);
  [[nodiscard]] bool required() const;

  /// `authorization`: the whole header, "" where there is none. `pending`: the verdict comes with take_verdicts(),
  /// under `ticket`, which must be another one for each question. A name that is not known takes as long as a wrong
  /// password. `source`: the address that asks. The sources take turns, one question each; where too many are
  /// pending, one of the source with the most of them gives way. So a flood from one address keeps nobody else out:
  /// who asks from another one waits for two hashes at most before its own.
  Answer ask(std::string_view authorization, std::uint64_t ticket, std::uint64_t source);
  /// Readable while verdicts wait to be taken.
  [[nodiscard]] int descriptor() const;
  std::vector<Verdict> take_verdicts();

 private:
  class Impl;
  explicit Credentials(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace defused
