// SPDX-License-Identifier: Apache-2.0
#include "exporters/readiness.h"

#include <chrono>

namespace defused {

std::string why_not_ready(const View& view) {
  if (view.supervisor.at_cap != 0) return "too many probers could not be killed, no other is started";
  if (!view.pass) return "no pass has been finished yet";
  const Nanoseconds age = view.age_of_pass();
  const Nanoseconds limit = 3 * view.settings.interval + view.settings.pass_deadline;
  if (age > limit) {
    return "the last pass began " + std::to_string(std::chrono::duration_cast<std::chrono::seconds>(age).count()) +
           " s ago";
  }
  return {};
}

bool is_needed(std::string_view blind) { return blind == "processes" || blind == "fusectl" || blind == "stack"; }

}  // namespace defused
