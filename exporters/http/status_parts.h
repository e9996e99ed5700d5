// SPDX-License-Identifier: Apache-2.0
// The parts of the status page beside the stories, in the order in which they stand. Pure; inner part of status_page.
#pragma once

#include <string>
#include <vector>

#include "exporters/exporter.h"
#include "exporters/http/html.h"
#include "exporters/http/status_story.h"

namespace defused::page {

/// The style sheet: constant, so that it can be allowed by its hash.
std::string_view style_sheet();

/// How it stands, in a few words: also for the title of the window.
struct Headline {
  enum class Level { good, warn, bad };
  Level level = Level::good;
  std::string text;  ///< "2 PID namespaces cannot die"
};
Headline headline_of(const View& view, const std::vector<Story>& namespaces, const std::vector<Story>& exits);

/// The banner on top, and below it what holds every action back and what is not seen.
void add_top(Html& html, const View& view, const Headline& headline, const std::vector<Story>& namespaces,
             const std::vector<Story>& exits);

/// Dying namespaces that are neither stuck nor `held` by one that is, a line each.
void add_dying(Html& html, const Report& report, const std::vector<HeldNamespace>& held);

/// All connections as a table: orphans and stalled ones first.
void add_connections(Html& html, const View& view, const Report& report);

/// Mode, breaker, budget, and the last actions as a table.
void add_actions(Html& html, const Report& report);

/// What of this host was not seen: blind spots, gaps, lost probers.
void add_unseen(Html& html, const View& view, const Report& report);

}  // namespace defused::page
