// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// Which mount namespace is each task in? Every leader is told, other threads only where theirs is another one. Runs as
// an iterator over tasks (Linux 5.8), takes no lock of the task: /proc says the same by links that may block. A task
// that is past exit_task_namespaces is in none and is left out.
#include <linux/types.h>

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include "task_places.h"

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct seq_file;
struct bpf_iter_meta {
  struct seq_file* seq;
};
struct ns_common {
  unsigned int inum;
};
struct mnt_namespace {
  struct ns_common ns;
};
struct nsproxy {
  struct mnt_namespace* mnt_ns;
};
struct task_struct {
  int tgid;
  int pid;
  unsigned int flags;
  struct nsproxy* nsproxy;
  struct task_struct* group_leader;
};
struct bpf_iter__task {
  struct bpf_iter_meta* meta;
  struct task_struct* task;
};
#pragma clang attribute pop

#define PF_KTHREAD 0x200000

SEC("iter/task")
int collect(struct bpf_iter__task* ctx) {
  struct task_struct* task = ctx->task;
  struct task_places_record record = {};
  if (!task || (task->flags & PF_KTHREAD)) return 0;
  record.tgid = task->tgid;
  record.tid = task->pid;
  record.mount_namespace = task->nsproxy->mnt_ns->ns.inum; /* 0 behind a null pointer */
  if (!record.mount_namespace) return 0;
  if (record.tid != record.tgid && task->group_leader->nsproxy->mnt_ns->ns.inum == record.mount_namespace) return 0;
  bpf_seq_write(ctx->meta->seq, &record, sizeof(record));
  return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
