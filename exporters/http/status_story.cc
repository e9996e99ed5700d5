// SPDX-License-Identifier: Apache-2.0
#include "exporters/http/status_story.h"

#include <algorithm>
#include <array>

#include "base/text.h"
#include "exporters/http/status_words.h"
#include "model/codec.h"
#include "model/sentences.h"

namespace defused::page {

namespace {

constexpr std::size_t kMostThreads = 10;  // of one namespace, a line each
constexpr std::size_t kMostFrames = 40;
constexpr std::size_t kMostServers = 8;
constexpr std::size_t kMostCandidates = 4;

// How a thread came to wait, and for whom: from the way out (do_exit) to the one who does not answer.
constexpr auto kTelling = std::to_array<std::string_view>({"*fuse*",
                                                           "request_wait_answer",
                                                           "wait_answer_interruptible",
                                                           "zap_pid_ns_processes",
                                                           "do_exit",
                                                           "exit_mm",
                                                           "exit_mmap",
                                                           "exit_files",
                                                           "put_files_struct",
                                                           "filp_close",
                                                           "exit_aio",
                                                           "io_wq_put_and_exit",
                                                           "io_uring_*",
                                                           "__io_uring_*",
                                                           "vfs_coredump",
                                                           "do_coredump",
                                                           "coredump_task_exit",
                                                           "ptrace_stop",
                                                           "__refrigerator",
                                                           "do_freezer_trap",
                                                           "nfs_*",
                                                           "nfs4_*",
                                                           "rpc_*",
                                                           "cifs_*",
                                                           "SMB2_*",
                                                           "ceph_*",
                                                           "p9_*",
                                                           "v9fs_*",
                                                           "blk_*",
                                                           "folio_wait_*",
                                                           "io_schedule*",
                                                           "wait_on_page_*"});

const std::optional<Container>& container_of(const Story& story) {
  return story.finding != nullptr ? story.finding->container : story.exit->container;
}

// An item of a description list, open for its value.
Html::Element open_item(Html& html, std::string_view term) {
  html.leaf("dt", term);
  return html.open("dd");
}

void add_container(Html& html, const Story& story) {
  const std::optional<Container>& container = container_of(story);
  if (!container) {
    const Html::Element value = open_item(html, "container");
    return html.text("none that is known");
  }
  {
    const Html::Element value = open_item(html, "container");
    html.name(container->runtime.empty() ? "runtime not known" : container->runtime);
    html.text(" ");
    html.leaf("code", container->id, {{"class", "id"}});
  }
  if (container->pod_uid.empty()) return;
  const Html::Element value = open_item(html, "pod UID");
  html.leaf("code", container->pod_uid, {{"class", "id"}});
}

void add_namespace_facts(Html& html, const NamespaceFinding& finding) {
  {
    const Html::Element value = open_item(html, "PID namespace");
    html.leaf("code", std::to_string(finding.id.inode), {{"class", "id"}});
    html.text(", " + text_of(finding.state) + ". ");
    html.prose(state_in_words(finding.state));
  }
  const Html::Element value = open_item(html, "init");
  add_processes(html, {{finding.init.pid, finding.init_comm}}, 1);
  if (finding.member_count > 0)
    html.text("; in the namespace: " + count_of(finding.member_count, "process", "processes"));
}

std::string_view witness_in_words(Witness witness) {
  switch (witness) {
    case Witness::none: break;
    case Witness::mounts: return "its own mount table, beside what waits";
    case Witness::kernel_queue: return "the kernel itself (BPF): it stands in the queue of that connection";
    case Witness::kernel_stack: return "the kernel itself (BPF): its stack leads to that connection and no other";
    case Witness::flusher: return "the kernel thread that writes that connection's pages hangs beside it";
    case Witness::open_files: return "what its process has, or had, open";
    case Witness::sibling: return "another thread of its process, for which it waits";
  }
  return "nothing";
}

void add_thread_facts(Html& html, const Story& story) {
  const BlockedThread& thread = *story.thread;
  {
    const Html::Element value = open_item(html, "waits for");
    add_word(html, to_string(thread.wait_class));
    html.text(". ");
    html.prose(wait_in_words(thread.wait_class, thread.state == 'Z'));
    html.text(" It has not run for " + age_in_words(thread.blocked_for) + ", in " +
              count_of(thread.samples, "sample", "samples") + " in a row.");
  }
  if (!thread.connection && thread.candidates.empty()) return;
  const Html::Element value = open_item(html, "connection");
  if (thread.connection) {
    add_word(html, number(*thread.connection));
  } else {
    html.text("one of ");
    add_word(html, list_ids(thread.candidates, 8));
  }
  html.text(", attribution ");
  add_word(html, to_string(thread.attribution));
  html.text("; told by ");
  html.text(witness_in_words(thread.witness));
  html.text(thread.attribution_serves_acting ? "." : ". Good enough to tell, not to act upon automatically.");
}

void add_server_facts(Html& html, const ConnectionFinding& connection, const std::string& term) {
  const Html::Element value = open_item(html, term);
  add_word(html, to_string(connection.server_state));
  if (connection.server_evidence != Evidence::none) {
    html.text(", ");
    add_word(html, to_string(connection.server_evidence));
  }
  if (connection.readers_disagree) html.text(". The kernel (BPF) and /proc do not say the same of who holds it");
  if (connection.servers.empty()) return html.text(". No process that holds its /dev/fuse was seen.");
  html.text(". Holders of its /dev/fuse: ");
  for (std::size_t i = 0; i < std::min(kMostServers, connection.servers.size()); ++i) {
    const Server& server = connection.servers[i];
    if (i > 0) html.text(", ");
    add_processes(html, {{server.id.pid, server.comm}}, 1);
    html.text(" " + text_of(server.state) + ", state " + server.process_state);
  }
  if (connection.servers.size() > kMostServers)
    html.text(" and " + std::to_string(connection.servers.size() - kMostServers) + " more");
}

// `count` is nothing where it is not known; those that were seen are told all the same.
void add_outsiders(Html& html, std::string_view term, const std::optional<std::uint32_t>& count,
                   const std::vector<NamedProcess>& seen) {
  const Html::Element value = open_item(html, term);
  if (count && *count == 0) return html.text("none");
  html.text(count ? std::to_string(*count) : "not known");
  if (seen.empty()) return;
  html.text(count ? ": " : "; seen were ");
  add_processes(html, seen, count.value_or(static_cast<std::uint32_t>(seen.size())));
}

void add_facts(Html& html, const Story& story) {
  html.leaf("h4", "What it rests on");
  const Html::Element list = html.open("dl");
  add_container(html, story);
  if (story.finding != nullptr) add_namespace_facts(html, *story.finding);
  if (story.thread != nullptr) add_thread_facts(html, story);
  if (story.connection == nullptr) {
    for (std::size_t i = 0; i < std::min(kMostCandidates, story.candidates.size()); ++i)
      add_server_facts(html, *story.candidates[i], "server of " + number(story.candidates[i]->id));
    return;
  }
  add_server_facts(html, *story.connection, "server");
  add_outsiders(html, "open files outside", story.connection->outside_users, story.connection->users);
  add_outsiders(html, "mounted outside", story.connection->outside_viewers, story.connection->viewers);
}

void add_decision(Html& html, const Story& story) {
  if (story.decision == nullptr) return;
  html.leaf("h4", "Decision");
  {
    const Html::Element line = html.open("p");
    add_word(html, to_string(story.decision->action));
    if (story.decision->action == Action::abort) {
      html.text(": no gate holds.");
    } else {
      const std::size_t count = story.decision->reasons.size();
      html.text(", held by " + count_of(count, "gate:", "gates:"));
    }
  }
  if (story.decision->reasons.empty()) return;
  const Html::Element list = html.open("dl", {{"class", "gates"}});
  for (const Gate gate : story.decision->reasons) {
    {
      const Html::Element term = html.open("dt");
      add_word(html, to_string(gate));
    }
    const Html::Element value = html.open("dd");
    html.prose(gate_words(gate).looks_at);
    html.text(".");
  }
}

void add_stack(Html& html, const Story& story) {
  const BlockedThread& thread = *story.thread;
  if (thread.stack.empty() && thread.wchan.empty()) return;
  html.leaf("h4", "Kernel stack of thread " + std::to_string(thread.id.tid));
  const Html::Element list = html.open("ol", {{"class", "stack"}});
  const std::vector<std::string>& frames = thread.stack;
  if (frames.empty()) html.leaf("li", thread.wchan + " (wchan; the stack itself was not read)");
  for (std::size_t i = 0; i < std::min(kMostFrames, frames.size()); ++i) {
    const Html::Element item = html.open("li");
    if (is_telling(frames[i])) {
      html.leaf("mark", frames[i]);
    } else {
      html.text(frames[i]);
    }
  }
  if (frames.size() > kMostFrames)
    html.leaf("li", "and " + std::to_string(frames.size() - kMostFrames) + " more frames");
}

void add_other_threads(Html& html, const Story& story) {
  const NamespaceFinding& finding = *story.finding;
  const std::vector<BlockedThread>& threads = finding.blocked_threads;
  if (threads.size() < 2) return;
  html.leaf("h4", "Other blocked threads");
  {
    const Html::Element list = html.open("ul");
    std::size_t shown = 1;  // with the one that the story is about
    for (const BlockedThread& thread : threads) {
      if (&thread == story.thread || shown == kMostThreads) continue;
      ++shown;
      const Html::Element item = html.open("li");
      html.text("thread " + std::to_string(thread.id.tid) + " (");
      html.name(thread.comm);
      html.text(") of process " + std::to_string(thread.pid) + ": ");
      add_word(html, to_string(thread.wait_class));
      if (thread.connection) html.text(" on connection " + number(*thread.connection));
      html.text(", " + text_of(thread.verdict) + ", for " + age_in_words(thread.blocked_for));
    }
  }
  add_rest(html, std::max<std::size_t>(threads.size(), finding.blocked_thread_count), kMostThreads, "blocked threads");
}

// With a link where its article is on the page.
void add_title(Html& html, const Story& story, bool told_below) {
  if (!told_below) return html.name(title_of(story));
  const Html::Element link = html.open("a", {{"href", "#" + story.key}});
  html.name(title_of(story));
}

void add_verdict(Html& html, const Story& story) {
  const Html::Element line = html.open("p", {{"class", "verdict"}});
  html.leaf("strong", to_string(story.verdict),
            {{"class", story.verdict == Verdict::deadlocked ? "tag bad" : "tag warn"}});
  html.text(" ");
  if (story.evidence != Evidence::none) {
    html.leaf("span", to_string(story.evidence), {{"class", "tag"}});
    html.text(" ");
  }
  html.prose(verdict_in_words(story.verdict));
}

}  // namespace

bool is_telling(std::string_view frame) {
  return std::any_of(kTelling.begin(), kTelling.end(),
                     [&](std::string_view pattern) { return matches_glob(pattern, frame); });
}

std::string title_of(const NamespaceFinding& finding) {
  return finding.container ? short_name(*finding.container) : "PID namespace " + std::to_string(finding.id.inode);
}

std::string title_of(const Story& story) {
  if (story.finding != nullptr) return title_of(*story.finding);
  if (const auto& container = container_of(story)) return short_name(*container);
  return "process " + std::to_string(story.thread->pid);
}

void add_story(Html& html, const Story& story, const View& view) {
  const Html::Element article = html.open("article", {{"id", story.key}, {"aria-labelledby", story.key + "-title"}});
  {
    const Html::Element heading = html.open("h3", {{"id", story.key + "-title"}});
    html.name(title_of(story));
    const std::string& comm = story.finding != nullptr ? story.finding->init_comm : story.thread->comm;
    if (!comm.empty()) {
      const Html::Element who = html.open("span", {{"class", "who"}});
      html.text(" ");
      html.name(comm);
    }
  }
  {
    const Html::Element line = html.open("p", {{"class", "since"}});
    html.text(story.finding != nullptr ? "Cannot die since " : "Was told to die, and stands still since ");
    add_since(html, story.since, story.age);
  }
  add_verdict(html, story);
  const Html::Element grid = html.open("div", {{"class", "grid"}});
  add_what_to_do(html, story, view.pass->report);
  if (story.thread != nullptr) {
    const Html::Element look = html.open("div", {{"class", "look"}});
    add_picture(html, story, view);
    add_stack(html, story);
  }
  const Html::Element rest = html.open("div", {{"class", "rest"}});
  add_facts(html, story);
  add_decision(html, story);
  if (story.finding != nullptr) add_other_threads(html, story);
}

void add_held_line(Html& html, const NamespaceFinding& finding, const Story& holder, bool told_below) {
  const Html::Element item = html.open("li");
  html.leaf("strong", "held", {{"class", "tag warn"}});
  html.text(" ");
  html.name(title_of(finding));
  html.text(" by ");
  add_title(html, holder, told_below);
  html.text(" in it: it dies when that one does");
}

void add_story_line(Html& html, const Story& story, bool told_below) {
  const Html::Element item = html.open("li");
  html.leaf("strong", to_string(story.verdict),
            {{"class", story.verdict == Verdict::deadlocked ? "tag bad" : "tag warn"}});
  html.text(" ");
  add_title(html, story, told_below);
  html.text(" for " + age_in_words(story.age));
  if (story.thread != nullptr && story.thread->connection)
    html.text(", connection " + number(*story.thread->connection));
  if (told_below) return;
  html.text(": ");
  html.leaf("code", story.again);
}

}  // namespace defused::page
