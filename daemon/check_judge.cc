// SPDX-License-Identifier: Apache-2.0
#include "daemon/check_judge.h"

#include <algorithm>
#include <array>
#include <tuple>
#include <utility>

#include "daemon/check_problems.h"
#include "daemon/describe.h"
#include "model/sentences.h"

namespace defused {

namespace {

constexpr std::array<std::string_view, 17> kKindNames = {
    "refused", "no_diagnosis", "deadlocked",   "age_unknown",   "stuck",      "stuck_exit",
    "stalled", "orphaned",     "breaker_open", "action_failed", "no_records", "lost_probers",
    "blind",   "not_ready",    "no_prober",    "daemon_silent", "incomplete"};

// What is counted of it, for one and for many; "" where there is never more than one to tell.
struct Counted {
  std::string_view one;
  std::string_view many;
};

Counted words_for(CheckKind kind) {
  switch (kind) {
    case CheckKind::deadlocked: return {"PID namespace deadlocked", "PID namespaces deadlocked"};
    case CheckKind::age_unknown:
      return {"dying PID namespace does not move, since when is not known",
              "dying PID namespaces do not move, since when is not known"};
    case CheckKind::stuck: return {"PID namespace stuck", "PID namespaces stuck"};
    case CheckKind::stuck_exit: return {"stuck exit", "stuck exits"};
    case CheckKind::stalled: return {"FUSE connection stalled", "FUSE connections stalled"};
    case CheckKind::orphaned: return {"FUSE connection orphaned", "FUSE connections orphaned"};
    default: return {};
  }
}

// Worse ones first. Without a diagnosis nothing else counts. A deadlock that was found is one, whatever else is not
// known; but a warning must not hide that there may be one.
int rank(const CheckProblem& problem) {
  if (problem.kind <= CheckKind::no_diagnosis) return 0;
  if (problem.kind == CheckKind::deadlocked) return problem.state == CheckState::critical ? 1 : 2;
  return problem.state == CheckState::unknown ? 3 : 4;
}

void sort_worst_first(std::vector<CheckProblem>& problems) {
  std::stable_sort(problems.begin(), problems.end(), [](const CheckProblem& a, const CheckProblem& b) {
    return std::tuple(rank(a), a.kind, -a.age.count()) < std::tuple(rank(b), b.kind, -b.age.count());
  });
}

using Group = std::pair<std::vector<CheckProblem>::const_iterator, std::vector<CheckProblem>::const_iterator>;

std::vector<Group> groups_of(const std::vector<CheckProblem>& problems) {
  std::vector<Group> groups;
  for (auto begin = problems.begin(); begin != problems.end();) {
    const auto end = std::find_if(begin, problems.end(), [&](const CheckProblem& problem) {
      return problem.kind != begin->kind || problem.state != begin->state;
    });
    groups.emplace_back(begin, end);
    begin = end;
  }
  return groups;
}

// "2 PID namespaces deadlocked, the oldest for 3m12s: docker 0123456789ab on connection 40 (fuse.s3fs), and 1 more".
std::string headline(const Group& group, bool with_age) {
  const CheckProblem& first = *group.first;
  const Counted words = words_for(first.kind);
  if (words.one.empty()) return first.text;
  const auto count = static_cast<std::size_t>(group.second - group.first);
  std::string text = count_of(count, words.one, words.many);
  if (with_age && first.age > Nanoseconds(0)) {
    text += (count > 1 ? ", the oldest for " : " for ") + render_age(first.age);
  }
  if (!first.object.empty()) text += ": " + first.object;
  return count > 1 ? text + ", and " + std::to_string(count - 1) + " more" : text;
}

std::string count_only(const Group& group) {
  const Counted words = words_for(group.first->kind);
  if (words.one.empty()) return group.first->text;
  return count_of(static_cast<std::size_t>(group.second - group.first), words.one, words.many);
}

std::string summarize(const CheckResult& result, const CheckInput& input, bool with_age) {
  if (result.problems.empty()) {
    const std::size_t connections = input.pass->report.findings.connections.size();
    return "nothing is stuck; " + count_of(input.pass->report.pid_namespace_count, "PID namespace", "PID namespaces") +
           ", " + count_of(connections, "FUSE connection", "FUSE connections");
  }
  constexpr std::size_t kMostGroups = 4;
  const std::vector<Group> groups = groups_of(result.problems);
  std::string text = headline(groups.front(), with_age);
  for (std::size_t i = 1; i < std::min(groups.size(), kMostGroups); ++i) text += "; " + count_only(groups[i]);
  return groups.size() > kMostGroups ? text + "; and more" : text;
}

CheckState state_of(const std::vector<CheckProblem>& problems) {
  return problems.empty() ? CheckState::ok : problems.front().state;
}

}  // namespace

std::string_view to_string(CheckState state) {
  constexpr std::array<std::string_view, 4> kNames = {"ok", "warning", "critical", "unknown"};
  return kNames[static_cast<std::size_t>(state)];
}

std::string_view to_string(CheckKind kind) { return kKindNames[static_cast<std::size_t>(kind)]; }

CheckResult judge_check(const CheckInput& input) {
  CheckResult result;
  if (input.pass != nullptr) result.source = input.own_samples == 0 ? "daemon" : "probe";
  result.notes = input.notes;
  add_own_problems(input, result.problems);
  if (input.pass != nullptr) {
    add_stuck(*input.pass, input.critical_after, result.problems);
    add_unknown_ages(input, result.problems);
    add_connections(input.pass->report, result.problems);
    add_restraints(input.pass->report, result.problems);
    add_notes(input, result.notes);
  }
  add_measures(input, result.measures);
  sort_worst_first(result.problems);
  result.state = state_of(result.problems);
  result.summary = summarize(result, input, true);
  result.brief = summarize(result, input, false);
  return result;
}

CheckResult refuse_check(std::string sentence) {
  CheckResult result;
  result.problems.push_back({CheckState::unknown, CheckKind::refused, sentence, {}, {}, {}, {}, {}, {}});
  result.summary = result.brief = std::move(sentence);
  return result;
}

}  // namespace defused
