// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
// What the task iterator writes about where a task is: the wire form between kernel and reader.
#pragma once

/* NOLINTNEXTLINE(readability-identifier-naming): shared with the BPF program, which is C */
struct task_places_record {
  unsigned int tgid;
  unsigned int tid;
  unsigned int mount_namespace; /* its inode on nsfs */
  unsigned int unused;
};
