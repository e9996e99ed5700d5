// SPDX-License-Identifier: Apache-2.0
#include "detect/wait_class.h"

#include <algorithm>
#include <array>

namespace defused {

namespace {

enum class Where {
  any,           // in any frame
  any_and_fuse,  // in any frame, with a frame of FUSE's client side
  top,           // in the innermost one
  top_and_fuse,  // in the innermost one, with a frame of FUSE's client side below
};

struct Rule {
  WaitClass wait_class;
  std::string_view symbol;  // a name, or a prefix where it ends in '*'; "": any symbol
  Where where = Where::any;
};

// First match wins. What a wait is done for stands before what it is done with: a dump is one whatever it is written
// to, a flush is one whether it waits for an answer, for pages or for a lock.
constexpr std::array kRules = std::to_array<Rule>({
    // A core dump: the writer, and its siblings that wait for it.
    {WaitClass::coredump, "vfs_coredump"},  // 6.16
    {WaitClass::coredump, "do_coredump"},   // to 6.15
    {WaitClass::coredump, "elf_core_dump"},
    {WaitClass::coredump, "coredump_task_exit"},  // 5.16
    {WaitClass::coredump, "wait_for_dump_helpers"},
    // On the way out, before any file is closed: the leader waits for what it has in flight.
    {WaitClass::io_uring, "io_wq_put_and_exit"},
    {WaitClass::io_uring, "io_uring_cancel_generic"},
    {WaitClass::io_uring, "__io_uring_cancel"},
    {WaitClass::io_uring, "io_uring_cancel_task_requests"},  // 5.10
    {WaitClass::io_uring, "io_ring_exit_work"},
    {WaitClass::io_uring, "io_ring_ctx_wait_and_kill"},  // 5.4
    {WaitClass::aio, "exit_aio"},
    // close() of a FUSE file on the way out: do_exit -> put_files_struct -> filp_close -> fuse_flush
    {WaitClass::fuse_flush, "fuse_flush"},
    {WaitClass::fuse_flush, "fuse_do_flush"},     // 6.3 to 6.5.2
    {WaitClass::fuse_flush, "fuse_flush_async"},  // 6.3 to 6.5.2, in a kworker
    // Dirty pages of a mapping or of the page cache: exit_mmap -> fuse_vma_close -> write_inode_now
    {WaitClass::fuse_writeback, "fuse_vma_close"},
    {WaitClass::fuse_writeback, "fuse_write_inode"},
    {WaitClass::fuse_writeback, "fuse_flush_times"},
    {WaitClass::fuse_writeback, "fuse_writepages"},
    {WaitClass::fuse_writeback, "fuse_sync_writes"},
    {WaitClass::fuse_writeback, "fuse_set_nowrite"},
    {WaitClass::fuse_writeback, "fuse_wait_on_page_writeback"},   // to 6.12
    {WaitClass::fuse_writeback, "fuse_wait_on_folio_writeback"},  // 6.13 to 6.15
    // An answer of the server, or a slot for the question.
    {WaitClass::fuse_request, "request_wait_answer"},
    {WaitClass::fuse_request, "wait_answer_interruptible"},  // 3.10 to 3.19
    {WaitClass::fuse_request, "fuse_get_req"},
    {WaitClass::fuse_request, "__fuse_get_req"},
    {WaitClass::fuse_request, "fuse_wait_aborted"},
    {WaitClass::fuse_request, "fuse_simple_request"},
    {WaitClass::fuse_request, "__fuse_simple_request"},  // 6.12
    {WaitClass::fuse_request, "fuse_request_send"},
    {WaitClass::fuse_request, "__fuse_request_send"},
    {WaitClass::fuse_writeback, "folio_wait_writeback", Where::any_and_fuse},
    {WaitClass::fuse_writeback, "wait_on_page_writeback", Where::any_and_fuse},
    // Any other call into FUSE: behind a lock that another FUSE waiter holds, or at its own wait.
    {WaitClass::fuse_lock, "rwsem_down_*", Where::top_and_fuse},
    {WaitClass::fuse_lock, "down_*", Where::top_and_fuse},
    {WaitClass::fuse_lock, "__down*", Where::top_and_fuse},
    {WaitClass::fuse_lock, "mutex_lock*", Where::top_and_fuse},
    {WaitClass::fuse_lock, "__mutex_lock*", Where::top_and_fuse},
    {WaitClass::fuse_lock, "__folio_lock*", Where::top_and_fuse},
    {WaitClass::fuse_lock, "__lock_page*", Where::top_and_fuse},
    {WaitClass::fuse_request, "", Where::top_and_fuse},
    // Other file systems whose server may be gone.
    {WaitClass::nfs, "nfs_*"},
    {WaitClass::nfs, "nfs4_*"},
    {WaitClass::nfs, "nfs3_*"},
    {WaitClass::nfs, "rpc_wait_bit_killable"},
    {WaitClass::nfs, "rpc_*"},
    {WaitClass::cifs, "cifs_*"},
    {WaitClass::cifs, "SMB2_*"},
    {WaitClass::cifs, "smb2_*"},
    {WaitClass::cifs, "compound_send_recv"},
    {WaitClass::ceph, "ceph_*"},
    {WaitClass::p9, "p9_*"},
    {WaitClass::p9, "v9fs_*"},
    {WaitClass::other, "afs_*"},
    {WaitClass::other, "orangefs_*"},
    {WaitClass::other, "ptlrpc_*"},  // lustre
    {WaitClass::other, "cl_sync_io_wait"},
    // Somebody else has to act.
    {WaitClass::ptrace, "ptrace_stop"},
    {WaitClass::freezer, "__refrigerator"},
    {WaitClass::freezer, "do_freezer_trap"},
    {WaitClass::unreaped_child, "zap_pid_ns_processes"},
    // Disks.
    {WaitClass::block_io, "blk_*"},
    {WaitClass::block_io, "submit_bio*"},
    {WaitClass::block_io, "wbt_wait"},
    {WaitClass::block_io, "rq_qos_wait"},
    {WaitClass::block_io, "jbd2_*"},
    {WaitClass::block_io, "ext4_*"},
    {WaitClass::block_io, "xfs_*"},
    {WaitClass::block_io, "btrfs_*"},
    {WaitClass::block_io, "f2fs_*"},
    {WaitClass::block_io, "dm_*"},
    {WaitClass::block_io, "md_*"},
    {WaitClass::block_io, "__wait_on_buffer"},
    // A page or a lock, and no frame says whose.
    {WaitClass::unknown, "folio_wait_*"},  // 5.16
    {WaitClass::unknown, "wait_on_page_*"},
    {WaitClass::unknown, "__wait_on_page_*"},
    {WaitClass::unknown, "__folio_lock*"},
    {WaitClass::unknown, "__lock_page*"},
    {WaitClass::unknown, "rwsem_down_*", Where::top},
    {WaitClass::unknown, "down_*", Where::top},
    {WaitClass::unknown, "__down*", Where::top},
    {WaitClass::unknown, "mutex_lock*", Where::top},
    {WaitClass::unknown, "__mutex_lock*", Where::top},
    {WaitClass::block_io, "io_schedule*"},
});

// What is only the way into the sleep. The frame below it tells for what.
constexpr std::array<std::string_view, 6> kSleeps = {
    "schedule", "__schedule", "schedule_timeout", "schedule_preempt_disabled", "io_schedule", "__switch_to",
};

constexpr std::array<std::string_view, 7> kLocks = {
    "rwsem_down_*", "down_*", "__down*", "mutex_lock*", "__mutex_lock*", "__folio_lock*", "__lock_page*",
};

bool matches(std::string_view pattern, std::string_view symbol) {
  if (pattern.empty()) return true;
  if (pattern.back() != '*') return pattern == symbol;
  pattern.remove_suffix(1);
  return symbol.substr(0, pattern.size()) == pattern;
}

bool is_fuse_client(std::string_view symbol) {
  return matches("fuse_*", symbol) && !matches("fuse_dev_*", symbol) && !matches("fuse_uring_*", symbol);
}

// The innermost frame that is more than the sleep itself; "" for none.
std::string_view top_of(const std::vector<std::string>& stack) {
  const auto found = std::find_if(stack.begin(), stack.end(), [](const std::string& frame) {
    return std::find(kSleeps.begin(), kSleeps.end(), frame) == kSleeps.end();
  });
  return found == stack.end() ? std::string_view{} : std::string_view(*found);
}

bool holds(const Rule& rule, const std::vector<std::string>& stack) {
  if (rule.where == Where::any || rule.where == Where::any_and_fuse) {
    return (rule.where == Where::any || has_fuse_frame(stack)) &&
           std::any_of(stack.begin(), stack.end(),
                       [&](const std::string& frame) { return matches(rule.symbol, frame); });
  }
  return matches(rule.symbol, top_of(stack)) && (rule.where == Where::top || has_fuse_frame(stack));
}

}  // namespace

bool has_frame(const std::vector<std::string>& stack, std::string_view symbol) {
  return std::find(stack.begin(), stack.end(), symbol) != stack.end();
}

bool has_fuse_frame(const std::vector<std::string>& stack) {
  return std::any_of(stack.begin(), stack.end(), [](const std::string& frame) {
    return is_fuse_client(frame) || frame == "request_wait_answer" || frame == "__fuse_simple_request";
  });
}

bool has_overlay_frame(const std::vector<std::string>& stack) {
  return std::any_of(stack.begin(), stack.end(), [](const std::string& frame) { return matches("ovl_*", frame); });
}

bool is_in_lock(const std::vector<std::string>& stack) {
  const std::string_view top = top_of(stack);
  return std::any_of(kLocks.begin(), kLocks.end(), [&](std::string_view lock) { return matches(lock, top); });
}

bool is_io_worker(const std::vector<std::string>& stack) {
  return has_frame(stack, "io_wq_worker") || has_frame(stack, "io_wqe_worker");  // 5.12 and later; 5.18 renamed it
}

WaitClass classify_wait(const std::vector<std::string>& stack) {
  if (stack.empty()) return WaitClass::unknown;
  const auto found = std::find_if(kRules.begin(), kRules.end(), [&](const Rule& rule) { return holds(rule, stack); });
  return found == kRules.end() ? WaitClass::other : found->wait_class;
}

WaitClass classify_wchan(std::string_view symbol) {
  const WaitClass found = classify_wait({std::string(symbol)});
  // `other` rests on seeing all frames, and a disk is what many waits end in.
  return found == WaitClass::other || found == WaitClass::block_io ? WaitClass::unknown : found;
}

}  // namespace defused
