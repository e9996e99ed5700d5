// SPDX-License-Identifier: Apache-2.0
#include <cstring>
#include <string>
#include <system_error>

#include "remedy/remedy.h"

namespace defused {

std::string_view to_string(RemedyStep step) {
  switch (step) {
    case RemedyStep::intent: return "intent";
    case RemedyStep::before_hook: return "before_hook";
    case RemedyStep::second_reading: return "second_reading";
    case RemedyStep::write: return "write";
    case RemedyStep::watch: return "watch";
    case RemedyStep::outcome: return "outcome";
    case RemedyStep::after_hook: return "after_hook";
  }
  return "outcome";
}

std::string describe_errno(int code) {
  const char* const name = strerrorname_np(code);
  return std::generic_category().message(code) + " (" +
         (name == nullptr ? "errno " + std::to_string(code) : std::string(name)) + ")";
}

std::string describe_error(const Error& error) {
  if (error.code == 0) return error.message;
  const std::string text = std::generic_category().message(error.code);
  const bool ends_with_it = error.message.size() >= text.size() &&
                            error.message.compare(error.message.size() - text.size(), text.size(), text) == 0;
  const std::string before =
      ends_with_it ? error.message.substr(0, error.message.size() - text.size()) : error.message + ": ";
  return before + describe_errno(error.code);
}

}  // namespace defused
