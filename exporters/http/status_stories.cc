// SPDX-License-Identifier: Apache-2.0
// Which stories a report has, of which thread and connection each is told, and who is held by them.
#include <algorithm>
#include <map>

#include "exporters/http/status_story.h"
#include "exporters/http/status_words.h"
#include "model/find_connection.h"

namespace defused::page {

namespace {

std::string key_of(std::string_view kind, std::uint64_t id) { return std::string(kind) + "-" + std::to_string(id); }

const ConnectionFinding* connection_behind(const Report& report, const BlockedThread* thread) {
  if (thread == nullptr) return nullptr;
  if (thread->connection) return find_connection(report, *thread->connection);
  return thread->candidates.size() == 1 ? find_connection(report, thread->candidates.front()) : nullptr;
}

// Those that it may wait for where nothing tells which.
std::vector<const ConnectionFinding*> candidates_behind(const Report& report, const BlockedThread* thread) {
  std::vector<const ConnectionFinding*> out;
  if (thread == nullptr || thread->connection) return out;
  for (const ConnectionId id : thread->candidates) {
    if (const ConnectionFinding* connection = find_connection(report, id)) out.push_back(connection);
  }
  return out;
}

// Of the threads with the verdict of the whole, one on the connection that the decision is about: the story, its abort
// and the gates are of one connection then. Where init itself is what cannot die, init before those beside it.
const BlockedThread* thread_to_tell(const NamespaceFinding& finding, const Decision* decision) {
  const auto rank = [&](const BlockedThread& thread) {
    const bool other = decision != nullptr && decision->connection && thread.connection != decision->connection;
    const bool beside_init = finding.state == DyingState::init_blocked && thread.pid != finding.init.pid;
    return std::pair(thread.verdict != finding.verdict, std::pair(other, beside_init));
  };
  const auto& threads = finding.blocked_threads;
  const auto best =
      std::min_element(threads.begin(), threads.end(), [&](const auto& a, const auto& b) { return rank(a) < rank(b); });
  return best == threads.end() ? nullptr : &*best;
}

void sort_worst_first(std::vector<Story>& stories) {
  std::stable_sort(stories.begin(), stories.end(), [](const Story& a, const Story& b) {
    return std::pair(-severity(a.verdict), a.since) < std::pair(-severity(b.verdict), b.since);
  });
}

}  // namespace

std::vector<Story> stuck_namespaces(const Report& report) {
  std::vector<Story> out;
  const auto& namespaces = report.findings.namespaces;
  for (std::size_t i = 0; i < namespaces.size(); ++i) {
    const NamespaceFinding& finding = namespaces[i];
    if (!finding.stuck) continue;
    Story story;
    story.finding = &finding;
    story.decision = i < report.decisions.size() ? &report.decisions[i] : nullptr;
    story.thread = thread_to_tell(finding, story.decision);
    story.connection = connection_behind(report, story.thread);
    story.candidates = candidates_behind(report, story.thread);
    story.verdict = finding.verdict;
    story.evidence = finding.evidence;
    story.since = finding.since;
    story.age = finding.stuck_for;
    story.key = key_of("init", static_cast<std::uint64_t>(finding.init.pid));
    // An inode that could not be read names nothing.
    story.again = finding.id.inode != 0 ? "defused explain namespace:" + std::to_string(finding.id.inode)
                                        : "defused explain pid:" + std::to_string(finding.init.pid);
    out.push_back(std::move(story));
  }
  sort_worst_first(out);
  return out;
}

std::vector<Story> stuck_exits(const Report& report) {
  std::vector<Story> out;
  for (const StuckExit& exit : report.findings.stuck_exits) {
    Story story;
    story.exit = &exit;
    story.thread = &exit.thread;
    story.connection = connection_behind(report, story.thread);
    story.candidates = candidates_behind(report, story.thread);
    story.verdict = exit.thread.verdict;
    story.evidence = exit.thread.evidence;
    story.since = exit.since;
    story.age = exit.thread.blocked_for;
    story.key = key_of("exit", static_cast<std::uint64_t>(exit.thread.id.tid));
    story.again = "defused explain pid:" + std::to_string(exit.thread.pid);
    out.push_back(std::move(story));
  }
  sort_worst_first(out);
  return out;
}

std::vector<HeldNamespace> held_namespaces(const Report& report, const std::vector<Story>& stories) {
  std::map<NamespaceId, std::size_t> holders;
  for (std::size_t i = 0; i < stories.size(); ++i) {
    if (stories[i].finding->id.inode != 0) holders.emplace(stories[i].finding->id, i);
  }
  std::vector<HeldNamespace> out;
  // Each turn goes one level up; the last one finds none.
  for (bool more = !holders.empty(); more;) {
    more = false;
    for (const NamespaceFinding& finding : report.findings.namespaces) {
      if (finding.stuck || finding.id.inode == 0 || holders.count(finding.id) > 0) continue;
      const auto& inner = finding.waits_for;
      const auto found =
          std::find_if(inner.begin(), inner.end(), [&](NamespaceId id) { return holders.count(id) > 0; });
      if (found == inner.end()) continue;
      out.push_back({&finding, holders.at(*found)});
      holders.emplace(finding.id, holders.at(*found));
      more = true;
    }
  }
  return out;
}

}  // namespace defused::page
