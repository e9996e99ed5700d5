// SPDX-License-Identifier: Apache-2.0
#include "detect/wait_class.h"

#include <catch2/catch.hpp>

using namespace defused;

namespace {

struct Sample {
  WaitClass expected;
  std::vector<std::string> stack;
};

// Stacks from captures and from KERNEL.md 2 and 3, innermost first.
const std::vector<Sample> kSamples = {
    {WaitClass::fuse_flush, {"request_wait_answer", "__fuse_simple_request", "fuse_flush", "filp_flush", "do_exit"}},
    {WaitClass::fuse_flush, {"fuse_set_nowrite", "fuse_flush", "filp_close", "put_files_struct", "do_exit"}},
    {WaitClass::fuse_flush, {"folio_wait_bit", "folio_wait_writeback", "write_inode_now", "fuse_flush", "do_exit"}},
    {WaitClass::fuse_flush, {"rwsem_down_write_slowpath", "down_write", "fuse_flush", "filp_close", "do_exit"}},
    {WaitClass::fuse_flush, {"request_wait_answer", "fuse_flush", "ovl_flush", "filp_flush", "do_exit"}},
    {WaitClass::fuse_writeback, {"folio_wait_bit", "write_inode_now", "fuse_vma_close", "exit_mmap", "do_exit"}},
    {WaitClass::fuse_request, {"request_wait_answer", "fuse_simple_request", "fuse_do_getattr", "vfs_statx"}},
    {WaitClass::fuse_request, {"request_wait_answer", "fuse_send_destroy", "fuse_conn_destroy", "do_exit"}},
    {WaitClass::fuse_request, {"folio_wait_bit_common", "fuse_readahead", "filemap_fault"}},
    {WaitClass::fuse_lock, {"rwsem_down_write_slowpath", "fuse_file_write_iter", "vfs_write"}},
    {WaitClass::aio, {"exit_aio", "__mmput", "do_exit"}},
    {WaitClass::io_uring, {"io_wq_put_and_exit", "io_uring_clean_tctx", "io_uring_cancel_generic", "do_exit"}},
    {WaitClass::nfs, {"rpc_wait_bit_killable", "nfs4_file_flush", "filp_flush", "do_exit"}},
    {WaitClass::freezer, {"__refrigerator", "get_signal"}},
    {WaitClass::block_io, {"io_schedule", "blk_mq_get_tag", "submit_bio", "do_exit"}},
    {WaitClass::other, {"hrtimer_nanosleep", "do_exit"}},
    {WaitClass::other, {"fuse_dev_do_read", "fuse_dev_read", "vfs_read"}},  // a server that waits for work
    {WaitClass::unknown, {}},
};

}  // namespace

TEST_CASE("wait classes from any frame") {
  for (const Sample& sample : kSamples) {
    CAPTURE(sample.stack);
    CHECK(to_string(classify_wait(sample.stack)) == to_string(sample.expected));
  }
}

TEST_CASE("overlay frames") {
  CHECK(has_overlay_frame({"fuse_flush", "ovl_flush", "filp_flush"}));
  CHECK_FALSE(has_overlay_frame({"fuse_flush", "filp_flush"}));
}
