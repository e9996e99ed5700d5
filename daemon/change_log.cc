// SPDX-License-Identifier: Apache-2.0
#include "daemon/change_log.h"

#include <algorithm>
#include <set>

#include "daemon/accounting.h"
#include "daemon/cycle.h"
#include "daemon/describe.h"

namespace defused {

namespace {

LogFacts facts_of(const NamespaceFinding& finding, const Decision* decision) {
  LogFacts facts;
  facts.pid_namespace = finding.id;
  facts.init_pid = finding.init.pid;
  facts.comm = finding.init_comm;
  if (finding.container) facts.container_id = finding.container->id;
  facts.connections = finding.connections;
  facts.verdict = finding.verdict;
  facts.wait_class = finding.wait_class;
  if (decision != nullptr) {
    facts.decision = decision->action;
    facts.reasons = decision->reasons;
  }
  return facts;
}

LogFacts facts_of(const StuckExit& exit) {
  LogFacts facts;
  facts.pid = exit.thread.pid;
  facts.tid = exit.thread.id.tid;
  facts.comm = exit.thread.comm;
  if (exit.container) facts.container_id = exit.container->id;
  if (exit.thread.connection) facts.connections = {*exit.thread.connection};
  facts.verdict = exit.thread.verdict;
  facts.wait_class = exit.thread.wait_class;
  return facts;
}

LogFacts facts_of(const ConnectionFinding& connection) {
  LogFacts facts;
  facts.connections = {connection.id};
  facts.fstype = connection.fstype;
  if (!connection.containers.empty()) facts.container_id = connection.containers.front().id;
  facts.server_state = connection.server_state;
  return facts;
}

std::string name_of(const LogFacts& facts) {
  std::string name;
  std::string rest;
  if (facts.pid_namespace) {
    name = "PID namespace " + std::to_string(facts.pid_namespace->inode);
    rest = "init " + std::to_string(facts.init_pid.value_or(0)) + " '" + facts.comm + "'";
  } else if (facts.tid) {
    name = "thread " + std::to_string(*facts.tid) + " of process " + std::to_string(facts.pid.value_or(0));
    rest = "'" + facts.comm + "'";
  } else {
    name = "connection " + (facts.connections.empty() ? "?" : number(facts.connections.front()));
    rest = facts.fstype;
  }
  if (!facts.container_id.empty()) rest += (rest.empty() ? "container " : ", container ") + facts.container_id;
  return rest.empty() ? name : name + " (" + rest + ")";
}

std::string wait_of(const LogFacts& facts) {
  std::string text;
  if (facts.wait_class) text += to_string(*facts.wait_class);
  if (facts.verdict) text += ", " + std::string(to_string(*facts.verdict));
  for (const ConnectionId id : facts.connections) text += ", connection " + number(id);
  return text;
}

class ChangeLog {
 public:
  ChangeLog(const Report& report, LogMemory& log, Counters& counters, Nanoseconds now, const Tell& tell)
      : report_(report), log_(log), counters_(counters), now_(now), tell_(tell) {}

  std::vector<std::size_t> run() {
    end_window();
    tell_namespaces();
    tell_exits();
    tell_connections();
    tell_gone();
    log_.told = std::move(after_);
    return std::move(changed_);
  }

 private:
  // The first one of a window begins it.
  void end_window() {
    if (now_ - log_.window < kLogWindow) return;
    std::uint64_t count = 0;
    std::vector<std::string> parts;
    for (const auto& [event, times] : log_.left_out) {
      count += times;
      parts.push_back(event + " " + std::to_string(times));
    }
    log_.window = now_;
    log_.lines = 0;
    log_.left_out.clear();
    if (count == 0 || !tell_) return;
    LogLine line(count_of(count, "more line was left out: ", "more lines were left out: ") + join(parts, ", "));
    line.event = "lines_left_out";
    tell_(line);
  }

  void write(const std::string& event, LogLevel level, const std::string& text, const ToldMemory& entry) {
    if (log_.lines >= kLinesPerWindow) {
      ++log_.left_out[event];
      return;
    }
    ++log_.lines;
    if (!tell_) return;
    LogLine line(text);
    line.event = event;
    line.level = level;
    line.facts = entry.facts;
    tell_(line);
  }

  ToldMemory& entry_of(const std::string& key) {
    const auto known = log_.told.find(key);
    return after_.emplace(key, known == log_.told.end() ? ToldMemory{} : known->second).first->second;
  }

  static Nanoseconds pause_after(std::uint32_t times) {
    return std::min<Nanoseconds>(kFirstPause * (1LL << std::min<std::uint32_t>(times, 16)), kLongestPause);
  }

  // False: too much was said of it lately; the change is counted and compared again in the next pass.
  bool may_say(ToldMemory& entry) const {
    if (entry.unsaid == 0 && now_ - entry.last_line >= kLongestPause) entry.lines = 0;
    if (entry.lines < kLinesAtOnce) return true;
    if (now_ - entry.last_line >= pause_after(entry.lines - kLinesAtOnce)) return true;
    ++entry.unsaid;
    return false;
  }

  void say(const char* event, LogLevel level, ToldMemory& entry, LogFacts facts, const std::string& sentence) {
    if (!may_say(entry)) return;
    ++entry.lines;
    entry.last_line = now_;
    entry.facts = std::move(facts);
    entry.name = name_of(entry.facts);
    std::string text = entry.name + " " + sentence;
    if (entry.unsaid > 0) text += " (" + count_of(entry.unsaid, "change", "changes") + " before that not told)";
    entry.unsaid = 0;
    write(event, level, text, entry);
  }

  void tell_namespaces() {
    for (std::size_t i = 0; i < report_.findings.namespaces.size(); ++i) {
      const NamespaceFinding& finding = report_.findings.namespaces[i];
      const Decision* decision = i < report_.decisions.size() ? &report_.decisions[i] : nullptr;
      ToldMemory& entry = entry_of("pid_namespace " + std::to_string(finding.id.inode));
      const std::string before = entry.counted;
      tell_namespace(finding, finding.stuck ? decision : nullptr, entry);
      if (entry.counted != before && may_record(entry)) changed_.push_back(i);
    }
  }

  bool may_record(ToldMemory& entry) const {
    if (now_ - entry.last_record >= kLongestPause) entry.records = 0;
    if (entry.records >= kRecordsAtOnce && now_ - entry.last_record < pause_after(entry.records - kRecordsAtOnce)) {
      return false;
    }
    ++entry.records;
    entry.last_record = now_;
    return true;
  }

  void tell_namespace(const NamespaceFinding& finding, const Decision* decision, ToldMemory& entry) {
    LogFacts facts = facts_of(finding, decision);
    const std::string decided = decision == nullptr ? std::string() : count_decision(*decision, entry);
    const std::uint32_t lines = entry.lines;
    if (finding.stuck && !entry.trouble) {
      say("stuck", LogLevel::warning, entry, facts, "is stuck: " + wait_of(facts) + decided);
    } else if (!finding.stuck && entry.trouble) {
      say("progress", LogLevel::info, entry, facts, "is not stuck any more: something in it moves");
    } else if (finding.stuck && facts.verdict != entry.facts.verdict) {
      say("verdict_changed", LogLevel::warning, entry, facts,
          "changed its verdict from " + std::string(to_string(*entry.facts.verdict)) + ": " + wait_of(facts) + decided);
    } else if (finding.stuck && (facts.decision != entry.facts.decision || facts.reasons != entry.facts.reasons)) {
      say("decision_changed", LogLevel::info, entry, facts, "has another decision: " + wait_of(facts) + decided);
    }
    if (entry.lines != lines) entry.trouble = finding.stuck;
  }

  // Decisions are counted whether a line tells them or not.
  std::string count_decision(const Decision& decision, ToldMemory& entry) {
    const std::string text = describe_decision(decision);
    const bool would_abort = decision.reasons == std::vector<Gate>{Gate::mode} && report_.mode == Mode::dry_run;
    if (entry.counted != text) ++counters_.decisions[would_abort ? Action::abort : decision.action];
    entry.counted = text;
    return "; decision " + text + (would_abort ? " (dry_run: would have aborted)" : "");
  }

  void tell_exits() {
    for (const StuckExit& exit : report_.findings.stuck_exits) {
      ToldMemory& entry = entry_of(key_of(exit.thread));
      const LogFacts facts = facts_of(exit);
      const std::uint32_t lines = entry.lines;
      if (!entry.trouble) {
        say("exit_stuck", LogLevel::warning, entry, facts, "was told to die and cannot: " + wait_of(facts));
      } else if (facts.verdict != entry.facts.verdict) {
        say("exit_verdict_changed", LogLevel::warning, entry, facts,
            "changed its verdict from " + std::string(to_string(*entry.facts.verdict)) + ": " + wait_of(facts));
      }
      if (entry.lines != lines) entry.trouble = true;
    }
  }

  static std::string key_of(const BlockedThread& thread) {
    return "thread " + std::to_string(thread.id.tid) + ":" + std::to_string(thread.id.start_ticks);
  }

  void tell_connections() {
    for (const ConnectionFinding& connection : report_.findings.connections) {
      const std::string key = "connection " + number(connection.id) + ":" + std::to_string(connection.directory_inode);
      const bool stalled = connection.stalled_since.has_value();
      if (!stalled && log_.told.count(key) == 0) continue;  // thousands are never told of
      ToldMemory& entry = entry_of(key);
      const LogFacts facts = facts_of(connection);
      const std::uint32_t lines = entry.lines;
      if (connection.orphaned && !entry.orphaned) {
        say("connection_orphaned", LogLevel::warning, entry, facts,
            "is orphaned: mounted nowhere, held by nobody, " + waiting_in(connection));
      } else if (stalled && !entry.trouble) {
        say("connection_stalled", LogLevel::warning, entry, facts, "is stalled: " + waiting_in(connection));
      } else if (!stalled && entry.trouble) {
        say("connection_moves", LogLevel::info, entry, facts, "moves again");
      }
      if (entry.lines == lines) continue;
      entry.trouble = stalled;
      entry.orphaned = connection.orphaned;
    }
  }

  static std::string waiting_in(const ConnectionFinding& connection) {
    return count_of(connection.waiting, "request waits", "requests wait") + "; server " +
           std::string(to_string(connection.server_state));
  }

  // A stuck exit whose namespace has begun to die is told there. What could not be read is not gone.
  void tell_gone() {
    std::set<std::string> elsewhere;
    for (const NamespaceFinding& finding : report_.findings.namespaces) {
      for (const BlockedThread& thread : finding.blocked_threads) elsewhere.insert(key_of(thread));
    }
    const auto& blind = report_.blind;
    const bool sees_connections = std::find(blind.begin(), blind.end(), "fusectl") == blind.end();
    for (const auto& [key, known] : log_.told) {
      if (after_.count(key) > 0) continue;
      const bool is_connection = !known.facts.pid_namespace && !known.facts.tid;
      if (is_connection && !sees_connections) {
        after_.emplace(key, known);
        continue;
      }
      if (!known.trouble || elsewhere.count(key) > 0) continue;
      const char* event = is_connection ? "connection_gone" : known.facts.tid ? "exit_released" : "released";
      write(event, LogLevel::info, known.name + (is_connection ? " is gone" : " is released"), known);
    }
  }

  const Report& report_;
  LogMemory& log_;
  Counters& counters_;
  Nanoseconds now_;
  const Tell& tell_;
  std::map<std::string, ToldMemory> after_;
  std::vector<std::size_t> changed_;
};

}  // namespace

std::vector<std::size_t> tell_changes(const Report& report, LogMemory& log, Counters& counters, Nanoseconds now,
                                      const Tell& tell) {
  return ChangeLog(report, log, counters, now, tell).run();
}

LogLine tell_outcome(const OutcomeRecord& record) {
  LogLine line(describe_outcome(record));
  line.event = "outcome";
  line.level = record.outcome == Outcome::released ? LogLevel::info : LogLevel::warning;
  line.facts.pid_namespace = record.pid_namespace;
  line.facts.connections = {record.connection};
  line.outcome = std::string(to_string(record.outcome));
  return line;
}

}  // namespace defused
