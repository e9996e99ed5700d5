// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// For every open file of every process: is it /dev/fuse, and of which connection; is it a file on FUSE. Runs as an
// iterator over task_file (Linux 5.8): no ptrace check, no lock of the process. CO-RE: the types below name only what is
// read, libbpf finds the offsets in the running kernel's BTF.
#include <linux/types.h>

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

#include "task_files.h"

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct seq_file;
struct bpf_iter_meta {
  struct seq_file* seq;
};
struct super_block {
  unsigned long s_magic;
  __u32 s_dev;
};
struct inode {
  __u32 i_rdev;
  struct super_block* i_sb;
};
struct file {
  struct inode* f_inode;
  void* private_data;
};
struct task_struct {
  int tgid;
  int pid;
};
struct fuse_conn {
  __u32 dev;
};
struct fuse_dev {
  struct fuse_conn* fc;
};
struct bpf_iter__task_file {
  struct bpf_iter_meta* meta;
  struct task_struct* task;
  __u32 fd;
  struct file* file;
};
#pragma clang attribute pop

#define FUSE_DEVICE ((10u << 20) | 229u) /* misc major, FUSE_MINOR: include/linux/miscdevice.h */
#define FUSE_SUPER_MAGIC 0x65735546
/* private_data of a /dev/fuse that is not mounted yet: NULL, or a small mark (FUSE_DEV_SYNC_INIT, 6.18). */
#define SMALLEST_POINTER 4096

SEC("iter/task_file")
int collect(struct bpf_iter__task_file* ctx) {
  struct task_struct* task = ctx->task;
  struct file* file = ctx->file;
  struct task_file_record record = {};
  struct inode* inode;
  if (!task || !file) return 0;
  inode = BPF_CORE_READ(file, f_inode);
  record.tgid = BPF_CORE_READ(task, tgid);
  if (BPF_CORE_READ(inode, i_rdev) == FUSE_DEVICE) {
    struct fuse_dev* device = BPF_CORE_READ(file, private_data);
    record.kind = TASK_FILE_DEVICE;
    if ((unsigned long)device >= SMALLEST_POINTER) record.connection = BPF_CORE_READ(device, fc, dev);
  } else if (BPF_CORE_READ(inode, i_sb, s_magic) == FUSE_SUPER_MAGIC) {
    record.kind = TASK_FILE_ON_FUSE;
    record.connection = BPF_CORE_READ(inode, i_sb, s_dev);
  } else {
    return 0;
  }
  bpf_seq_write(ctx->meta->seq, &record, sizeof(record));
  return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
