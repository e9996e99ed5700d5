// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// What the task_file iterator writes, record after record: the wire form between kernel and reader.
#pragma once

#define TASK_FILE_DEVICE 1u             /* an open /dev/fuse; connection 0: not mounted yet */
#define TASK_FILES_MAX_RECORDS 65536u   /* 2 MiB */
#define TASK_FILES_MAX_FILES 8000000ull /* with the requests that wait, of all together: about a second */
#define TASK_FILE_ON_FUSE 2u            /* an open file whose superblock is FUSE */
#define TASK_FILE_MARK 3u               /* the open file of the reader's self-test */

/* NOLINTNEXTLINE(readability-identifier-naming): shared with the BPF program, which is C */
struct task_file_record {
  unsigned int tgid;
  unsigned int kind;
  unsigned int connection;           /* dev_t as the kernel has it: (major << 20) | minor */
  unsigned int unused;               /* to the next multiple of 8 */
  unsigned long long start_boottime; /* of the process, nanoseconds; what stat shows in ticks */
  unsigned long long oldest_request; /* smallest `unique` of those that wait for an answer; 0: none, or not looked at */
};
