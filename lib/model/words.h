// SPDX-License-Identifier: Apache-2.0
// The words of DESIGN.md section 2 as types. Each has one spelling (`to_string`) for output, metrics, logs and docs,
// and `parse_word` for the way back.
#pragma once

#include <array>
#include <optional>
#include <string_view>

namespace defused {

/// How far the init of a dying PID namespace has come.
enum class DyingState {
  reaping,       ///< a thread of init sits in zap_pid_ns_processes below a wait: a child is not dead yet
  draining,      ///< zap_pid_ns_processes is the top frame: only a zombie injected from outside is left
  init_blocked,  ///< no thread has come that far: init itself is blocked, the members were not told to die
};

/// Where a blocked thread sleeps.
enum class WaitClass {
  fuse_flush,
  fuse_writeback,
  fuse_request,
  fuse_lock,
  aio,
  io_uring,
  nfs,
  cifs,
  ceph,
  p9,
  block_io,
  unreaped_child,
  ptrace,
  coredump,
  freezer,
  other,
  unknown,
};

enum class Verdict { deadlocked, waiting_on_live_server, not_fuse, undetermined };

/// How well a statement about a server is founded.
enum class Evidence { none, inferred, proven };

enum class ServerState { alive, dying, none, unknown };

/// How the connection of a blocked thread was found.
enum class Attribution { unknown, ambiguous, by_waiting, only_candidate, exact };

/// What told the connection of a blocked thread.
enum class Witness {
  none,
  mounts,        ///< its own mount table, beside what waits
  kernel_queue,  ///< the kernel (BPF): it stands in the queue of that connection
  kernel_stack,  ///< the kernel (BPF): its stack leads to that connection and no other
  flusher,       ///< the kernel thread that writes that connection's pages hangs beside it
  open_files,    ///< what its process had open
  sibling,       ///< another thread of its process, for which it waits
};

enum class Mode { observe, dry_run, enforce };

enum class Action { hold, abort };

/// Every reason to hold, in the order of DESIGN.md section 6. What each looks at, why, and its knob: policy/gates.h.
enum class Gate {
  mode,
  too_young,
  too_few_samples,
  progressing,
  verdict,
  connection_ambiguous,
  server_alive,
  server_unknown,
  server_inferred,
  outside_users,
  outside_viewers,
  host_mount,
  denied,
  not_allowed,
  rate_limited,
  cooldown,
  breaker_open,
  inhibited,
  gap,
  readers_disagree,
  record_unwritable,
  vetoed,
  identity_changed,
};

/// What came of an action.
enum class Outcome {
  released,                  ///< the namespace is gone
  partly_released,           ///< nobody waits for the connection any more, but the namespace is still there
  not_released,              ///< somebody still waits for it after the watch, or that could not be read
  write_failed,              ///< the abort file could not be opened or written
  skipped_identity_changed,  ///< nothing was written: the second reading said something else
  vetoed,                    ///< nothing was written: the before-hook said no, or could not be asked
  interrupted,               ///< the prober died between intent and outcome: it may have been written
};

/// What opened the circuit breaker.
enum class BreakerCause {
  none,             ///< it is closed
  failed_outcomes,  ///< remedy.breaker_failures failed outcomes in a row
  ledger_lost,      ///< the ledger could not be read and was set aside: what was done is not known
};

/// Whether fuse_flush of an exiting thread waits for its answer on this kernel.
enum class FlushWaits { yes, no, unknown };

std::string_view to_string(DyingState value);
std::string_view to_string(WaitClass value);
std::string_view to_string(Verdict value);
std::string_view to_string(Evidence value);
std::string_view to_string(ServerState value);
std::string_view to_string(Attribution value);
std::string_view to_string(Witness value);
std::string_view to_string(Mode value);
std::string_view to_string(Action value);
std::string_view to_string(Gate value);
std::string_view to_string(Outcome value);
std::string_view to_string(BreakerCause value);
std::string_view to_string(FlushWaits value);

/// The value with that spelling, or nothing. Defined for every enum above.
template <typename Word>
std::optional<Word> parse_word(std::string_view text);

/// All values in order, for zero-initialised label sets and tables. Defined for every enum above.
template <typename Word>
struct AllWords;

#define DEFUSED_ALL_WORDS(Word, first, last, count)                                                 \
  template <>                                                                                       \
  struct AllWords<Word> {                                                                           \
    static_assert(static_cast<int>(Word::first) == 0 && static_cast<int>(Word::last) == (count)-1); \
    static constexpr std::array<Word, count> values = [] {                                          \
      std::array<Word, count> all{};                                                                \
      for (int i = 0; i < (count); ++i) all[static_cast<std::size_t>(i)] = static_cast<Word>(i);    \
      return all;                                                                                   \
    }();                                                                                            \
  }
DEFUSED_ALL_WORDS(DyingState, reaping, init_blocked, 3);
DEFUSED_ALL_WORDS(WaitClass, fuse_flush, unknown, 17);
DEFUSED_ALL_WORDS(Verdict, deadlocked, undetermined, 4);
DEFUSED_ALL_WORDS(Evidence, none, proven, 3);
DEFUSED_ALL_WORDS(ServerState, alive, unknown, 4);
DEFUSED_ALL_WORDS(Attribution, unknown, exact, 5);
DEFUSED_ALL_WORDS(Witness, none, sibling, 7);
DEFUSED_ALL_WORDS(Mode, observe, enforce, 3);
DEFUSED_ALL_WORDS(Action, hold, abort, 2);
DEFUSED_ALL_WORDS(Gate, mode, identity_changed, 23);
DEFUSED_ALL_WORDS(Outcome, released, interrupted, 7);
DEFUSED_ALL_WORDS(BreakerCause, none, ledger_lost, 3);
DEFUSED_ALL_WORDS(FlushWaits, yes, unknown, 3);
#undef DEFUSED_ALL_WORDS

/// Whether an action that ended so counts as failed for the circuit breaker.
[[nodiscard]] bool is_failed(Outcome outcome);
/// Whether the abort file was written, or may have been.
[[nodiscard]] bool may_have_written(Outcome outcome);

/// Greater where it is worse for whoever waits: 3 for `deadlocked`, 0 for `not_fuse`.
[[nodiscard]] int severity(Verdict verdict);

/// Whether a wait of this class is one for a FUSE server's answer.
[[nodiscard]] bool is_fuse(WaitClass wait_class);

}  // namespace defused
