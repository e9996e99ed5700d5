// SPDX-License-Identifier: Apache-2.0
// SeccompFilter: rules for libseccomp, one sentence per error.
#pragma once

#include <seccomp.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "base/result.h"

namespace defused {

class SeccompFilter {
 public:
  using Conditions = std::vector<scmp_arg_cmp>;

  /// `otherwise`: what is done where no rule speaks. For all threads, or none. Errors: io.
  static Result<SeccompFilter> create(std::uint32_t otherwise);

  /// A call that this architecture does not have is passed over, and so is a rule that says what is the case anyway.
  Result<void> add(std::uint32_t action, int number, const Conditions& conditions = {});
  /// Errors: io, denied.
  Result<void> load();

  [[nodiscard]] scmp_filter_ctx get() const { return filter_.get(); }

 private:
  SeccompFilter(scmp_filter_ctx filter, std::uint32_t otherwise)
      : filter_(filter, &seccomp_release), otherwise_(otherwise) {}
  std::unique_ptr<void, decltype(&seccomp_release)> filter_;
  std::uint32_t otherwise_;
};

}  // namespace defused
