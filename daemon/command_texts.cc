// SPDX-License-Identifier: Apache-2.0
#include "daemon/command_texts.h"

#include <algorithm>
#include <array>

namespace defused {

namespace {

constexpr std::string_view kLook = "Look";
constexpr std::string_view kAct = "Act";
constexpr std::string_view kKeep = "Keep and check";
constexpr std::string_view kDaemon = "The daemon";

constexpr std::array<CommandText, 16> kTexts = {{
    {"scan", kLook, "What is stuck on this host, now",
     "Looks at this host a few times and lists every PID namespace that is dying but cannot, what its threads wait "
     "for, "
     "and what the policy would do. Changes nothing, needs no daemon, needs root.",
     "defused scan",
     "Each stuck namespace with its init, its blocked threads, the FUSE connection they wait for, a verdict "
     "(`deadlocked`: nobody alive can answer) and a decision.",
     "explain, connections, capture, DETECTION.md"},
    {"explain", kLook, "Why it is stuck, what that rests on, what to do",
     "The whole evidence about one thing, in plain words: what was read where, what follows, which gates hold, and "
     "what "
     "to type next. Without X: all that is stuck or stalled. Changes nothing.",
     "defused explain 7f1c2a90be44",
     "Why the container with this id (or a prefix of it) does not go away, the kernel stack it rests on, and the "
     "command that would free it.",
     "scan, abort, replay, EXPLAIN.md"},
    {"connections", kLook, "Every FUSE connection: who mounts, serves and uses it",
     "One line for each FUSE connection of this host, stalled ones first: type, requests waiting of those allowed, "
     "since when the oldest does not move, users and viewers outside, server, container, mount point. Changes nothing.",
     "defused connections",
     "WAITING 2/12, STALLED 3m10s and SERVER none in a line: two requests wait, the oldest for three minutes, and "
     "nobody is left who could answer them.",
     "scan, explain, abort, DETECTION.md"},
    {"abort", kAct, "Abort one connection by hand, through the gates of the daemon",
     "Shows what the connection holds and which gates hold it back, asks for confirmation, and aborts it the way the "
     "daemon would: same gates, budget, hooks, ledger and audit log. An abort is final: every request of this "
     "connection fails, for every process, and data not yet written is lost.",
     "defused abort 40",
     "The connection, the container it holds and its blocked threads; then the question; then `released` where the "
     "container is gone.",
     "explain, connections, pause, OPERATING.md, AUDIT.md"},
    {"pause", kAct, "Hold all actions, with a reason",
     "No connection is aborted on this host until `defused resume`, not even one that is decided already. It survives "
     "restarts and reboots. Looking goes on.",
     "defused pause 'kernel upgrade, ticket 4711'",
     "`paused`; the reason stands on the status page, in the metrics and in every report from then on.",
     "resume, abort, OPERATING.md"},
    {"resume", kAct, "Let actions go on",
     "Ends what `defused pause` began. The circuit breaker, which opens after failed actions in a row, is closed only "
     "with --reset-breaker.",
     "defused resume", "For what reason it was paused, and whether the circuit breaker still holds all actions.",
     "pause, abort, OPERATING.md"},
    {"check", kKeep, "One line and an exit code for monitoring",
     "Says in one line with performance data, as monitoring plugins do, whether something is stuck. Asks the running "
     "daemon where there is one, else looks itself. Its exit codes are its own.",
     "defused check --critical-after 5m",
     "WARNING and exit code 1 for a deadlock in its first five minutes, CRITICAL and 2 from then on; what follows `|` "
     "is for graphs.",
     "scan, run, CHECK.md, OPERATING.md"},
    {"capture", kKeep, "Keep the evidence of this moment in a .tar",
     "Writes what a diagnosis rests on - files of /proc and of the FUSE control file system, and what was concluded - "
     "into an archive that `defused replay` diagnoses elsewhere. No command lines, environments or memory are in it.",
     "defused capture --redact -o stuck.tar.gz",
     "An archive for a bug report, with names and paths replaced by others, the same everywhere.",
     "replay, scan, explain, CAPTURE.md"},
    {"replay", kKeep, "Diagnose a capture made elsewhere",
     "Gives the report of a capture, of an evidence bundle, or of a directory with proc/ and sys/ in it, as the host "
     "it "
     "was made on would have. Asks nothing of this host and needs no root.",
     "defused replay stuck.tar.gz", "The table of `defused scan` as it stood when the capture was made.",
     "capture, scan, explain, CAPTURE.md"},
    {"run", kDaemon, "Run it: look, serve metrics, act as configured",
     "Looks at this host every few seconds, serves metrics and a status page, and acts where the configuration says "
     "`enforce`. Without a configuration it only observes.",
     "defused run --web.listen-address 127.0.0.1:10073",
     "Log lines when something changes; metrics at http://127.0.0.1:10073/metrics and a page for people at /.",
     "config, check, OPERATING.md, METRICS.md, HTTP.md"},
    {"config", kDaemon, "Check a configuration; print its schema or all defaults",
     "What `defused run` would make of a configuration, without running it.",
     "defused config check /etc/defused/defused.json",
     "That the file is good, or in one sentence what is wrong, where, and what was expected.", "run, OPERATING.md"},
    {"config check", "", "Whether `defused run` would take it",
     "Reads a configuration as `defused run` does, with the file of the web configuration that it names.",
     "defused config check /etc/defused/defused.json",
     "That the file is good, or in one sentence what is wrong, where, and what was expected.", "run, OPERATING.md"},
    {"config schema", "", "Its JSON schema",
     "Prints the JSON schema (2020-12) of the configuration, made from the table that the parser uses.",
     "defused config schema", "A schema that an editor takes to check and complete a configuration.",
     "config check, OPERATING.md"},
    {"config defaults", "", "Every key with its default and what it does",
     "Prints a whole configuration: every key at its default, with a comment that says what it does and takes.",
     "defused config defaults", "The file that is installed as /etc/defused/defused.json.",
     "config check, OPERATING.md"},
    {"version", kDaemon, "Version, revision, compiler and what this kernel has",
     "Says which build this is, and what this kernel has of what a diagnosis rests on. Needs no root, but without root "
     "not everything is known. The first line is for scripts.",
     "defused version",
     "The build in one line, the kernel in another, then a line for each feature: yes, no or not known, and what it is "
     "good for.",
     "scan, capture, OPERATING.md"},
    {"help", kDaemon, "This text, or that of a command", "The same as --help of the command that is named.",
     "defused help abort", "What `defused abort --help` shows.", ""},
}};

constexpr std::array<Example, 3> kFirst = {{
    {"defused scan", "is anything stuck, and what does it wait for?"},
    {"defused explain", "why, what that rests on, and what to type to free it"},
    {"defused capture --redact", "keep this moment for a report, before anything is changed"},
}};

}  // namespace

std::span<const CommandText> command_texts() { return kTexts; }

const CommandText* find_command_text(std::string_view name) {
  const auto* found =
      std::find_if(kTexts.begin(), kTexts.end(), [&](const CommandText& text) { return text.name == name; });
  return found == kTexts.end() ? nullptr : found;
}

std::span<const Example> first_examples() { return kFirst; }

}  // namespace defused
