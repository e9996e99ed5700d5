// SPDX-License-Identifier: Apache-2.0
// The status page, from top to bottom. A page is for people and is rendered on every visit: it shows so much of a
// report and no more, says how much more there is, and the report has the rest.
#include <algorithm>

#include "exporters/http/html.h"
#include "exporters/http/pages.h"
#include "exporters/http/status_parts.h"
#include "exporters/http/status_story.h"
#include "exporters/http/status_words.h"

namespace defused {

namespace {

using page::Headline;
using page::HeldNamespace;
using page::Story;

constexpr std::size_t kMostLines = 100;          // stuck namespaces that are named
constexpr std::size_t kMostHeld = 20;            // of those that only wait for one of them
constexpr std::size_t kMostStories = 20;         // of them, told in full: the worst ones
constexpr std::size_t kMostExits = 50;           // stuck exits that are named
constexpr std::size_t kMostStoriesOfExits = 10;  // of them, told in full

std::string host_of(const View& view) { return view.pass ? view.pass->report.host : std::string(); }

void add_head(Html& html, const View& view, const Headline& headline) {
  const Html::Element head = html.open("head");
  html.single("meta", {{"charset", "utf-8"}});
  html.single("meta", {{"name", "viewport"}, {"content", "width=device-width, initial-scale=1"}});
  html.single("meta", {{"http-equiv", "refresh"}, {"content", "15"}});
  html.single("meta", {{"name", "color-scheme"}, {"content", "light dark"}});
  const std::string host = host_of(view);
  html.leaf("title", headline.text + (host.empty() ? "" : " - " + host) + " - defused");
  html.style(page::style_sheet());
}

void add_header(Html& html, const View& view) {
  const Html::Element header = html.open("header");
  html.leaf("p", "defused", {{"class", "brand"}});
  if (!view.pass) return;
  const Html::Element where = html.open("p", {{"class", "where"}});
  html.text("host ");
  html.name(view.pass->report.host);
  html.text(", Linux ");
  html.name(view.pass->report.kernel.release);
}

// Each of many in a line, and the first ones in full.
// `count` is how many there are, listed or not.
void add_stories(Html& html, const View& view, const std::vector<Story>& stories, std::size_t count,
                 std::size_t most_lines, std::size_t most_told, std::string_view what) {
  const std::size_t told = std::min(most_told, stories.size());
  if (stories.size() > 1) {
    {
      const Html::Element list = html.open("ul", {{"class", "lines"}});
      for (std::size_t i = 0; i < std::min(most_lines, stories.size()); ++i)
        page::add_story_line(html, stories[i], i < told);
    }
    page::add_rest(html, count, most_lines, what);
  }
  for (std::size_t i = 0; i < told; ++i) page::add_story(html, stories[i], view);
}

void add_held(Html& html, const std::vector<Story>& stories, const std::vector<HeldNamespace>& held) {
  if (held.empty()) return;
  {
    const Html::Element list = html.open("ul", {{"class", "lines"}});
    for (std::size_t i = 0; i < std::min(kMostHeld, held.size()); ++i)
      page::add_held_line(html, *held[i].finding, stories[held[i].holder], held[i].holder < kMostStories);
  }
  page::add_rest(html, held.size(), kMostHeld, "PID namespaces that are held by those");
}

void add_namespaces(Html& html, const View& view, const std::vector<Story>& stories,
                    const std::vector<HeldNamespace>& held) {
  if (stories.empty()) return;
  const Html::Element section = html.open("section", {{"aria-labelledby", "stuck"}});
  const std::size_t count = stories.size() + held.size();
  html.leaf("h2", "Stuck PID namespaces (" + std::to_string(count) + ")", {{"id", "stuck"}});
  add_held(html, stories, held);
  add_stories(html, view, stories, stories.size(), kMostLines, kMostStories, "stuck PID namespaces");
}

void add_exits(Html& html, const View& view, const std::vector<Story>& stories) {
  if (stories.empty()) return;
  const std::size_t count = std::max<std::size_t>(stories.size(), view.pass->report.findings.stuck_exit_count);
  const Html::Element section = html.open("section", {{"aria-labelledby", "exits"}});
  html.leaf("h2", "Stuck exits (" + std::to_string(count) + ")", {{"id", "exits"}});
  html.leaf("p", "Blocked threads in no dying PID namespace: shown and explained, never acted on.");
  add_stories(html, view, stories, count, kMostExits, kMostStoriesOfExits, "stuck exits");
}

void add_numbers(Html& html, const Report& report) {
  std::uint64_t waiting = 0;
  for (const ConnectionFinding& connection : report.findings.connections) waiting += connection.waiting;
  const Html::Element section = html.open("section", {{"aria-labelledby", "numbers"}});
  html.leaf("h2", "This host", {{"id", "numbers"}});
  {
    const Html::Element list = html.open("dl", {{"class", "strip"}});
    page::add_pair(html, "PID namespaces", std::to_string(report.pid_namespace_count));
    page::add_pair(html, "of them dying", std::to_string(report.findings.namespaces.size()));
    page::add_pair(html, "FUSE connections", std::to_string(report.findings.connections.size()));
    page::add_pair(html, "requests waiting", std::to_string(waiting));
    const auto tenths = std::chrono::duration_cast<std::chrono::microseconds>(report.duration).count() / 100;
    page::add_pair(html, "the pass took", std::to_string(tenths / 10) + "." + std::to_string(tenths % 10) + " ms");
  }
  const Html::Element line = html.open("p", {{"class", "more"}});
  html.text("That pass began ");
  page::add_time(html, report.scanned_at);
  html.text(".");
}

void add_footer(Html& html, const View& view) {
  const Html::Element footer = html.open("footer");
  {
    const Html::Element nav = html.open("nav", {{"aria-label", "For machines"}});
    const Html::Element list = html.open("ul");
    const auto link = [&](std::string_view target, std::string_view text) {
      const Html::Element item = html.open("li");
      html.leaf("a", text, {{"href", target}});
    };
    link(view.settings.web.telemetry_path, "metrics");
    link("/api/v1/report", "report");
    link("/api/v1/report/schema", "schema of the report");
    link("/-/ready", "ready");
    link("/-/healthy", "healthy");
  }
  html.leaf("p", "This page loads itself again every 15 s. Times are UTC; ages are those of the last pass.");
}

}  // namespace

std::string render_status_page(const View& view) {
  const std::vector<Story> namespaces = view.pass ? page::stuck_namespaces(view.pass->report) : std::vector<Story>{};
  const std::vector<Story> exits = view.pass ? page::stuck_exits(view.pass->report) : std::vector<Story>{};
  const Headline headline = page::headline_of(view, namespaces, exits);
  Html html;
  {
    const Html::Element root = html.open("html", {{"lang", "en"}});
    add_head(html, view, headline);
    const Html::Element body = html.open("body");
    add_header(html, view);
    {
      const Html::Element main = html.open("main");
      page::add_top(html, view, headline, namespaces, exits);
      if (view.pass) {
        const Report& report = view.pass->report;
        const auto held = page::held_namespaces(report, namespaces);
        add_namespaces(html, view, namespaces, held);
        add_exits(html, view, exits);
        page::add_dying(html, report, held);
        page::add_connections(html, view, report);
        page::add_actions(html, report);
        page::add_unseen(html, view, report);
        add_numbers(html, report);
      }
    }
    add_footer(html, view);
  }
  return html.written() + "\n";
}

}  // namespace defused
