// SPDX-License-Identifier: Apache-2.0
#include "exporters/readiness.h"

#include <chrono>

namespace defused {

namespace {

// What a pass that is due may take, with one that was left out and some reserve.
Nanoseconds patience(const View& view) { return 3 * view.settings.interval + view.settings.pass_deadline; }

}  // namespace

std::string why_not_ready(const View& view) {
  if (view.supervisor.at_cap != 0) return "too many probers could not be killed, no other is started";
  if (!view.pass) return "no pass has been finished yet";
  const Nanoseconds age = view.age_of_pass();
  if (age > patience(view)) {
    return "the last pass began " + std::to_string(std::chrono::duration_cast<std::chrono::seconds>(age).count()) +
           " s ago";
  }
  return {};
}

bool has_just_started(const View& view) {
  const double age = to_seconds(view.now.wall) - view.supervisor.supervisor.start_time_seconds;
  // Less than nothing: the clock was set back, and how long it runs is not known.
  return !view.pass && view.supervisor.at_cap == 0 && age >= 0 && age < to_seconds(patience(view));
}

bool is_needed(std::string_view blind) { return blind == "processes" || blind == "fusectl" || blind == "stack"; }

}  // namespace defused
