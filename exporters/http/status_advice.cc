// SPDX-License-Identifier: Apache-2.0
// What a person can do, in short: the whole of it is what `defused explain` says (daemon/explain_advice), and this must
// not say anything else. An abort is named only where `defused abort` would do it.
#include <algorithm>
#include <set>

#include "exporters/http/status_story.h"
#include "exporters/http/status_words.h"
#include "model/by_hand.h"

namespace defused::page {

namespace {

void say(Html& html, const std::string& text) {
  const Html::Element line = html.open("p");
  html.prose(text);
}

void list_words(Html& html, const std::vector<Gate>& gates) {
  for (std::size_t i = 0; i < gates.size(); ++i) {
    if (i > 0) html.text(", ");
    add_word(html, to_string(gates[i]));
  }
}

void say_what_it_destroys(Html& html, const ConnectionFinding& connection) {
  const Html::Element line = html.open("p", {{"class", "destroys"}});
  html.leaf("strong", "What that destroys: ");
  html.text("connection " + number(connection.id) +
            ". Every request in it fails, for all its clients; what they had not yet written is lost; the ");
  if (!connection.fstype.empty()) html.name(cut(connection.fstype, 40));
  html.text(" file system has to be mounted again by whoever mounted it.");
}

void say_refusal(Html& html, const std::string& id, const std::vector<Gate>& gates) {
  const Html::Element line = html.open("p");
  html.prose("`defused abort " + id + "` would refuse");
  if (!gates.empty()) {
    html.text(": held by ");
    list_words(html, gates);
  }
  html.prose(". What `explain` prints says what is left to do by hand, and at what risk.");
}

void name_abort(Html& html, const ConnectionFinding& connection, const HandJudgement& judgement) {
  const std::string id = number(connection.id);
  if (judgement.acts_by_itself) {
    return say(html, "No gate holds: defused aborts connection " + id + " itself. See the actions below.");
  }
  if (judgement.answer == HandAnswer::refuses) return say_refusal(html, id, judgement.gates);
  if (judgement.answer == HandAnswer::unasked) {
    return say(html, "This connection was not judged: the gates were asked for connection " +
                         number(*judgement.asked_instead) +
                         ", which holds the same PID namespace. What `explain` prints goes through all of them.");
  }
  say(html, "If nothing has changed, end it:");
  add_command(html, "defused abort " + id);
  if (!judgement.gates.empty()) {
    const Html::Element line = html.open("p");
    html.text("It still refuses, by ");
    list_words(html, judgement.gates);
    html.prose(": wait until that is over, or give `--override REASON` if you know why it is stuck.");
  }
  say_what_it_destroys(html, connection);
}

// Nobody alive can answer: the only case in which an abort is the way out.
void advise_abort(Html& html, const Story& story, const Report& report) {
  const ConnectionFinding& connection = *story.connection;
  const std::string id = number(connection.id);
  if (connection.outside_users.value_or(0) > 0) {
    const Html::Element line = html.open("p");
    html.leaf("strong", "Do not abort connection " + id + " yet.");
    html.text(" Live processes outside would lose their files on it: ");
    add_processes(html, connection.users, *connection.outside_users);
    html.text(". End them, or have them close their files; then look again:");
  } else {
    say(html, "Look again first: it may be over by now, and the number may be that of another connection.");
  }
  add_command(html, story.again);
  if (connection.outside_users.value_or(0) > 0) return;
  name_abort(html, connection, judge_by_hand(report, connection.id));
}

void advise_server(Html& html, const Server& server) {
  const std::string pid = std::to_string(server.id.pid);
  const bool stopped = server.process_state == 'T';
  const bool traced = server.process_state == 't';
  {
    const Html::Element line = html.open("p");
    html.text("Process " + pid + " (");
    html.name(server.comm);
    if (stopped) {
      html.text(") is stopped (by SIGSTOP, say). Let it go on:");
    } else if (traced) {
      html.prose(
          ") is stopped by a tracer (state t: strace or gdb, say); `kill -CONT` does not help there. Detach the "
          "tracer, or end it. Which one it is:");
    } else {
      html.text(") runs, but has not answered yet:");
    }
  }
  if (stopped) return add_command(html, "kill -CONT " + pid);
  if (traced) return add_command(html, "grep TracerPid /proc/" + pid + "/status");
  add_command(html, "timeout 2 cat /proc/" + pid + "/task/*/stack");
  add_command(html, "journalctl -n 50 _PID=" + pid);
}

// One connection, or all that it may be.
void advise_live_servers(Html& html, const Story& story, const std::vector<const ConnectionFinding*>& connections) {
  constexpr std::size_t kShown = 2;
  std::set<pid_t> told;
  for (const ConnectionFinding* connection : connections) {
    {
      const Html::Element line = html.open("p");
      html.leaf("strong", "Do not abort connection " + number(connection->id) + ".");
      html.text(" Its server is alive, and all its clients would lose their files. Look at the server instead.");
    }
    std::size_t shown = 0;
    for (const Server& server : connection->servers) {
      if (server.state != ServerState::alive || ++shown > kShown) continue;
      if (told.insert(server.id.pid).second) advise_server(html, server);
    }
  }
  say(html, "When it answers, this ends by itself. The whole evidence, and what else helps:");
  add_command(html, story.again);
}

void advise_not_fuse(Html& html, const Story& story) {
  say(html, "An abort of a FUSE connection would not help.");
  if (story.thread != nullptr && story.thread->awaited) {
    const Html::Element line = html.open("p");
    html.text("The one who has to act is process ");
    add_processes(html, {*story.thread->awaited}, 1);
    html.text(".");
  }
  say(html, "What does help, step by step:");
  add_command(html, story.again);
}

void advise_to_look_on(Html& html, const Story& story) {
  {
    const Html::Element line = html.open("p");
    html.leaf("strong", "Do not abort anything on this evidence.");
    html.text(" Somebody who cannot be seen may be about to answer. To know more, look for longer:");
  }
  add_command(html, story.again + " --samples 10 --every 1s");
}

// It is a deadlock whichever it is; but an abort of the wrong one destroys for nothing.
void advise_several_silent(Html& html, const Story& story, const Report& report) {
  {
    const Html::Element line = html.open("p");
    html.text("It waits in one of the connections ");
    add_word(html, list_ids(story.thread->candidates, 8));
    html.text(". Nothing tells in which, and nobody alive can answer on any of them.");
    const auto& ids = story.thread->candidates;
    const bool refuses = std::all_of(ids.begin(), ids.end(), [&](ConnectionId id) {
      return judge_by_hand(report, id).answer == HandAnswer::refuses;
    });
    if (refuses) html.prose(" `defused abort` would refuse each: held by `connection_ambiguous`.");
  }
  say(html, "What is left to do by hand with each of them, and at what risk:");
  add_command(html, story.again);
}

// Where it waits in one of several, all of whose servers are in the same case, that is as good as knowing which.
void advise_several(Html& html, const Story& story, const Report& report) {
  std::vector<const ConnectionFinding*> connections = story.candidates;
  constexpr std::size_t kShown = 4;
  if (story.verdict == Verdict::deadlocked) return advise_several_silent(html, story, report);
  if (story.verdict != Verdict::waiting_on_live_server) return advise_to_look_on(html, story);
  if (connections.size() > kShown) connections.resize(kShown);
  advise_live_servers(html, story, connections);
}

void advise(Html& html, const Story& story, const Report& report) {
  if (story.verdict == Verdict::not_fuse) return advise_not_fuse(html, story);
  if (story.connection == nullptr && story.candidates.size() > 1) return advise_several(html, story, report);
  ServerState state = story.connection == nullptr ? ServerState::unknown : story.connection->server_state;
  // That nobody answers on it does not mean that this is what it waits for.
  if (story.verdict == Verdict::undetermined && state != ServerState::alive) state = ServerState::unknown;
  if (state == ServerState::alive) return advise_live_servers(html, story, {story.connection});
  if (state == ServerState::unknown) return advise_to_look_on(html, story);
  advise_abort(html, story, report);
}

}  // namespace

void add_what_to_do(Html& html, const Story& story, const Report& report) {
  const Html::Element box = html.open("div", {{"class", "todo"}});
  html.leaf("h4", "What you can do");
  advise(html, story, report);
  if (story.verdict != Verdict::deadlocked) return;
  if (story.exit != nullptr) {
    say(html, "It is a stuck exit: defused shows it and never acts on it, in no mode.");
  } else if (report.mode != Mode::enforce) {
    say(html, "defused itself does not act: its mode is `" + std::string(to_string(report.mode)) + "`.");
  }
}

}  // namespace defused::page
