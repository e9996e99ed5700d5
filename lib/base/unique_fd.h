// SPDX-License-Identifier: Apache-2.0
// UniqueFd: the one owner of a file descriptor. Every descriptor of this program is close-on-exec: a prober that
// cannot be killed must hold no listener, lock or client (DESIGN.md section 3).
#pragma once

#include <unistd.h>

#include <utility>

namespace defused {

class UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int descriptor) : fd_(descriptor) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    if (this != &other) reset(std::exchange(other.fd_, -1));
    return *this;
  }
  UniqueFd(const UniqueFd&) = delete;
  UniqueFd& operator=(const UniqueFd&) = delete;
  ~UniqueFd() { reset(); }

  [[nodiscard]] int get() const { return fd_; }
  [[nodiscard]] bool valid() const { return fd_ >= 0; }
  explicit operator bool() const { return valid(); }
  [[nodiscard]] int release() { return std::exchange(fd_, -1); }
  void reset(int descriptor = -1) {
    if (fd_ >= 0) ::close(fd_);
    fd_ = descriptor;
  }

 private:
  int fd_ = -1;
};

}  // namespace defused
