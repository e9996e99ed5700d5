// SPDX-License-Identifier: Apache-2.0
// The words of DESIGN.md section 2 in sentences, for people who do not know them: `defused explain`, the status page
// and the docs say the same of the same thing. Pure; plain text, in which `code` stands between backticks.
#pragma once

#include <array>
#include <string>
#include <string_view>

#include "model/ids.h"
#include "model/words.h"

namespace defused {

/// The number of a connection, as its directory in fusectl is called.
std::string number(ConnectionId id);

/// "1 request", "2 requests".
std::string count_of(std::size_t count, std::string_view one, std::string_view many);

/// What a verdict means for the one who is paged.
std::string_view verdict_in_words(Verdict verdict);

/// How far the init of a dying PID namespace has come, and what follows from it.
std::string_view state_in_words(DyingState state);

/// What a thread waits for. `dead`: it is a zombie already.
std::string_view wait_in_words(WaitClass wait_class, bool dead);

/// What this host does not let defused see ("fusectl", "stack", "bpf", "processes"), or "" for a word of no sentence.
std::string_view blind_in_words(std::string_view what);

struct GateWords {
  Gate gate{};
  std::string_view looks_at;
  std::string_view why;
  std::string_view knob;  ///< configuration key ("remedy.min_stuck") or object of keys ("remedy.deny"); "": none
};

/// Each gate once, in the order of the enum. What each asks: policy/gates.cc.
inline constexpr std::array<GateWords, AllWords<Gate>::values.size()> kGateWords = {{
    {Gate::mode, "the mode is not enforce; not asked by hand", "acting is off until the operator switches it on",
     "mode"},
    {Gate::too_young,
     "not stuck, or for less than min_stuck (the namespace; the oldest thread on the connection; since its server was "
     "gone)",
     "a server that restarts, or a descriptor in flight, gets the time to answer", "remedy.min_stuck"},
    {Gate::too_few_samples, "fewer than min_samples equal samples of a thread that decides",
     "an age alone may come from a clock or from `sched`; it has to be seen repeatedly", "remedy.min_samples"},
    {Gate::progressing, "no thread stands still, or one that decides has run since the last sample",
     "what moves is dying by itself", ""},
    {Gate::verdict, "the verdict of the namespace, or of a thread that decides, is not deadlocked",
     "everything else may still end well, or is not helped by an abort", ""},
    {Gate::connection_ambiguous, "no connection singled out, or by an attribution that does not serve acting",
     "the wrong connection would be destroyed, for all its clients", ""},
    {Gate::server_alive, "a live process holds /dev/fuse of the connection", "a live server may still answer", ""},
    {Gate::server_unknown, "the server's state is unknown or without evidence, or the connection was not found",
     "unknown is not none", ""},
    {Gate::server_inferred, "require_proven, and the evidence is only inferred",
     "without BPF and before Linux 6.16 the kernel does not say whose descriptor it is; the operator decides whether "
     "that is enough",
     "remedy.require_proven"},
    {Gate::outside_users, "live processes outside with open files on the connection", "they would lose their files",
     ""},
    {Gate::outside_viewers, "mount namespaces of live processes outside that have it mounted",
     "they would be left with a dead mount", ""},
    {Gate::host_mount, "mounted in the mount namespace of the host's PID 1", "it serves the host, not one container",
     ""},
    {Gate::denied, "a deny pattern matches", "shared by design, or excluded by the operator", "remedy.deny"},
    {Gate::not_allowed,
     "no allow pattern matches, or what there are patterns for is not known; by hand: another connection was asked for",
     "the operator says what may be touched", "remedy.allow"},
    {Gate::rate_limited, "max_aborts in max_aborts_window, or another namespace is acted on in this pass",
     "many aborts in a row mean that something else is wrong; one action at a time", "remedy.max_aborts"},
    {Gate::cooldown, "an earlier action on the connection within cooldown",
     "what an abort did not solve, a second one does not either", "remedy.cooldown"},
    {Gate::breaker_open, "the circuit breaker: failed actions in a row, or a ledger that was lost",
     "where aborts do not help, more of them do harm: a person looks first", "remedy.breaker_failures"},
    {Gate::inhibited, "the inhibit file, or somebody else who may be acting",
     "the operator said so; one actor at a time", ""},
    {Gate::gap, "something the decision rests on was unreadable: threads, users, viewers, an identity",
     "unreadable is unknown, never none", ""},
    {Gate::readers_disagree, "the kernel (BPF) and /proc do not say the same of who holds or uses the connection",
     "one of them is wrong, and it is not known which", ""},
    {Gate::record_unwritable, "ledger or audit log cannot be written and fsynced",
     "what cannot be accounted for is not done", "state_directory"},
    {Gate::vetoed, "the before-hook said no, or could not be asked, within min_stuck",
     "what the hook knows, defused does not", "remedy.before_hook"},
    {Gate::identity_changed, "the second reading, just before the write, was not the same, within min_stuck",
     "the situation moves: its age begins anew", "remedy.min_stuck"},
}};

static_assert(
    [] {
      for (std::size_t i = 0; i < kGateWords.size(); ++i) {
        if (kGateWords[i].gate != AllWords<Gate>::values[i]) return false;
      }
      return true;
    }(),
    "one entry for each gate, in the order of the enum");

[[nodiscard]] constexpr const GateWords& gate_words(Gate gate) { return kGateWords[static_cast<std::size_t>(gate)]; }

}  // namespace defused
