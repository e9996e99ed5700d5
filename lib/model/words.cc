// SPDX-License-Identifier: Apache-2.0
#include "model/words.h"

namespace defused {

std::string_view to_string(DyingState value) {
  switch (value) {
    case DyingState::reaping: return "reaping";
    case DyingState::draining: return "draining";
    case DyingState::init_blocked: return "init_blocked";
  }
  return "";
}

std::string_view to_string(WaitClass value) {
  switch (value) {
    case WaitClass::fuse_flush: return "fuse_flush";
    case WaitClass::fuse_writeback: return "fuse_writeback";
    case WaitClass::fuse_request: return "fuse_request";
    case WaitClass::fuse_lock: return "fuse_lock";
    case WaitClass::aio: return "aio";
    case WaitClass::io_uring: return "io_uring";
    case WaitClass::nfs: return "nfs";
    case WaitClass::cifs: return "cifs";
    case WaitClass::ceph: return "ceph";
    case WaitClass::p9: return "9p";
    case WaitClass::block_io: return "block_io";
    case WaitClass::unreaped_child: return "unreaped_child";
    case WaitClass::ptrace: return "ptrace";
    case WaitClass::coredump: return "coredump";
    case WaitClass::freezer: return "freezer";
    case WaitClass::other: return "other";
    case WaitClass::unknown: return "unknown";
  }
  return "";
}

std::string_view to_string(Verdict value) {
  switch (value) {
    case Verdict::deadlocked: return "deadlocked";
    case Verdict::waiting_on_live_server: return "waiting_on_live_server";
    case Verdict::not_fuse: return "not_fuse";
    case Verdict::undetermined: return "undetermined";
  }
  return "";
}

std::string_view to_string(Evidence value) {
  switch (value) {
    case Evidence::none: return "none";
    case Evidence::inferred: return "inferred";
    case Evidence::proven: return "proven";
  }
  return "";
}

std::string_view to_string(ServerState value) {
  switch (value) {
    case ServerState::alive: return "alive";
    case ServerState::dying: return "dying";
    case ServerState::none: return "none";
    case ServerState::unknown: return "unknown";
  }
  return "";
}

std::string_view to_string(Attribution value) {
  switch (value) {
    case Attribution::unknown: return "unknown";
    case Attribution::ambiguous: return "ambiguous";
    case Attribution::by_waiting: return "by_waiting";
    case Attribution::only_candidate: return "only_candidate";
    case Attribution::exact: return "exact";
  }
  return "";
}

std::string_view to_string(Witness value) {
  switch (value) {
    case Witness::none: return "none";
    case Witness::mounts: return "mounts";
    case Witness::kernel_queue: return "kernel_queue";
    case Witness::kernel_stack: return "kernel_stack";
    case Witness::flusher: return "flusher";
    case Witness::open_files: return "open_files";
    case Witness::sibling: return "sibling";
  }
  return "";
}

std::string_view to_string(Mode value) {
  switch (value) {
    case Mode::observe: return "observe";
    case Mode::dry_run: return "dry_run";
    case Mode::enforce: return "enforce";
  }
  return "";
}

std::string_view to_string(Action value) { return value == Action::abort ? "abort" : "hold"; }

std::string_view to_string(Gate value) {
  switch (value) {
    case Gate::mode: return "mode";
    case Gate::too_young: return "too_young";
    case Gate::too_few_samples: return "too_few_samples";
    case Gate::progressing: return "progressing";
    case Gate::verdict: return "verdict";
    case Gate::connection_ambiguous: return "connection_ambiguous";
    case Gate::server_alive: return "server_alive";
    case Gate::server_unknown: return "server_unknown";
    case Gate::server_inferred: return "server_inferred";
    case Gate::outside_users: return "outside_users";
    case Gate::outside_viewers: return "outside_viewers";
    case Gate::host_mount: return "host_mount";
    case Gate::denied: return "denied";
    case Gate::not_allowed: return "not_allowed";
    case Gate::rate_limited: return "rate_limited";
    case Gate::cooldown: return "cooldown";
    case Gate::breaker_open: return "breaker_open";
    case Gate::inhibited: return "inhibited";
    case Gate::gap: return "gap";
    case Gate::readers_disagree: return "readers_disagree";
    case Gate::record_unwritable: return "record_unwritable";
    case Gate::vetoed: return "vetoed";
    case Gate::identity_changed: return "identity_changed";
  }
  return "";
}

std::string_view to_string(Outcome value) {
  switch (value) {
    case Outcome::released: return "released";
    case Outcome::partly_released: return "partly_released";
    case Outcome::not_released: return "not_released";
    case Outcome::write_failed: return "write_failed";
    case Outcome::skipped_identity_changed: return "skipped_identity_changed";
    case Outcome::vetoed: return "vetoed";
    case Outcome::interrupted: return "interrupted";
  }
  return "";
}

std::string_view to_string(BreakerCause value) {
  switch (value) {
    case BreakerCause::none: return "none";
    case BreakerCause::failed_outcomes: return "failed_outcomes";
    case BreakerCause::ledger_lost: return "ledger_lost";
  }
  return "";
}

std::string_view to_string(FlushWaits value) {
  switch (value) {
    case FlushWaits::yes: return "yes";
    case FlushWaits::no: return "no";
    case FlushWaits::unknown: return "unknown";
  }
  return "";
}

template <typename Word>
std::optional<Word> parse_word(std::string_view text) {
  for (const Word word : AllWords<Word>::values) {
    if (to_string(word) == text) return word;
  }
  return std::nullopt;
}

template std::optional<DyingState> parse_word(std::string_view);
template std::optional<WaitClass> parse_word(std::string_view);
template std::optional<Verdict> parse_word(std::string_view);
template std::optional<Evidence> parse_word(std::string_view);
template std::optional<ServerState> parse_word(std::string_view);
template std::optional<Attribution> parse_word(std::string_view);
template std::optional<Witness> parse_word(std::string_view);
template std::optional<Mode> parse_word(std::string_view);
template std::optional<Action> parse_word(std::string_view);
template std::optional<Gate> parse_word(std::string_view);
template std::optional<Outcome> parse_word(std::string_view);
template std::optional<BreakerCause> parse_word(std::string_view);
template std::optional<FlushWaits> parse_word(std::string_view);

bool is_failed(Outcome outcome) {
  return outcome == Outcome::not_released || outcome == Outcome::write_failed || outcome == Outcome::interrupted;
}

bool may_have_written(Outcome outcome) {
  return outcome != Outcome::skipped_identity_changed && outcome != Outcome::vetoed;
}

int severity(Verdict verdict) {
  switch (verdict) {
    case Verdict::deadlocked: return 3;
    case Verdict::undetermined: return 2;
    case Verdict::waiting_on_live_server: return 1;
    case Verdict::not_fuse: return 0;
  }
  return 0;
}

bool is_fuse(WaitClass wait_class) {
  switch (wait_class) {
    case WaitClass::fuse_flush:
    case WaitClass::fuse_writeback:
    case WaitClass::fuse_request:
    case WaitClass::fuse_lock: return true;
    default: return false;
  }
}

}  // namespace defused
