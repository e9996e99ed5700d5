// SPDX-License-Identifier: Apache-2.0
// A story: one thing that cannot die, with all that the page tells of it. The parts of the page that tell it share this
// view of the report. Passive data; inner part of status_page.
#pragma once

#include <string>
#include <vector>

#include "exporters/exporter.h"
#include "exporters/http/html.h"

namespace defused::page {

/// Points into the report. A namespace or a stuck exit: the other one is null.
struct Story {
  const NamespaceFinding* finding = nullptr;
  const StuckExit* exit = nullptr;
  const Decision* decision = nullptr;                     ///< null for a stuck exit
  const BlockedThread* thread = nullptr;                  ///< the one that it is told of; null where none is listed
  const ConnectionFinding* connection = nullptr;          ///< that it waits for; null where that is not known
  std::vector<const ConnectionFinding*> candidates = {};  ///< where nothing tells which: those that it may wait for
  Verdict verdict = Verdict::undetermined;
  Evidence evidence = Evidence::none;
  Nanoseconds since{0};
  Nanoseconds age{0};
  std::string key;    ///< "init-4690", "exit-4713": the id of its element
  std::string again;  ///< "defused explain namespace:4026532178"
};

/// Stuck namespaces, worst verdict first, the oldest of each first.
std::vector<Story> stuck_namespaces(const Report& report);
/// Stuck exits in the same order.
std::vector<Story> stuck_exits(const Report& report);

/// A dying namespace with nothing stuck of its own, that waits for a stuck one inside of it.
struct HeldNamespace {
  const NamespaceFinding* finding = nullptr;
  std::size_t holder = 0;  ///< index of the story that tells the cause
};
/// Those that wait for one of `stories`, directly or through others.
std::vector<HeldNamespace> held_namespaces(const Report& report, const std::vector<Story>& stories);

/// "docker 0123456789ab", or what there is.
std::string title_of(const Story& story);
std::string title_of(const NamespaceFinding& finding);

/// Its article: what it is, what to do, the picture, what it rests on, what holds the daemon back, the stack.
void add_story(Html& html, const Story& story, const View& view);

/// One line of it, with a link to its article where that is on the page.
void add_story_line(Html& html, const Story& story, bool told_below);

/// Of a held one: whom it waits for, with a link to that story where that is on the page.
void add_held_line(Html& html, const NamespaceFinding& finding, const Story& holder, bool told_below);

/// The picture (SVG): what waits for what, from init down to the server.
void add_picture(Html& html, const Story& story, const View& view);

/// What a person can do, the command to type, and what it destroys.
void add_what_to_do(Html& html, const Story& story, const Report& report);

/// Whether this function of a kernel stack is one of those that tell what the thread waits for.
bool is_telling(std::string_view frame);

}  // namespace defused::page
