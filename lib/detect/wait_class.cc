// SPDX-License-Identifier: Apache-2.0
#include "detect/wait_class.h"

#include <algorithm>
#include <array>

namespace defused {

namespace {

struct Rule {
  WaitClass wait_class;
  std::string_view symbol;  ///< a name, or a prefix where it ends in '*'
};

// First match wins, so what names the cause best stands first: a fuse_flush below a folio wait is a fuse_flush.
constexpr std::array kRules = std::to_array<Rule>({
    // close() of a FUSE file on the way out: do_exit -> put_files_struct -> filp_close -> fuse_flush
    {WaitClass::fuse_flush, "fuse_flush"},
    {WaitClass::fuse_flush, "fuse_do_flush"},     // 6.3 to 6.5.2
    {WaitClass::fuse_flush, "fuse_flush_async"},  // 6.3 to 6.5.2, in a kworker
    // dirty pages of a mapping or of the page cache: exit_mmap -> fuse_vma_close -> write_inode_now
    {WaitClass::fuse_writeback, "fuse_vma_close"},
    {WaitClass::fuse_writeback, "fuse_write_inode"},
    {WaitClass::fuse_writeback, "fuse_flush_times"},
    {WaitClass::fuse_writeback, "fuse_writepages"},
    {WaitClass::fuse_writeback, "fuse_sync_writes"},
    {WaitClass::fuse_writeback, "fuse_set_nowrite"},
    {WaitClass::fuse_writeback, "fuse_wait_on_page_writeback"},
    {WaitClass::fuse_writeback, "fuse_wait_on_folio_writeback"},
    {WaitClass::fuse_writeback, "fuse_fsync"},
    // a core dump has FUSE frames too where it is written there; the writer's wait is the cause
    {WaitClass::fuse_request, "request_wait_answer"},
    {WaitClass::fuse_request, "wait_answer_interruptible"},  // 3.10 to 3.19
    {WaitClass::fuse_request, "fuse_get_req"},
    {WaitClass::fuse_request, "__fuse_get_req"},
    {WaitClass::fuse_request, "fuse_wait_aborted"},
    {WaitClass::fuse_request, "fuse_simple_request"},
    {WaitClass::fuse_request, "__fuse_simple_request"},
    {WaitClass::fuse_request, "fuse_request_send"},
    {WaitClass::fuse_request, "__fuse_request_send"},
    {WaitClass::aio, "exit_aio"},
    {WaitClass::io_uring, "io_wq_put_and_exit"},
    {WaitClass::io_uring, "io_uring_cancel_generic"},
    {WaitClass::io_uring, "__io_uring_cancel"},
    {WaitClass::coredump, "vfs_coredump"},
    {WaitClass::coredump, "do_coredump"},
    {WaitClass::coredump, "coredump_task_exit"},
    {WaitClass::ptrace, "ptrace_stop"},
    {WaitClass::freezer, "__refrigerator"},
    {WaitClass::nfs, "nfs_*"},
    {WaitClass::nfs, "nfs4_*"},
    {WaitClass::nfs, "rpc_wait_bit_killable"},
    {WaitClass::cifs, "cifs_*"},
    {WaitClass::cifs, "SMB2_*"},
    {WaitClass::ceph, "ceph_*"},
    {WaitClass::p9, "p9_*"},
    {WaitClass::p9, "v9fs_*"},
    {WaitClass::unreaped_child, "zap_pid_ns_processes"},
    {WaitClass::block_io, "io_schedule"},
    {WaitClass::block_io, "blk_*"},
    {WaitClass::block_io, "submit_bio_wait"},
    {WaitClass::block_io, "wbt_wait"},
    {WaitClass::block_io, "rq_qos_wait"},
    {WaitClass::block_io, "jbd2_*"},
    {WaitClass::block_io, "xfs_*"},
    {WaitClass::block_io, "__wait_on_buffer"},
});

// A sleep for a lock, at the top of a stack.
constexpr std::array<std::string_view, 9> kLocks = {
    "rwsem_down_read_slowpath",
    "rwsem_down_write_slowpath",
    "down_read",
    "down_write",
    "__mutex_lock",
    "__mutex_lock_slowpath",
    "mutex_lock",
    "mutex_lock_killable",
    "__down",
};

bool matches(std::string_view pattern, std::string_view symbol) {
  if (pattern.back() != '*') return pattern == symbol;
  pattern.remove_suffix(1);
  return symbol.substr(0, pattern.size()) == pattern;
}

// A frame of the client side of FUSE. fuse_dev_* and fuse_uring_* are the server's side: a server that waits for work.
bool is_client_frame(std::string_view symbol) {
  const auto starts = [&](std::string_view prefix) { return symbol.substr(0, prefix.size()) == prefix; };
  return starts("fuse_") && !starts("fuse_dev_") && !starts("fuse_uring_");
}

bool any_client_frame(const std::vector<std::string>& stack) {
  return std::any_of(stack.begin(), stack.end(), [](const std::string& frame) { return is_client_frame(frame); });
}

bool top_is_lock(const std::vector<std::string>& stack) {
  return std::find(kLocks.begin(), kLocks.end(), stack.front()) != kLocks.end();
}

}  // namespace

bool has_frame(const std::vector<std::string>& stack, std::string_view symbol) {
  return std::find(stack.begin(), stack.end(), symbol) != stack.end();
}

bool has_overlay_frame(const std::vector<std::string>& stack) {
  return std::any_of(stack.begin(), stack.end(), [](const std::string& frame) { return frame.rfind("ovl_", 0) == 0; });
}

WaitClass classify_wait(const std::vector<std::string>& stack) {
  if (stack.empty()) return WaitClass::unknown;
  for (const Rule& rule : kRules) {
    const bool found =
        std::any_of(stack.begin(), stack.end(), [&](const std::string& frame) { return matches(rule.symbol, frame); });
    if (found) return rule.wait_class;
    // Between the named waits and the other file systems: a lock held by another FUSE waiter, or any FUSE call.
    if (rule.symbol == "__fuse_request_send" && any_client_frame(stack)) {
      return top_is_lock(stack) ? WaitClass::fuse_lock : WaitClass::fuse_request;
    }
  }
  return WaitClass::other;
}

}  // namespace defused
