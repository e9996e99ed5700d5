// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// For every open file of every process: is it /dev/fuse, and of which connection; is it a file on FUSE. No ptrace
// check, no lock of the process. CO-RE: the types below name only what is read, libbpf finds the offsets in the running
// kernel's BTF. Two programs, of which one is loaded:
// - collect (Linux 5.17): an iterator over tasks that goes through each table of descriptors itself, once. What it
// finds
//   it leaves in `records`.
// - collect_holders (Linux 5.8): an iterator over task_file. The kernel goes through the table of every thread behind a
//   leader that ended, in one system call: a process with 20,000 threads can make that take minutes.
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
  unsigned long i_ino;
  struct super_block* i_sb;
};
struct file {
  struct inode* f_inode;
  void* private_data;
};
struct fdtable {
  unsigned int max_fds;
  struct file** fd;
};
struct files_struct {
  struct fdtable* fdt;
};
struct task_struct {
  int tgid;
  int pid;
  __u64 start_boottime;
  struct task_struct* group_leader;
  struct files_struct* files;
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
struct bpf_iter__task {
  struct bpf_iter_meta* meta;
  struct task_struct* task;
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
#define TMPFS_MAGIC 0x01021994
/* private_data of a /dev/fuse that is not mounted yet: NULL, or a small mark (FUSE_DEV_SYNC_INIT, 6.18). */
#define SMALLEST_POINTER 4096

#define CHUNK 512 /* descriptors that are fetched at once */

/* Shared with the reader, which sets all but the records to 0 before it starts. */
struct task_file_record records[TASK_FILES_MAX_RECORDS];
unsigned int count;
unsigned int cut; /* something was left out: too many records or too many descriptors */
unsigned long long looked_at;
/* The file of the reader's self-test, a memfd: number of its inode, device of its file system. */
unsigned long long mark_inode;
unsigned int mark_device;

/* Only one reader uses a loaded program. */
static unsigned long files_of_chunk[CHUNK];
static int last_tgid;
static unsigned long last_table;
static unsigned long last_device;
static __u64 last_oldest;

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
  ++looked_at;
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
  ++looked_at;
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

struct walk {
  struct task_file_record record; /* what is told of the process */
  unsigned long slots;
  unsigned int max_fds;
  unsigned int first; /* its first record */
};

/* A process may have thousands of files open on one connection; that it has any is enough. */
static __always_inline int is_told(const struct walk* walk, __u32 connection) {
  int i;
  for (i = 1; i <= 8; ++i) {
    unsigned int at = count - i;
    if (count < walk->first + i || at >= TASK_FILES_MAX_RECORDS) return 0;
    if (records[at].kind == TASK_FILE_ON_FUSE && records[at].connection == connection) return 1;
  }
  return 0;
}

static __always_inline void tell(const struct task_file_record* record) {
  unsigned int at = count;
  if (at >= TASK_FILES_MAX_RECORDS) {
    cut = 1;
    return;
  }
  records[at] = *record;
  count = at + 1;
}

static long look_at_slot(__u32 index, void* context) {
  struct walk* walk = context;
  const struct file* file;
  struct inode* inode;
  struct super_block* sb;
  unsigned long magic;
  if (index >= CHUNK) return 1;
  if (looked_at >= TASK_FILES_MAX_FILES) {
    cut = 1;
    return 1;
  }
  file = (const void*)files_of_chunk[index & (CHUNK - 1)];
  if (!file) return 0;
  ++looked_at;
  inode = BPF_CORE_READ(file, f_inode);
  if (!inode) return 0;
  walk->record.oldest_request = 0;
  if (BPF_CORE_READ(inode, i_rdev) == FUSE_DEVICE) {
    struct fuse_dev* device = BPF_CORE_READ(file, private_data);
    walk->record.kind = TASK_FILE_DEVICE;
    walk->record.connection = 0;
    if ((unsigned long)device >= SMALLEST_POINTER) {
      walk->record.connection = BPF_CORE_READ(device, fc, dev);
      if ((unsigned long)device != last_device) last_oldest = oldest_request(device); /* one may be held many times */
      last_device = (unsigned long)device;
      walk->record.oldest_request = last_oldest;
    }
    tell(&walk->record);
    return 0;
  }
  sb = BPF_CORE_READ(inode, i_sb);
  magic = BPF_CORE_READ(sb, s_magic);
  if (magic == TMPFS_MAGIC && BPF_CORE_READ(inode, i_ino) == mark_inode && BPF_CORE_READ(sb, s_dev) == mark_device) {
    walk->record.kind = TASK_FILE_MARK;
    walk->record.connection = 0;
    tell(&walk->record);
    return 0;
  }
  if (magic != FUSE_SUPER_MAGIC) return 0;
  walk->record.kind = TASK_FILE_ON_FUSE;
  walk->record.connection = BPF_CORE_READ(sb, s_dev);
  if (!is_told(walk, walk->record.connection)) tell(&walk->record);
  return 0;
}

static long look_at_chunk(__u32 index, void* context) {
  struct walk* walk = context;
  unsigned int first = index * CHUNK;
  unsigned int size;
  if (first >= walk->max_fds) return 1;
  if (looked_at >= TASK_FILES_MAX_FILES) {
    cut = 1;
    return 1;
  }
  size = walk->max_fds - first;
  if (size > CHUNK) size = CHUNK;
  looked_at += size / 16 + 1;
  if (bpf_probe_read_kernel(files_of_chunk, size * sizeof(void*),
                            (const void*)(walk->slots + (unsigned long)first * sizeof(void*)))) {
    cut = 1; /* what was not seen is not "none" */
    return 1;
  }
  bpf_loop(size, look_at_slot, walk, 0);
  return 0;
}

/* Threads nearly always share the table of their leader, or where that has ended the one of the thread before. */
static __always_inline int is_new_table(struct task_struct* task, unsigned long table) {
  if (task->pid == task->tgid) return 1;
  if ((unsigned long)task->group_leader->files == table) return 0;
  return task->tgid != last_tgid || table != last_table;
}

SEC("iter/task")
int collect(struct bpf_iter__task* ctx) {
  struct task_struct* task = ctx->task;
  struct walk walk = {};
  struct files_struct* files;
  struct fdtable* table;
  if (!task) return 0;
  files = task->files;
  if (!files || !is_new_table(task, (unsigned long)files)) return 0;
  last_tgid = task->tgid;
  last_table = (unsigned long)files;
  last_device = 0;
  table = files->fdt;
  walk.record.tgid = task->tgid;
  walk.record.start_boottime = task->group_leader->start_boottime;
  walk.max_fds = table->max_fds;
  walk.slots = (unsigned long)table->fd;
  walk.first = count;
  bpf_loop((walk.max_fds + CHUNK - 1) / CHUNK, look_at_chunk, &walk, 0);
  return 0;
}

/* Most files of a host are neither. The two questions are asked by plain loads, which the verifier allows from the
 * iterator's own pointers: with helper calls the same 400,000 files took twice the time.
 */
SEC("iter/task_file")
int collect_holders(struct bpf_iter__task_file* ctx) {
  struct task_struct* task = ctx->task;
  struct file* file = ctx->file;
  struct task_file_record record = {};
  struct inode* inode;
  if (!task || !file) return 0;
  inode = file->f_inode;
  if (inode->i_rdev == FUSE_DEVICE) {
    struct fuse_dev* device = file->private_data;
    record.kind = TASK_FILE_DEVICE;
    if ((unsigned long)device >= SMALLEST_POINTER) record.connection = BPF_CORE_READ(device, fc, dev);
  } else if (inode->i_sb->s_magic == FUSE_SUPER_MAGIC) {
    record.kind = TASK_FILE_ON_FUSE;
    record.connection = inode->i_sb->s_dev;
  } else if (inode->i_sb->s_magic == TMPFS_MAGIC && inode->i_ino == mark_inode && inode->i_sb->s_dev == mark_device) {
    record.kind = TASK_FILE_MARK;
  } else {
    return 0;
  }
  record.tgid = task->tgid;
  record.start_boottime = task->group_leader->start_boottime;
  bpf_seq_write(ctx->meta->seq, &record, sizeof(record));
  return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
