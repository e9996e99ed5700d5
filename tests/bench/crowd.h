// SPDX-License-Identifier: Apache-2.0
// A crowd of sleeping processes in PID namespaces of their own, for the time that the object lives.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <vector>

namespace bench {

class Crowd {
 public:
  /// `namespaces` PID namespaces with `members` processes each (their inits counted).
  /// Each has `descriptors` open beside what it inherits.
  Crowd(std::size_t namespaces, std::size_t members, std::size_t descriptors = 0);
  ~Crowd();
  Crowd(const Crowd&) = delete;
  Crowd& operator=(const Crowd&) = delete;
  [[nodiscard]] bool complete() const { return complete_; }

 private:
  std::vector<pid_t> inits_;
  bool complete_ = true;
};

}  // namespace bench
