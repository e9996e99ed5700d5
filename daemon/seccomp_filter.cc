// SPDX-License-Identifier: Apache-2.0
#include "daemon/seccomp_filter.h"

namespace defused {

Result<SeccompFilter> SeccompFilter::create(std::uint32_t otherwise) {
  SeccompFilter made(seccomp_init(otherwise), otherwise);
  if (made.get() == nullptr) return fail(ErrorKind::io, "seccomp_init failed");
  if (const int error = seccomp_attr_set(made.get(), SCMP_FLTATR_CTL_TSYNC, 1); error < 0)
    return fail_errno(-error, "asking for a filter of all threads");
  return made;
}

Result<void> SeccompFilter::add(std::uint32_t action, int number, const Conditions& conditions) {
  if (action == otherwise_) return {};  // libseccomp refuses it
  const int error =
      seccomp_rule_add_array(get(), action, number, static_cast<unsigned>(conditions.size()), conditions.data());
  if (error < 0) return fail_errno(-error, "adding a seccomp rule");
  return {};
}

Result<void> SeccompFilter::load() {
  if (const int error = seccomp_load(get()); error < 0) return fail_errno(-error, "loading the seccomp filter");
  return {};
}

}  // namespace defused
