// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// Which FUSE connection does each sleeping task wait for that was told to die? Runs as an iterator over tasks, takes no
// lock of the task. Two findings from the words of the task's own kernel stack:
// - proven: a wait queue entry of this very task that is linked at this moment (its neighbours point back), on the
// queue
//   of a fuse_req, on that of a connection that hands out no slot, or for a page of a file on FUSE;
// - devices: words that lead to a file or inode on FUSE. Stale words exist: several devices prove nothing.
// Needs bpf_loop (Linux 5.17).
#include <linux/types.h>

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include "task_waits.h"

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct seq_file;
struct bpf_iter_meta {
  struct seq_file* seq;
};
struct list_head {
  struct list_head* next;
  struct list_head* prev;
};
struct super_block {
  unsigned long s_magic;
  __u32 s_dev;
};
struct inode {
  struct super_block* i_sb;
};
struct file {
  struct inode* f_inode;
};
struct address_space {
  struct inode* host;
};
struct folio {
  struct address_space* mapping;
};
struct page {
  struct address_space* mapping;
};
struct wait_queue_head {
  struct list_head head;
};
struct wait_queue_entry {
  void* private;
  struct list_head entry;
};
struct wait_page_queue {
  struct folio* folio;
  struct wait_queue_entry wait;
};
struct wait_page_queue___page { /* before 5.16 */
  struct page* page;
  struct wait_queue_entry wait;
};
struct fuse_conn {
  __u32 dev;
  struct list_head mounts;
  struct wait_queue_head blocked_waitq;
};
struct fuse_mount {
  struct fuse_conn* fc;
  struct super_block* sb;
  struct list_head fc_entry;
};
struct fuse_req {
  struct wait_queue_head waitq;
  struct fuse_mount* fm;
};
struct sigset {
  unsigned long sig[1];
};
struct sigpending {
  struct sigset signal;
};
struct signal_struct {
  struct sigpending shared_pending;
  unsigned int flags;
};
struct thread_struct {
  unsigned long sp;
};
struct task_struct {
  int tgid;
  int pid;
  unsigned int flags;
  unsigned int __state;
  __u64 start_boottime;
  unsigned long nvcsw;
  unsigned long nivcsw;
  void* stack;
  struct thread_struct thread;
  struct sigpending pending;
  struct signal_struct* signal;
};
struct task_struct___old { /* before 5.14 */
  long state;
};
struct bpf_iter__task {
  struct bpf_iter_meta* meta;
  struct task_struct* task;
};
#pragma clang attribute pop

#define FUSE_SUPER_MAGIC 0x65735546
#define PF_EXITING 0x4
#define PF_IO_WORKER 0x10
#define PF_DUMPCORE 0x200
#define PF_KTHREAD 0x200000
#define SIGNAL_GROUP_EXIT 0x4 /* include/linux/sched/signal.h */
#define SIGKILL_BIT (1ul << 8)
#define STACK_BYTES 16384
#define WORD 8
#define WORDS (STACK_BYTES / WORD)
#define LOWEST_POINTER 0x8000000000000000ul
#define LOWEST_TEXT 0xffffffff80000000ul /* __START_KERNEL_map, and the modules above it: arch/x86 */

/* One task at a time: only one reader uses a loaded program. */
static unsigned long words[WORDS];

struct search {
  unsigned long task;
  unsigned long base;
  unsigned long sp;
  unsigned int count;
  struct task_waits_record record;
};

static __always_inline unsigned int fuse_device(struct super_block* sb) {
  return BPF_CORE_READ(sb, s_magic) == FUSE_SUPER_MAGIC ? BPF_CORE_READ(sb, s_dev) : 0;
}

static __always_inline struct list_head* next_of(const struct list_head* at) { return BPF_CORE_READ(at, next); }
static __always_inline struct list_head* prev_of(const struct list_head* at) { return BPF_CORE_READ(at, prev); }

/* Linked at this moment: both neighbours point back. One taken out points to itself; a stale one is in nobody's list.
 */
static __always_inline int is_linked(const struct list_head* at) {
  const struct list_head* next = next_of(at);
  const struct list_head* prev = prev_of(at);
  return next && prev && next != at && prev_of(next) == at && next_of(prev) == at;
}

/* The queue is that of a request: req->waitq. */
static __always_inline unsigned int device_of_request(const struct list_head* queue) {
  const struct fuse_req* request = (const void*)((unsigned long)queue - bpf_core_field_offset(struct fuse_req, waitq) -
                                                 bpf_core_field_offset(struct wait_queue_head, head));
  struct fuse_mount* mount = BPF_CORE_READ(request, fm);
  /* A submount has a device of its own; the connection is that of the root. */
  return fuse_device(BPF_CORE_READ(mount, sb)) ? BPF_CORE_READ(mount, fc, dev) : 0;
}

/* The queue is that for a free slot: fc->blocked_waitq. */
static __always_inline unsigned int device_of_slots(const struct list_head* queue) {
  struct fuse_conn* fc = (void*)((unsigned long)queue - bpf_core_field_offset(struct fuse_conn, blocked_waitq) -
                                 bpf_core_field_offset(struct wait_queue_head, head));
  const struct list_head* first = BPF_CORE_READ(fc, mounts.next);
  const struct fuse_mount* mount =
      (const void*)((unsigned long)first - bpf_core_field_offset(struct fuse_mount, fc_entry));
  unsigned int device = 0;
  if (BPF_CORE_READ(mount, fc) != fc) return 0;
  device = fuse_device(BPF_CORE_READ(mount, sb));
  return device && BPF_CORE_READ(fc, dev) == device ? device : 0;
}

/* The entry is part of a wait for a page. */
static __always_inline unsigned int device_of_page(unsigned long entry) {
  struct address_space* mapping = 0;
  if (bpf_core_field_exists(struct wait_page_queue, folio)) {
    const struct wait_page_queue* wait = (const void*)(entry - bpf_core_field_offset(struct wait_page_queue, wait));
    mapping = BPF_CORE_READ(wait, folio, mapping);
  } else {
    const struct wait_page_queue___page* wait =
        (const void*)(entry - bpf_core_field_offset(struct wait_page_queue___page, wait));
    mapping = BPF_CORE_READ(wait, page, mapping);
  }
  return fuse_device(BPF_CORE_READ(mapping, host, i_sb));
}

static __always_inline unsigned int device_of_entry(unsigned long entry) {
  const struct list_head* link = (const void*)(entry + bpf_core_field_offset(struct wait_queue_entry, entry));
  unsigned int device = 0;
  if (!is_linked(link)) return 0;
  device = device_of_request(next_of(link));
  if (!device) device = device_of_slots(prev_of(link));
  if (!device) device = device_of_slots(next_of(link));
  return device ? device : device_of_page(entry);
}

static __always_inline void note_device(struct task_waits_record* record, unsigned int device) {
  int i;
  if (!device) return;
  for (i = 0; i < TASK_WAITS_MAX_DEVICES; ++i) {
    if (record->device[i] == device) return;
    if (record->device[i] != 0) continue;
    record->device[i] = device;
    ++record->devices;
    return;
  }
  record->devices = TASK_WAITS_MAX_DEVICES + 1;
}

static long look_at_word(__u32 index, void* context) {
  struct search* search = context;
  unsigned long word;
  if (index >= search->count || index >= WORDS) return 1;
  word = words[index & (WORDS - 1)];
  if (word < LOWEST_POINTER || word % WORD != 0) return 0;
  if (word == search->task) {
    unsigned int device = device_of_entry(search->sp + (unsigned long)index * WORD -
                                          bpf_core_field_offset(struct wait_queue_entry, private));
    /* Two different ones cannot be: a task sleeps in one place. */
    if (device && !search->record.proven) search->record.proven = device;
    return 0;
  }
  /* Return addresses and what points into the stack itself: neither a file nor an inode, and most of the words. */
  if (word >= LOWEST_TEXT || (word >= search->base && word < search->base + STACK_BYTES)) return 0;
  note_device(&search->record, fuse_device(BPF_CORE_READ((struct file*)word, f_inode, i_sb)));
  note_device(&search->record, fuse_device(BPF_CORE_READ((struct inode*)word, i_sb)));
  return 0;
}

/* Asked of every task: plain loads, which the verifier allows from the iterator's own pointer. */
static __always_inline int is_told_to_die(struct task_struct* task) {
  if (task->flags & (PF_EXITING | PF_DUMPCORE)) return 1;
  return ((task->pending.signal.sig[0] | task->signal->shared_pending.signal.sig[0]) & SIGKILL_BIT) != 0;
}

static __always_inline int is_asleep(struct task_struct* task) {
  if (bpf_core_field_exists(task->__state)) return task->__state != 0;
  return BPF_CORE_READ((struct task_struct___old*)task, state) != 0;
}

SEC("iter/task")
int collect(struct bpf_iter__task* ctx) {
  struct task_struct* task = ctx->task;
  struct search search = {};
  unsigned long base;
  unsigned long bytes;
  unsigned int flags;
  int asleep;
  if (!task) return 0;
  asleep = is_asleep(task);
  flags = task->flags;
  if (flags & PF_KTHREAD) return 0;
  /* A thread may exit, and an execve ends its siblings, in a process that lives on: only this says that all of it ends.
   */
  search.record.group_exit = (task->signal->flags & SIGNAL_GROUP_EXIT) != 0;
  if (!search.record.group_exit && !(asleep && (flags & PF_IO_WORKER)) && !is_told_to_die(task)) return 0;
  base = (unsigned long)BPF_CORE_READ(task, stack);
  search.sp = BPF_CORE_READ(task, thread.sp);
  search.task = (unsigned long)task;
  search.base = base;
  search.record.tgid = task->tgid;
  search.record.tid = task->pid;
  search.record.start_boottime = task->start_boottime;
  search.record.context_switches = task->nvcsw + task->nivcsw;
  if (!asleep) search.record.context_switches = TASK_WAITS_RUNS;
  if (asleep && base && search.sp > base && search.sp < base + STACK_BYTES && search.sp % WORD == 0) {
    bytes = base + STACK_BYTES - search.sp;
    if (bytes <= STACK_BYTES && bpf_probe_read_kernel(words, bytes, (const void*)search.sp) == 0) {
      search.count = bytes / WORD;
      bpf_loop(WORDS, look_at_word, &search, 0);
    }
  }
  bpf_seq_write(ctx->meta->seq, &search.record, sizeof(search.record));
  return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
