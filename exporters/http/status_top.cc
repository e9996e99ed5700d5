// SPDX-License-Identifier: Apache-2.0
// What is read first: is anything stuck, since when, is that fresh, and what keeps defused from acting or from seeing.
#include <algorithm>
#include <set>

#include "exporters/http/pages.h"
#include "exporters/http/status_parts.h"
#include "exporters/http/status_words.h"
#include "exporters/readiness.h"
#include "model/sentences.h"

namespace defused::page {

namespace {

using Level = Headline::Level;

std::size_t count_verdict(const std::vector<Story>& stories, Verdict verdict) {
  return static_cast<std::size_t>(
      std::count_if(stories.begin(), stories.end(), [&](const Story& story) { return story.verdict == verdict; }));
}

// "1 deadlocked, 2 not_fuse".
std::string count_verdicts(const std::vector<Story>& stories) {
  std::string out;
  for (const Verdict verdict : AllWords<Verdict>::values) {
    const std::size_t count = count_verdict(stories, verdict);
    if (count > 0) out += (out.empty() ? "" : ", ") + std::to_string(count) + " " + std::string(to_string(verdict));
  }
  return out;
}

std::size_t count_troubled(const Report& report) {
  const auto& all = report.findings.connections;
  return static_cast<std::size_t>(
      std::count_if(all.begin(), all.end(), [](const auto& it) { return it.orphaned || it.stalled_since; }));
}

const Story* oldest(const std::vector<Story>& stories) {
  const auto found = std::min_element(stories.begin(), stories.end(),
                                      [](const Story& a, const Story& b) { return a.since < b.since; });
  return found == stories.end() ? nullptr : &*found;
}

const char* class_of(Level level) {
  switch (level) {
    case Level::good: return "state good";
    case Level::warn: return "state warn";
    case Level::bad: return "state bad";
  }
  return "state bad";
}

// For those who do not tell red from green; read out it would only repeat the heading.
const char* sign_of(Level level) { return level == Level::good ? "\u2713" : level == Level::warn ? "!" : "\u2715"; }

std::string_view mode_in_words(Mode mode) {
  switch (mode) {
    case Mode::observe: return "defused only looks";
    case Mode::dry_run: return "defused decides, and writes nothing";
    case Mode::enforce: return "defused aborts where no gate holds";
  }
  return "";
}

void add_freshness(Html& html, const View& view) {
  const Html::Element line = html.open("p", {{"class", "fresh"}});
  if (!view.pass) return html.text("The first pass is still to come; this page loads itself again every 15 s.");
  const Report& report = view.pass->report;
  html.text("Last pass " + age_in_words(view.age_of_pass()) + " ago. Mode ");
  add_word(html, to_string(report.mode));
  html.text(": " + std::string(mode_in_words(report.mode)) + ".");
}

void add_state(Html& html, const View& view, const Headline& headline, const std::vector<Story>& namespaces,
               const std::vector<Story>& exits) {
  const Html::Element banner = html.open("div", {{"class", class_of(headline.level)}});
  {
    const Html::Element heading = html.open("h1");
    html.leaf("span", sign_of(headline.level), {{"class", "sign"}, {"aria-hidden", "true"}});
    html.text(" " + headline.text);
  }
  const std::vector<Story>& stories = namespaces.empty() ? exits : namespaces;
  if (const Story* first = oldest(stories); first != nullptr) {
    const Html::Element line = html.open("p", {{"class", "oldest"}});
    if (stories.size() == 1) {
      html.name(title_of(*first));
      html.text(": " + std::string(to_string(first->verdict)) + ", since ");
      add_since(html, first->since, first->age);
    } else {
      html.text("The oldest since ");
      add_since(html, first->since, first->age);
      html.text(". " + count_verdicts(stories));
    }
    html.text(".");
  }
  if (!namespaces.empty() && !exits.empty()) {
    const Html::Element line = html.open("p");
    html.text("And " + count_of(exits.size(), "stuck exit", "stuck exits") + ": " + count_verdicts(exits) + ".");
  }
  add_freshness(html, view);
}

// ", since ..": nothing where it is not known.
void add_since_when(Html& html, Nanoseconds wall) {
  if (wall == Nanoseconds(0)) return;
  html.text(" since ");
  add_time(html, wall);
}

void add_notice(Html& html, const char* kind, const std::string& what, Nanoseconds since, const std::string& why,
                std::string_view meaning) {
  const Html::Element notice = html.open("div", {{"class", kind}});
  {
    const Html::Element line = html.open("p");
    html.leaf("strong", what);
    add_since_when(html, since);
    html.text(why.empty() ? "" : ": ");
    html.name(why);
  }
  const Html::Element line = html.open("p");
  html.prose(meaning);
}

// What holds every action back, whatever is found.
void add_restraints(Html& html, const RemedyState& state) {
  if (state.inhibited) {
    add_notice(html, "notice warn", "PAUSED (inhibited)", state.inhibited_since, state.inhibited_reason,
               "Nothing is aborted meanwhile. `defused resume` ends a pause by an operator.");
  }
  if (state.breaker_open) {
    add_notice(html, "notice bad", "Circuit breaker OPEN (" + std::string(to_string(state.breaker_cause)) + ")",
               state.breaker_since, state.breaker_detail,
               "Nothing is aborted until a person has looked and closed it: `defused resume --reset-breaker`");
  }
  if (!state.record_trouble.empty()) {
    add_notice(html, "notice bad", "Ledger or audit log cannot be written (record_unwritable)", Nanoseconds(0),
               state.record_trouble, "Nothing is aborted meanwhile.");
  }
}

void add_blindness(Html& html, const View& view) {
  if (view.supervisor.prober_blind != 0 && view.pass) {
    add_notice(html, "notice warn", "No prober is looking just now", Nanoseconds(0), "",
               "It is being started, or it has missed its deadline. What follows is what the last one saw.");
  }
  if (!view.pass) return;
  for (const std::string& what : view.pass->report.blind) {
    if (!is_needed(what)) continue;
    add_notice(html, "notice warn", "BLIND: " + what, Nanoseconds(0), "", blind_in_words(what));
  }
}

// The report has one line for each thread, and may count more of them than it lists.
std::string exits_in_words(const Findings& findings) {
  std::set<pid_t> processes;
  for (const StuckExit& exit : findings.stuck_exits) processes.insert(exit.thread.pid);
  const bool more = findings.stuck_exit_count > findings.stuck_exits.size();
  return (more ? "At least " : "") + count_of(processes.size(), "process cannot exit", "processes cannot exit");
}

std::string stuck_in_words(const Report& report, const std::vector<Story>& namespaces) {
  if (namespaces.empty()) return exits_in_words(report.findings);
  const std::size_t count = namespaces.size() + held_namespaces(report, namespaces).size();
  return count_of(count, "PID namespace cannot die", "PID namespaces cannot die");
}

}  // namespace

Headline headline_of(const View& view, const std::vector<Story>& namespaces, const std::vector<Story>& exits) {
  if (!view.pass) {
    return {view.supervisor.at_cap != 0 ? Level::bad : Level::warn, "No pass has been finished yet"};
  }
  const Report& report = view.pass->report;
  const std::size_t deadlocked =
      count_verdict(namespaces, Verdict::deadlocked) + count_verdict(exits, Verdict::deadlocked);
  const bool stuck = !namespaces.empty() || !exits.empty();
  if (stuck) return {deadlocked > 0 ? Level::bad : Level::warn, stuck_in_words(report, namespaces)};
  if (!why_not_ready(view).empty()) return {Level::warn, "Not known: this is not fresh"};
  if (view.supervisor.prober_blind != 0) return {Level::warn, "Not known: no prober is looking"};
  if (std::any_of(report.blind.begin(), report.blind.end(), is_needed))
    return {Level::warn, "Not everything can be seen"};
  if (const std::size_t troubled = count_troubled(report); troubled > 0) {
    return {Level::warn, count_of(troubled, "FUSE connection does not answer", "FUSE connections do not answer")};
  }
  return {Level::good, "Healthy: nothing is stuck"};
}

void add_top(Html& html, const View& view, const Headline& headline, const std::vector<Story>& namespaces,
             const std::vector<Story>& exits) {
  add_state(html, view, headline, namespaces, exits);
  if (const std::string reason = why_not_ready(view); !reason.empty() && view.pass) {
    add_notice(html, "notice bad", "What follows is not fresh", Nanoseconds(0), reason,
               "It is what the last pass saw, and may not be true any more.");
  } else if (!reason.empty()) {
    add_notice(html, "notice warn", "There is nothing to show", Nanoseconds(0), reason, "");
  }
  if (view.pass) add_restraints(html, view.pass->report.remedy);
  add_blindness(html, view);
}

}  // namespace defused::page
