// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// What the task iterator writes about a task that was told to die: the wire form between kernel and reader.
#pragma once

#define TASK_WAITS_MAX_DEVICES 4
#define TASK_WAITS_RUNS (~0ull) /* context switches of one that does not sleep: no other reading is equal to it */

/* NOLINTNEXTLINE(readability-identifier-naming): shared with the BPF program, which is C */
struct task_waits_record {
  unsigned int tgid;
  unsigned int tid;
  unsigned long long start_boottime; /* nanoseconds; what stat shows in ticks */
  unsigned int proven;               /* connection that it is queued for: request, page or free slot; 0: none found */
  unsigned int devices; /* how many different ones its stack leads to; more than the maximum: that many are named */
  unsigned int device[TASK_WAITS_MAX_DEVICES]; /* NOLINT(modernize-avoid-c-arrays): C */
  unsigned long long context_switches;         /* voluntary + nonvoluntary, as status shows them */
  unsigned int group_exit; /* the whole process was told to die; 0: this thread alone, or a worker of io_uring */
  unsigned int unused;     /* to the next multiple of 8 */
};
