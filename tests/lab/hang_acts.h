// SPDX-License-Identifier: Apache-2.0
// Acts of an actor that make it a process whose files in /proc hang their reader.
#pragma once

#include "size_acts.h"

namespace lab {

/// exec: execve, which closes all that was opened; it holds exec_update_lock while FUSE does not answer FLUSH.
/// mem FD: reads its own memory, where FD is mapped, by /proc/self/mem: it holds mmap_lock for reading until FUSE
/// answers READ, and cannot be killed (mm/memory.c, __access_remote_vm: a fault that may not drop the lock). unmap FD:
/// makes a page of a mapping of FD dirty and unmaps it: mmap_lock until FUSE answers WRITE. map: maps memory: waits for
/// mmap_lock as a writer, killably. uffd: closes a userfaultfd: waits for mmap_lock as a writer that cannot be killed.
void add_hang_acts(Acts& acts);

}  // namespace lab
