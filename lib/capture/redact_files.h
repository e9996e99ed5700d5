// SPDX-License-Identifier: Apache-2.0
// The files of /proc without names: text in, text out, each by what the kernel documents of it. What is not of the form
// that a parser takes is no such form afterwards either, and a line that was cut short stays one that is not counted,
// so that the same is read of it. Of what is not known nothing is kept. Linear in time and memory. Pure.
#pragma once

#include <string>
#include <string_view>

#include "capture/pseudonyms.h"

namespace defused {

/// Whether there is nothing but these in `text`; "" is of any.
inline bool consists_of(std::string_view text, std::string_view characters) {
  return text.find_first_not_of(characters) == std::string_view::npos;
}

/// Whether a `status` says that it is of a kernel thread (as lib/procfs judges it): their names are words of the
/// kernel.
bool is_status_of_kernel_thread(std::string_view status);

/// What a thread is called: `keep` for those of kernel threads. "iou-wrk-N", "iou-sqp-N" and "vhost-N" always stay.
std::string redact_comm(std::string_view comm, bool keep, Pseudonyms& names);

std::string redact_status(std::string_view text, bool keep_name, Pseudonyms& names);
std::string redact_stat(std::string_view text, bool keep_name, Pseudonyms& names);
std::string redact_sched(std::string_view text, bool keep_name, Pseudonyms& names);
std::string redact_comm_file(std::string_view text, bool keep_name, Pseudonyms& names);
std::string redact_cgroup(std::string_view text, Pseudonyms& names);
std::string redact_mountinfo(std::string_view text, Pseudonyms& names);
/// Of /proc/PID/fd/N, and of ns/NAME.
std::string redact_descriptor_link(std::string_view target, Pseudonyms& names);
std::string redact_namespace_link(std::string_view target);

std::string redact_descriptor_info(std::string_view text);  ///< fdinfo/N
std::string redact_stack(std::string_view text);
std::string redact_wchan(std::string_view text);
std::string redact_syscall(std::string_view text);
std::string redact_limits(std::string_view text);
std::string redact_symbols(std::string_view text);  ///< kallsyms
std::string redact_version(std::string_view text);
std::string redact_release(std::string_view text);
/// Numbers, with points and blanks between them, and nothing else.
std::string redact_numbers(std::string_view text);

}  // namespace defused
