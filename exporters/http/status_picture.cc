// SPDX-License-Identifier: Apache-2.0
// The picture: boxes below each other, so that a phone can show them, with an arrow from the one who waits to what it
// waits for. Colours only repeat what a word says. Everything has its place by numbers: SVG does not wrap text.
#include <algorithm>
#include <string>
#include <vector>

#include "exporters/http/status_story.h"
#include "exporters/http/status_words.h"
#include "model/codec.h"

namespace defused::page {

namespace {

// A box is as wide as the narrowest phone leaves; the right margin is for the arrow that leads back.
constexpr int kWidth = 300;
constexpr int kMargin = 22;
constexpr int kPadding = 12;
constexpr int kTitleHeight = 24;
constexpr int kLineHeight = 18;
constexpr int kArrowHeight = 34;
constexpr std::size_t kTitleColumns = 29;
constexpr std::size_t kLineColumns = 36;

// "calm": neither cause nor trouble. "stuck": what cannot go on. "dead", "alive", "unknown": whether it can answer.
struct Box {
  const char* tone = "calm";
  std::string title;
  std::vector<std::string> lines;
  std::string arrow = {};  // what the one above does with it
  bool broken = false;     // nothing will ever come along that arrow
  bool beside = false;     // no arrow at all: neither waits for the other
};

struct Picture {
  std::vector<Box> boxes;
  std::size_t back_from = 0;  // the box that is the same process as `back_to`, where they differ
  std::size_t back_to = 0;
};

std::string name_of(const std::string& comm) { return comm.empty() ? "" : "'" + comm + "'"; }

// Its name among the members: that of the thread may be another one.
std::string name_of_process(const Story& story) {
  const BlockedThread& thread = *story.thread;
  if (story.finding != nullptr) {
    for (const NamedProcess& member : story.finding->members) {
      if (member.pid == thread.pid) return name_of(member.comm);
    }
  }
  return thread.id.tid == thread.pid ? name_of(thread.comm) : "";
}

Box box_of_init(const NamespaceFinding& finding) {
  Box box{"calm", "init, process " + std::to_string(finding.init.pid), {name_of(finding.init_comm)}};
  switch (finding.state) {
    case DyingState::reaping: box.lines.emplace_back("waits until all others are dead"); break;
    case DyingState::draining: box.lines.emplace_back("waits for one put in from outside"); break;
    case DyingState::init_blocked: box.lines.emplace_back("was told to die and cannot"); break;
  }
  return box;
}

std::string how_many_more(const Story& story) {
  if (story.finding == nullptr) return "";
  const std::size_t count =
      std::max<std::size_t>(story.finding->blocked_thread_count, story.finding->blocked_threads.size());
  return count < 2 ? "" : "and " + count_of(count - 1, "more blocked thread", "more blocked threads");
}

std::string fate_of(const BlockedThread& thread) {
  if (thread.state == 'Z') return "dead, and not taken away (state Z)";
  return std::string("told to die and cannot (state ") + thread.state + ")";
}

// Where the leader is the thread, and where init is the process, one box stands for both.
void add_who(Picture& picture, const Story& story) {
  const BlockedThread& thread = *story.thread;
  const bool leader = thread.id.tid == thread.pid;
  const std::string pid = std::to_string(thread.pid);
  bool is_init = false;
  if (story.finding != nullptr) {
    picture.boxes.push_back(box_of_init(*story.finding));
    is_init = story.finding->init.pid == thread.pid;
  }
  if (is_init && leader) {
    picture.boxes.back().tone = "stuck";
    picture.boxes.back().lines.push_back(fate_of(thread));
    if (story.finding->state == DyingState::init_blocked)
      picture.boxes.back().lines.erase(picture.boxes.back().lines.begin() + 1);
  } else if (!is_init) {
    Box process{leader ? "stuck" : "calm", "process " + pid, {name_of_process(story)}, "waits for the end of"};
    // Such an init has not come to where it waits for the others.
    process.beside = story.finding != nullptr && story.finding->state == DyingState::init_blocked;
    if (process.beside) process.arrow = "beside it, in the same namespace";
    if (leader) process.lines.push_back(fate_of(thread));
    picture.boxes.push_back(process);
  }
  picture.back_to = picture.boxes.size() - 1;
  if (!leader) {
    picture.boxes.push_back({"stuck",
                             "thread " + std::to_string(thread.id.tid),
                             {name_of(thread.comm), fate_of(thread)},
                             "has the thread"});
  }
  picture.boxes.back().lines.push_back(how_many_more(story));
}

Box box_of_request(const Story& story) {
  const BlockedThread& thread = *story.thread;
  Box box{"stuck", "a request", {}, "waits: " + text_of(thread.wait_class)};
  switch (thread.wait_class) {
    case WaitClass::fuse_flush:
      box.title = "request: FLUSH";
      box.lines = {"sent when a file is closed"};
      break;
    case WaitClass::fuse_writeback:
      box.title = "request: WRITE";
      box.lines = {"changed pages of a file"};
      break;
    case WaitClass::fuse_lock:
      box.title = "a lock";
      box.lines = {"held by one who waits for a request"};
      break;
    default: box.lines = {"to a FUSE server"};
  }
  box.lines.push_back("no answer for " + age_in_words(thread.blocked_for));
  return box;
}

Box box_of_connection(const Story& story, const View& view) {
  const BlockedThread& thread = *story.thread;
  if (!thread.connection) {
    Box box{"unknown", "connection not known", {}, "in"};
    if (!thread.candidates.empty()) {
      box.title = count_of(thread.candidates.size(), "possible connection", "possible connections");
      box.lines = {list_ids(thread.candidates, 4), "nothing tells which"};
    }
    return box;
  }
  Box box{"calm", "connection " + number(*thread.connection), {}, "in"};
  if (story.connection == nullptr) return box;
  const ConnectionFinding& connection = *story.connection;
  box.lines = {connection.fstype, expose_source(connection.source, view.settings.expose_source)};
  if (!connection.mount_points.empty()) box.lines.push_back("at " + connection.mount_points.front());
  box.lines.push_back(count_of(connection.waiting, "request waits", "requests wait"));
  return box;
}

// The one to show: in the state that decides, the blocked process itself before others.
const Server* server_of(const ConnectionFinding& connection, pid_t blocked) {
  const Server* best = nullptr;
  for (const Server& server : connection.servers) {
    if (server.state != connection.server_state) continue;
    if (best == nullptr || server.id.pid == blocked) best = &server;
  }
  return best;
}

// Why one that lives does not answer, as far as its state tells.
std::string stop_in_words(const Server& server) {
  if (server.process_state == 'T') return "alive, but stopped (state T)";
  if (server.process_state == 't') return "alive, held by a tracer (state t)";
  return "";
}

Box box_of_possible_servers(const Story& story) {
  if (story.candidates.size() > 1 && story.verdict == Verdict::deadlocked)
    return {"dead", "\u2715 no server on any of them", {"nobody alive can answer"}, "never answered", true};
  if (story.candidates.size() < 2 || story.verdict != Verdict::waiting_on_live_server)
    return {"unknown", "? server not known", {}, "answered by whom?"};
  Box box{"alive", "\u2713 their servers are alive", {}, "may be answered"};
  for (const ConnectionFinding* connection : story.candidates) {
    for (const Server& server : connection->servers) {
      const std::string stop = stop_in_words(server);
      if (server.state != ServerState::alive || stop.empty() || !box.lines.empty()) continue;
      box.lines = {"process " + std::to_string(server.id.pid) + ":", stop};
    }
  }
  return box;
}

void add_server(Picture& picture, const Story& story) {
  if (story.connection == nullptr) return picture.boxes.push_back(box_of_possible_servers(story));
  const ConnectionFinding& connection = *story.connection;
  const Server* server = server_of(connection, story.thread->pid);
  const std::string who = server == nullptr ? "server" : "server: process " + std::to_string(server->id.pid);
  const std::string name = server == nullptr ? "" : name_of(server->comm);
  const std::string evidence =
      connection.server_evidence == Evidence::none ? "" : "evidence: " + text_of(connection.server_evidence);
  const std::size_t others = connection.servers.size() - (server == nullptr ? 0 : 1);
  const std::string more =
      others == 0 ? "" : "and " + count_of(others, "more process holds it", "more processes hold it");
  switch (connection.server_state) {
    case ServerState::none:
      picture.boxes.push_back(
          {"dead", "\u2715 no server", {"none: nobody holds its /dev/fuse", evidence}, "never answered", true});
      return;
    case ServerState::dying: {
      const bool same = server != nullptr && server->id.pid == story.thread->pid;
      const std::string why = same ? "dying: the blocked process itself" : "dying: it cannot answer";
      picture.boxes.push_back({"dead", "\u2715 " + who, {name, why, evidence, more}, "never answered", true});
      if (same) picture.back_from = picture.boxes.size() - 1;
      return;
    }
    case ServerState::alive: {
      const std::string stop = server == nullptr ? "" : stop_in_words(*server);
      picture.boxes.push_back({"alive",
                               "\u2713 " + who,
                               {name, stop.empty() ? "alive: it may still answer" : stop, evidence, more},
                               "may be answered"});
      return;
    }
    case ServerState::unknown:
      picture.boxes.push_back(
          {"unknown", "? server", {"unknown: nobody knows who holds it", more}, "answered by whom?"});
  }
}

Box box_of_other(const Story& story) {
  const BlockedThread& thread = *story.thread;
  const std::string arrow = "waits: " + text_of(thread.wait_class);
  const auto awaited = [&](const std::string& role, const std::string& task) {
    Box box{"stuck", role, {task}, arrow};
    if (thread.awaited) {
      box.title = role + ", process " + std::to_string(thread.awaited->pid);
      box.lines.insert(box.lines.begin(), name_of(thread.awaited->comm));
    }
    return box;
  };
  switch (thread.wait_class) {
    case WaitClass::unreaped_child: return awaited("parent", "has not taken it away (wait)");
    case WaitClass::ptrace: return awaited("tracer", "has not let go of it");
    case WaitClass::nfs: return {"unknown", "an NFS server", {"does not answer"}, arrow};
    case WaitClass::cifs: return {"unknown", "an SMB (CIFS) server", {"does not answer"}, arrow};
    case WaitClass::ceph: return {"unknown", "a Ceph server", {"does not answer"}, arrow};
    case WaitClass::p9: return {"unknown", "a 9p server", {"does not answer"}, arrow};
    case WaitClass::block_io: return {"unknown", "a block device", {"a disk that does not answer"}, arrow};
    case WaitClass::aio: return {"unknown", "asynchronous I/O", {"AIO in flight is not done"}, arrow};
    case WaitClass::io_uring: return {"unknown", "io_uring", {"requests in flight are not done"}, arrow};
    case WaitClass::coredump: return {"unknown", "a core dump", {"is being written"}, arrow};
    case WaitClass::freezer: return {"stuck", "a frozen control group", {"it cannot run, not even to die"}, arrow};
    default: break;
  }
  const std::string top = thread.stack.empty() ? thread.wchan : thread.stack.front();
  const bool known = thread.wait_class != WaitClass::unknown;
  return {
      "unknown", known ? "? something outside FUSE" : "? not known", {top.empty() ? "" : "sleeps in " + top}, arrow};
}

Picture picture_of(const Story& story, const View& view) {
  Picture picture;
  add_who(picture, story);
  const BlockedThread& thread = *story.thread;
  // AIO and io_uring may wait for a file on FUSE.
  if (!is_fuse(thread.wait_class) && !thread.connection) {
    picture.boxes.push_back(box_of_other(story));
  } else {
    picture.boxes.push_back(is_fuse(thread.wait_class) ? box_of_request(story) : box_of_other(story));
    picture.boxes.push_back(box_of_connection(story, view));
    add_server(picture, story);
  }
  picture.boxes.front().arrow.clear();
  for (Box& box : picture.boxes) std::erase(box.lines, "");
  return picture;
}

int height_of(const Box& box) {
  return kPadding + kTitleHeight + static_cast<int>(box.lines.size()) * kLineHeight + kPadding / 2;
}

// The whole picture as one sentence, for those who do not see it.
std::string in_words(const Picture& picture) {
  std::string text;
  for (const Box& box : picture.boxes) {
    if (box.beside) {
      text += "; " + box.arrow + ": ";
    } else if (!box.arrow.empty()) {
      text += " \u2192 " + box.arrow + " \u2192 ";
    }
    text += box.title;
    for (std::size_t i = 0; i < box.lines.size(); ++i) text += (i == 0 ? " (" : "; ") + box.lines[i];
    if (!box.lines.empty()) text += ")";
  }
  return text + ".";
}

void add_label(Html& html, const char* kind, int x, int y, const std::string& text) {
  html.leaf("text", text, {{"class", kind}, {"x", std::to_string(x)}, {"y", std::to_string(y)}});
}

// Within an inner svg: what is longer than the box is cut off at its edge, however wide its letters are.
void add_box(Html& html, const Box& box, int y) {
  const std::string width = std::to_string(kWidth - kMargin);
  const std::string height = std::to_string(height_of(box));
  const Html::Element inner =
      html.open("svg", {{"x", "0"}, {"y", std::to_string(y)}, {"width", width}, {"height", height}});
  const Html::Element group = html.open("g", {{"class", box.tone}});
  html.leaf("rect", "",
            {{"class", "box"},
             {"x", "1"},
             {"y", "1"},
             {"width", std::to_string(kWidth - kMargin - 2)},
             {"height", std::to_string(height_of(box) - 2)},
             {"rx", "8"}});
  int line = kPadding + 14;
  add_label(html, "title", kPadding, line, cut(box.title, kTitleColumns));
  for (const std::string& text : box.lines) {
    line += kLineHeight;
    add_label(html, "line", kPadding, line, cut(text, kLineColumns));
  }
}

void add_arrow(Html& html, const Box& box, int y) {
  constexpr int kX = 28;
  const Html::Element group = html.open("g", {{"class", box.broken ? "arrow broken" : "arrow"}});
  const std::string x = std::to_string(kX);
  if (box.beside) return add_label(html, "label", kX + 14, y + 22, box.arrow);
  html.leaf(
      "path", "",
      {{"class", "shaft"}, {"d", "M" + x + " " + std::to_string(y + 2) + "V" + std::to_string(y + kArrowHeight - 8)}});
  const std::string tip = std::to_string(y + kArrowHeight - 1);
  const std::string wing = std::to_string(y + kArrowHeight - 9);
  html.leaf(
      "path", "",
      {{"class", "head"},
       {"d", "M" + std::to_string(kX - 6) + " " + wing + "H" + std::to_string(kX + 6) + "L" + x + " " + tip + "Z"}});
  add_label(html, "label", kX + 14, y + 22, box.arrow);
}

// From the server to the process that it is: round the right side.
void add_way_back(Html& html, int from, int to) {
  constexpr int kOut = kWidth - 6;
  constexpr int kEdge = kWidth - kMargin;
  const Html::Element group = html.open("g", {{"class", "arrow broken"}});
  html.leaf("path", "",
            {{"class", "shaft"},
             {"d", "M" + std::to_string(kEdge) + " " + std::to_string(from) + "H" + std::to_string(kOut) + "V" +
                       std::to_string(to) + "H" + std::to_string(kEdge + 8)}});
  html.leaf("path", "",
            {{"class", "head"},
             {"d", "M" + std::to_string(kEdge + 9) + " " + std::to_string(to - 6) + "V" + std::to_string(to + 6) + "L" +
                       std::to_string(kEdge + 1) + " " + std::to_string(to) + "Z"}});
}

}  // namespace

void add_picture(Html& html, const Story& story, const View& view) {
  if (story.thread == nullptr) return;
  const Picture picture = picture_of(story, view);
  std::vector<int> tops;
  int height = 0;
  for (const Box& box : picture.boxes) {
    if (!tops.empty()) height += kArrowHeight;
    tops.push_back(height);
    height += height_of(box);
  }
  const std::string title = story.key + "-picture";
  const std::string words = story.key + "-in-words";
  const Html::Element svg =
      html.open("svg", {{"class", "picture"},
                        {"role", "img"},
                        {"aria-labelledby", title + " " + words},
                        {"viewBox", "0 0 " + std::to_string(kWidth) + " " + std::to_string(height)},
                        {"width", std::to_string(kWidth)},
                        {"height", std::to_string(height)}});
  html.leaf("title", "What waits for what", {{"id", title}});
  html.leaf("desc", in_words(picture), {{"id", words}});
  for (std::size_t i = 0; i < picture.boxes.size(); ++i) {
    if (i > 0) add_arrow(html, picture.boxes[i], tops[i] - kArrowHeight);
    add_box(html, picture.boxes[i], tops[i]);
  }
  if (picture.back_from != 0) {
    const auto middle = [&](std::size_t box) { return tops[box] + height_of(picture.boxes[box]) / 2; };
    add_way_back(html, middle(picture.back_from), middle(picture.back_to));
  }
}

}  // namespace defused::page
