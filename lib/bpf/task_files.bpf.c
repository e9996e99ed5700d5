// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// For every open file of every process: is it /dev/fuse, and of which connection; is it a file on FUSE. Runs as an
// iterator over task_file (Linux 5.8): no ptrace check, no lock of the process. CO-RE: the types below name only what
// is read, libbpf finds the offsets in the running kernel's BTF.
#include <linux/types.h>

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include "task_files.h"

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct list_head {
  struct list_head* next;
};
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
  __u64 start_boottime;
  struct task_struct* group_leader;
};
struct fuse_in_header {
  __u64 unique;
};
struct fuse_req {
  struct list_head list;
  struct {
    struct fuse_in_header h;
  } in;
};
struct fuse_iqueue {
  struct list_head pending;
};
struct fuse_pqueue {
  struct list_head* processing;
  struct list_head io;
};
struct fuse_conn {
  __u32 dev;
  struct fuse_iqueue iq;
};
struct fuse_dev {
  struct fuse_conn* fc;
  struct fuse_pqueue pq;
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

#define HASH_SIZE 256 /* FUSE_PQ_HASH_SIZE */
#define LIST_LIMIT 64

struct search {
  const struct list_head* processing;
  const struct list_head* head;
  const struct list_head* at;
  __u64 oldest;
};

static __always_inline const struct list_head* next_of(const struct list_head* at) { return BPF_CORE_READ(at, next); }

static long look_at_request(__u32 index, void* context) {
  struct search* search = context;
  const struct fuse_req* request;
  __u64 unique;
  if (!search->at || search->at == search->head) return 1;
  request = (const void*)((unsigned long)search->at - bpf_core_field_offset(struct fuse_req, list));
  unique = BPF_CORE_READ(request, in.h.unique);
  if (unique && (!search->oldest || unique < search->oldest)) search->oldest = unique;
  search->at = next_of(search->at);
  return 0;
}

/* Numbers only grow, so what has waited longest has the smallest one; of a list beyond the limit a part is looked at.
 */
static __always_inline void look_at_list(struct search* search, unsigned long head) {
  search->head = (const void*)head;
  search->at = next_of(search->head);
  bpf_loop(LIST_LIMIT, look_at_request, search, 0);
}

static long look_at_bucket(__u32 index, void* context) {
  struct search* search = context;
  look_at_list(search, (unsigned long)search->processing + (unsigned long)index * 2 * sizeof(void*));
  return 0;
}

static __always_inline __u64 oldest_request(struct fuse_dev* device) {
  struct search search = {};
  struct fuse_conn* fc = BPF_CORE_READ(device, fc);
  search.processing = BPF_CORE_READ(device, pq.processing);
  if (search.processing) bpf_loop(HASH_SIZE, look_at_bucket, &search, 0);
  look_at_list(&search, (unsigned long)device + bpf_core_field_offset(struct fuse_dev, pq.io));
  look_at_list(&search, (unsigned long)fc + bpf_core_field_offset(struct fuse_conn, iq.pending));
  return search.oldest;
}

/* Most files of a host are neither. The two questions are asked by plain loads, which the verifier allows from the
 * iterator's own pointers: with helper calls the same 400,000 files took twice the time.
 */
static __always_inline int note_file(struct bpf_iter__task_file* ctx, int with_oldest) {
  struct task_struct* task = ctx->task;
  struct file* file = ctx->file;
  struct task_file_record record = {};
  struct inode* inode;
  if (!task || !file) return 0;
  inode = file->f_inode;
  if (inode->i_rdev == FUSE_DEVICE) {
    struct fuse_dev* device = file->private_data;
    record.kind = TASK_FILE_DEVICE;
    if ((unsigned long)device >= SMALLEST_POINTER) {
      record.connection = BPF_CORE_READ(device, fc, dev);
      if (with_oldest) record.oldest_request = oldest_request(device);
    }
  } else if (inode->i_sb->s_magic == FUSE_SUPER_MAGIC) {
    record.kind = TASK_FILE_ON_FUSE;
    record.connection = inode->i_sb->s_dev;
  } else {
    return 0;
  }
  record.tgid = task->tgid;
  record.start_boottime = task->group_leader->start_boottime;
  bpf_seq_write(ctx->meta->seq, &record, sizeof(record));
  return 0;
}

/* Needs bpf_loop (Linux 5.17). */
SEC("iter/task_file")
int collect(struct bpf_iter__task_file* ctx) { return note_file(ctx, 1); }

/* For older ones; one of the two is loaded. */
SEC("iter/task_file")
int collect_holders(struct bpf_iter__task_file* ctx) { return note_file(ctx, 0); }

char LICENSE[] SEC("license") = "Dual BSD/GPL";
