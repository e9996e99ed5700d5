// SPDX-License-Identifier: Apache-2.0
#include "detect/wait_class.h"

#include <algorithm>
#include <array>

namespace defused {

namespace {

using enum WaitClass;
using Place = FramePlace;

// First match wins. What a wait is done for stands before what it is done with: a dump is one whatever it is written
// to, a flush is one whether it waits for an answer, for pages or for a lock.
constexpr std::array kRules = std::to_array<WaitRule>({
    // A core dump: the writer, and its siblings that wait for it.
    {coredump, Place::whole, "vfs_coredump", "6.16"},
    {coredump, Place::whole, "do_coredump", "to 6.15"},
    {coredump, Place::whole, "coredump_task_exit", "5.16"},
    {coredump, Place::whole, "wait_for_dump_helpers", ""},

    // close() of a FUSE file on the way out: do_exit -> put_files_struct -> filp_close -> fuse_flush
    {fuse_flush, Place::any, "fuse_flush", ""},
    {fuse_flush, Place::any, "fuse_flush_async", "6.3 to 6.5.2"},  // in a kworker
    {fuse_flush, Place::any, "fuse_do_flush", "6.3 to 6.5.2"},

    // Dirty pages of a mapping or of the page cache: exit_mmap -> fuse_vma_close -> write_inode_now
    {fuse_writeback, Place::any, "fuse_vma_close", ""},
    {fuse_writeback, Place::any, "fuse_flush_times", ""},
    {fuse_writeback, Place::any, "fuse_write_inode", ""},
    {fuse_writeback, Place::any, "fuse_writepages", ""},
    {fuse_writeback, Place::any, "fuse_set_nowrite", ""},
    {fuse_writeback, Place::any, "fuse_sync_writes", ""},
    {fuse_writeback, Place::any, "fuse_wait_on_page_writeback", "to 6.12"},
    {fuse_writeback, Place::any, "fuse_wait_on_folio_writeback", "6.13 to 6.15"},
    {fuse_writeback, Place::any_in_fuse, "folio_wait_writeback", "5.16"},
    {fuse_writeback, Place::any_in_fuse, "wait_on_page_writeback", "to 5.15"},
    {fuse_writeback, Place::any_in_fuse, "balance_dirty_pages*", ""},
    {fuse_writeback, Place::any_in_fuse, "wb_wait_for_completion", ""},

    // An answer of the server, or a slot for the question.
    {fuse_request, Place::any, "request_wait_answer", ""},
    {fuse_request, Place::any, "wait_answer_interruptible", "3.10 to 3.19"},
    {fuse_request, Place::any, "__fuse_request_send", ""},
    {fuse_request, Place::any, "fuse_request_send", "to 5.3"},
    {fuse_request, Place::any, "__fuse_get_req", "to 5.3"},
    {fuse_request, Place::any, "fuse_get_req", ""},
    {fuse_request, Place::any, "__fuse_simple_request", "6.12"},
    {fuse_request, Place::any, "fuse_simple_request", ""},
    {fuse_request, Place::any, "fuse_wait_aborted", ""},
    {fuse_request, Place::top, "fuse_direct_IO", ""},
    {fuse_request, Place::any_in_fuse, "folio_wait_*", "5.16"},
    {fuse_request, Place::any_in_fuse, "wait_on_page_*", "to 5.15"},

    // Behind a lock, a page or a name that another FUSE waiter holds. Where the functions of the lock do not show, the
    // innermost one is FUSE's own: all of those that wait for the server themselves are above.
    {fuse_lock, Place::lock_in_fuse, "fuse_*", ""},
    {fuse_lock, Place::lock_in_fuse, "rwsem_down_*", "to 5.17"},
    {fuse_lock, Place::lock_in_fuse, "down_*", "to 5.17"},
    {fuse_lock, Place::lock_in_fuse, "__down*", "to 5.17"},
    {fuse_lock, Place::lock_in_fuse, "mutex_lock*", ""},
    {fuse_lock, Place::lock_in_fuse, "__mutex_lock*", ""},
    {fuse_lock, Place::lock_in_fuse, "__folio_lock*", "5.16"},
    {fuse_lock, Place::lock_in_fuse, "__lock_page*", "to 5.15"},
    {fuse_lock, Place::lock_in_fuse, "d_alloc_parallel", ""},
    {fuse_lock, Place::lock_in_fuse, "iget5_locked", ""},
    {fuse_lock, Place::lock_in_fuse, "__wait_on_freeing_inode", ""},

    // A call of FUSE that waits for something else: memory, RCU, a file lock of another process.
    {unknown, Place::any_in_fuse, "*", ""},

    // On the way out, before any file is closed: the leader waits for what it has in flight.
    {io_uring, Place::any, "io_wq_put_and_exit", "5.12"},
    {io_uring, Place::any, "io_uring_cancel_generic", "5.14"},
    {io_uring, Place::any, "__io_uring_cancel", "5.14"},
    {io_uring, Place::any, "__io_uring_files_cancel", "5.10 to 5.13"},
    {io_uring, Place::any, "__io_uring_task_cancel", "5.10 to 5.13"},
    {io_uring, Place::any, "io_uring_cancel_sqpoll", "5.11 to 5.13"},
    {io_uring, Place::any, "io_uring_cancel_task_requests", "5.10, 5.11"},
    {io_uring, Place::any, "io_uring_cancel_files", "5.5 to 5.11"},
    {io_uring, Place::any, "io_ring_ctx_wait_and_kill", "to 5.5"},
    {io_uring, Place::any, "io_wq_destroy", "5.5 to 5.11"},
    {io_uring, Place::any, "io_sq_thread_stop", ""},
    {io_uring, Place::any, "io_ring_exit_work", ""},  // in a kworker
    {aio, Place::any, "exit_aio", ""},
    {aio, Place::any, "__x64_sys_io_destroy", ""},
    {aio, Place::any, "__arm64_sys_io_destroy", ""},
    {aio, Place::any, "__do_sys_io_destroy", ""},
    {aio, Place::any, "__se_sys_io_destroy", ""},

    // Other file systems whose server may be gone.
    {nfs, Place::any, "nfs_*", ""},
    {nfs, Place::any, "nfs3_*", ""},
    {nfs, Place::any, "nfs4_*", ""},
    {nfs, Place::any, "_nfs4_*", ""},
    {nfs, Place::any, "pnfs_*", ""},
    {nfs, Place::any, "nlmclnt_*", ""},
    {nfs, Place::any, "rpc_*", ""},
    {nfs, Place::any, "__rpc_*", ""},
    {nfs, Place::any, "xprt_*", ""},
    {cifs, Place::any, "cifs_*", ""},
    {cifs, Place::any, "_cifs*", ""},
    {cifs, Place::any, "cifsFileInfo_*", ""},
    {cifs, Place::any, "SMB2_*", ""},
    {cifs, Place::any, "__SMB2_*", ""},
    {cifs, Place::any, "smb2_*", ""},
    {cifs, Place::any, "smb3_*", ""},
    {cifs, Place::any, "compound_send_recv", ""},
    {cifs, Place::top, "wait_for_response", ""},
    {ceph, Place::any, "ceph_*", ""},
    {ceph, Place::any, "__ceph_*", ""},
    {p9, Place::any, "p9_*", ""},
    {p9, Place::any, "v9fs_*", ""},
    {other, Place::any, "afs_*", ""},
    {other, Place::any, "orangefs_*", ""},
    {other, Place::any, "wait_for_matching_downcall", ""},
    {other, Place::any, "coda_*", ""},
    {other, Place::any, "gfs2_*", ""},
    {other, Place::any, "ocfs2_*", ""},
    {other, Place::any, "ptlrpc_*", "out of tree: Lustre"},
    {other, Place::any, "ldlm_*", "out of tree: Lustre"},
    {other, Place::any, "osc_*", "out of tree: Lustre"},
    {other, Place::any, "cl_sync_io_wait", "out of tree: Lustre"},
    {other, Place::any, "ll_file_*", "out of tree: Lustre"},
    {other, Place::any, "ll_md_*", "out of tree: Lustre"},
    {other, Place::any, "zfs_*", "out of tree: ZFS"},
    {other, Place::any, "zpl_*", "out of tree: ZFS"},
    {other, Place::any, "zil_*", "out of tree: ZFS"},
    {other, Place::any, "txg_wait_*", "out of tree: ZFS"},
    {other, Place::any, "cachefiles_ondemand_*", "5.19"},

    // Somebody else has to act.
    {ptrace, Place::any, "ptrace_stop", ""},
    {freezer, Place::any, "__refrigerator", ""},
    {freezer, Place::any, "do_freezer_trap", ""},
    {unreaped_child, Place::any, "zap_pid_ns_processes", ""},
    {other, Place::any, "cgroup_drain_dying", "6.19"},

    // Disks, and file systems on them.
    {block_io, Place::any, "blk_*", ""},
    {block_io, Place::any, "blkdev_*", ""},
    {block_io, Place::any, "submit_bio*", ""},
    {block_io, Place::any, "wbt_wait", ""},
    {block_io, Place::any, "rq_qos_wait", ""},
    {block_io, Place::any, "__wait_on_buffer", ""},
    {block_io, Place::any, "jbd2_*", ""},
    {block_io, Place::any, "ext4_*", ""},
    {block_io, Place::any, "xfs_*", ""},
    {block_io, Place::any, "xlog_*", ""},
    {block_io, Place::any, "btrfs_*", ""},
    {block_io, Place::any, "f2fs_*", ""},
    {block_io, Place::any, "bch2_*", "6.7 to 6.17"},
    {block_io, Place::any, "dm_*", ""},
    {block_io, Place::any, "md_*", ""},
    {block_io, Place::any, "raid*", ""},
    {block_io, Place::any, "nbd_*", ""},
    {block_io, Place::any, "loop_*", ""},

    // A page, and no frame says of which file system.
    {unknown, Place::any, "folio_wait_*", "5.16"},
    {unknown, Place::any, "folio_put_wait_locked", "5.16"},
    {unknown, Place::any, "__folio_lock*", "5.16"},
    {unknown, Place::any, "wait_on_page_*", "to 5.15"},
    {unknown, Place::any, "__wait_on_page_*", "to 5.15"},
    {unknown, Place::any, "put_and_wait_on_page_locked", "to 5.15"},
    {unknown, Place::any, "__lock_page*", "to 5.15"},
    {unknown, Place::any, "migration_entry_wait*", ""},
    {unknown, Place::any, "netfs_*", ""},  // of AFS, Ceph, CIFS and 9P alike
    {unknown, Place::any, "balance_dirty_pages*", ""},
    {unknown, Place::any, "wb_wait_for_completion", ""},
    {unknown, Place::any, "inode_sleep_on_writeback", ""},
    {unknown, Place::any, "__inode_wait_for_writeback", ""},
    {unknown, Place::any, "inode_wait_for_writeback", ""},
    {unknown, Place::any, "io_schedule*", ""},

    // A lock, and no frame says of what.
    {unknown, Place::lock, "rwsem_down_*", "to 5.17"},
    {unknown, Place::lock, "down_*", "to 5.17"},
    {unknown, Place::lock, "__down*", "to 5.17"},
    {unknown, Place::lock, "percpu_rwsem_wait", "to 5.17"},  // a frozen file system
    {unknown, Place::lock, "mutex_lock*", ""},
    {unknown, Place::lock, "__mutex_lock*", ""},
    // of a directory or a file: of whatever file system it is
    {unknown, Place::lock, "walk_component", ""},
    {unknown, Place::lock, "lookup_slow", ""},
    {unknown, Place::lock, "d_alloc_parallel", ""},
    {unknown, Place::lock, "do_last", "to 5.6"},
    {unknown, Place::lock, "open_last_lookups", "5.7"},
    {unknown, Place::lock, "path_openat", ""},
    {unknown, Place::lock, "filename_create", ""},
    {unknown, Place::lock, "do_unlinkat", ""},
    {unknown, Place::lock, "do_rmdir", ""},
    {unknown, Place::lock, "do_renameat2", ""},
    {unknown, Place::lock, "lock_rename", ""},
    {unknown, Place::lock, "do_truncate", ""},
    {unknown, Place::lock, "iterate_dir", ""},
    {unknown, Place::lock, "chmod_common", ""},
    {unknown, Place::lock, "chown_common", ""},
    {unknown, Place::lock, "vfs_setxattr", ""},
    {unknown, Place::lock, "fdget_pos", "6.12"},
    {unknown, Place::lock, "__fdget_pos", "to 6.11"},
    // of the layer above, whose holder may wait for the one below
    {unknown, Place::lock, "ovl_*", ""},
    {unknown, Place::lock, "ecryptfs_*", ""},
    {unknown, Place::lock, "backing_file_*", "6.8"},
    {unknown, Place::lock, "fuse_passthrough_*", "6.9"},
    // of its memory: another thread may hold it in munmap -> fuse_vma_close
    {unknown, Place::lock, "do_exit", ""},  // exit_mm is inlined; also the siblings of a core dump, 6.18
    {unknown, Place::lock, "exit_mm", ""},
    {unknown, Place::lock, "exit_mmap", ""},
    {unknown, Place::lock, "__khugepaged_exit", ""},
    {unknown, Place::lock, "userfaultfd_release*", ""},  // close(2) of one waits for mmap_lock, whatever signal comes
    {unknown, Place::lock, "unlink_file_vma*", ""},
    {unknown, Place::lock, "do_user_addr_fault", ""},
    {unknown, Place::lock, "exc_page_fault", "5.8"},
    {unknown, Place::lock, "do_madvise", ""},
    // of the mount tree
    {unknown, Place::lock, "put_mnt_ns", ""},
    {unknown, Place::lock, "namespace_lock", ""},

    // Frozen (v2) or stopped, whichever of both was inlined.
    {unknown, Place::top, "get_signal", ""},
});

// What is only the way into the sleep. The frame below it tells for what.
constexpr auto kSleeps = std::to_array<std::string_view>(
    {"schedule", "__schedule", "schedule_timeout", "schedule_preempt_disabled", "io_schedule", "__switch_to"});

// Functions that sleep until the server answers; all others of FUSE that are innermost are taking a lock.
constexpr auto kServerWaits = std::to_array<std::string_view>(
    {"request_wait_answer", "wait_answer_interruptible", "__fuse_request_send", "fuse_request_send", "__fuse_get_req",
     "fuse_get_req", "__fuse_simple_request", "fuse_simple_request", "fuse_set_nowrite", "fuse_sync_writes",
     "fuse_wait_*", "fuse_direct_IO"});

// Of the server, or of nobody: it reads and writes /dev/fuse, it aborts, it reads and writes the file behind.
constexpr auto kNotClient = std::to_array<std::string_view>(
    {"fuse_dev_*", "fuse_uring_*", "fuse_copy_*", "fuse_ctl_*", "fuse_abort_conn", "fuse_passthrough_*"});

// Outside of these a thread does something for which what it waits for is none of its business.
constexpr auto kBorders = std::to_array<std::string_view>(
    {"handle_mm_fault", "try_to_free_pages", "try_to_free_mem_cgroup_pages", "fuse_passthrough_*"});

using Frames = std::span<const std::string>;

constexpr bool matches(std::string_view pattern, std::string_view symbol) {
  if (pattern.empty() || pattern.back() != '*') return pattern == symbol;
  pattern.remove_suffix(1);
  return symbol.substr(0, pattern.size()) == pattern;
}

template <std::size_t size>
bool is_one_of(const std::array<std::string_view, size>& patterns, std::string_view symbol) {
  return std::any_of(patterns.begin(), patterns.end(),
                     [&](std::string_view pattern) { return matches(pattern, symbol); });
}

bool any_matches(std::string_view pattern, Frames frames) {
  return std::any_of(frames.begin(), frames.end(), [&](const std::string& frame) { return matches(pattern, frame); });
}

Frames what_it_does_now(const std::vector<std::string>& stack) {
  const auto border =
      std::find_if(stack.begin(), stack.end(), [](const std::string& frame) { return is_one_of(kBorders, frame); });
  const auto size = static_cast<std::size_t>(border - stack.begin());
  return Frames(stack).first(std::min(size + 1, stack.size()));
}

// The innermost frame that is more than the sleep itself; "" for none.
std::string_view top_of(Frames frames) {
  const auto found =
      std::find_if(frames.begin(), frames.end(), [](const std::string& frame) { return !is_one_of(kSleeps, frame); });
  return found == frames.end() ? std::string_view{} : std::string_view(*found);
}

bool is_fuse_client(std::string_view symbol) {
  if (symbol == "request_wait_answer" || symbol == "wait_answer_interruptible") return true;
  return (matches("fuse_*", symbol) || matches("__fuse_*", symbol)) && !is_one_of(kNotClient, symbol);
}

// A stack, looked at once for all rules.
struct View {
  explicit View(const std::vector<std::string>& stack)
      : whole(stack),
        now(what_it_does_now(stack)),
        top(top_of(now)),
        in_fuse(std::any_of(now.begin(), now.end(), is_fuse_client)) {}

  [[nodiscard]] bool satisfies(const WaitRule& rule) const {
    switch (rule.place) {
      case Place::whole: return any_matches(rule.symbol, whole);
      case Place::any: return any_matches(rule.symbol, now);
      case Place::any_in_fuse: return in_fuse && any_matches(rule.symbol, now);
      case Place::top:
      case Place::lock: return matches(rule.symbol, top);
      case Place::lock_in_fuse: return in_fuse && matches(rule.symbol, top);
    }
    return false;
  }

  Frames whole;
  Frames now;
  std::string_view top;
  bool in_fuse;
};

bool is_lock(Place place) { return place == Place::lock || place == Place::lock_in_fuse; }

}  // namespace

std::string_view to_string(FramePlace place) {
  switch (place) {
    case Place::whole:
    case Place::any: return "anywhere";
    case Place::any_in_fuse: return "anywhere, with a frame of FUSE";
    case Place::top: return "innermost";
    case Place::lock: return "innermost: a lock";
    case Place::lock_in_fuse: return "innermost: a lock, with a frame of FUSE";
  }
  return "";
}

std::span<const WaitRule> describe_wait_classes() { return kRules; }

const WaitRule* deciding_rule(const std::vector<std::string>& stack) {
  const View view(stack);
  const auto* found = std::find_if(kRules.data(), kRules.data() + kRules.size(),
                                   [&](const WaitRule& rule) { return view.satisfies(rule); });
  return found == kRules.data() + kRules.size() ? nullptr : found;
}

WaitClass classify_wait(const std::vector<std::string>& stack) {
  if (stack.empty()) return unknown;
  const WaitRule* rule = deciding_rule(stack);
  return rule == nullptr ? other : rule->wait_class;
}

WaitClass classify_wchan(std::string_view symbol) {
  const WaitClass found = classify_wait({std::string(symbol)});
  // `other` rests on seeing all frames, and a disk is what many waits end in.
  return found == other || found == block_io ? unknown : found;
}

bool has_frame(const std::vector<std::string>& stack, std::string_view symbol) {
  return std::find(stack.begin(), stack.end(), symbol) != stack.end();
}

bool has_fuse_frame(const std::vector<std::string>& stack) { return View(stack).in_fuse; }

bool has_overlay_frame(const std::vector<std::string>& stack) { return any_matches("ovl_*", stack); }

bool is_in_lock(const std::vector<std::string>& stack) {
  const View view(stack);
  return !is_one_of(kServerWaits, view.top) && std::any_of(kRules.begin(), kRules.end(), [&](const WaitRule& rule) {
    return is_lock(rule.place) && view.satisfies(rule);
  });
}

bool is_io_worker(const std::vector<std::string>& stack) {
  return has_frame(stack, "io_wq_worker") || has_frame(stack, "io_wqe_worker");  // 5.12 and later; 5.18 renamed it
}

}  // namespace defused
