// SPDX-License-Identifier: Apache-2.0
// Redactor: a look without names and paths. Works by what each file is known to hold, field by field; a file that it
// does not know is dropped, so that what is new is never let through. The same name becomes the same other name in all
// looks of one Redactor, two names never the same one: a process `name-3`, a component of a path `p-12`, a container id
// or pod UID another one of the same length. Of a redacted look the same is diagnosed. Pure.
//
// Kept, and nothing else:
//  - numbers: PIDs, times, counters, states, user and group ids, signal masks, inodes, sizes, device numbers; addresses
//    in memory become 0
//  - of kernel threads the names that every kernel has ("kthreadd", "kswapd0", "rcu_preempt", "migration/0"), and of
//    "kworker/u8:3-flush-0:25" all, of "kworker/0:1-xfs-conv/dm-3" the beginning "kworker/0:1", of "jbd2/sda1-8"
//    "jbd2"; others become names as those of processes. "iou-wrk-N", "iou-sqp-N", "vhost-N" of any process
//  - symbols and modules of the kernel in stacks, wchan and kallsyms (of the last those of FUSE), but for BPF programs
//  - the release of the kernel, its number of the build and the version of its package; not who built it, where and how
//  - file-system types with their subtype ("fuse.s3fs"), as far as that is letters, digits, - and _ and at most 32
//  bytes;
//    options of mounts that are flags or numbers and known
//  - of sources those that a kernel file system has by itself ("proc", "tmpfs", "none"), and known schemes ("s3://")
//  - of paths how deep they are and what lies below what; the components that are the same on every host or say what
//    runs a container (kWords in pseudonyms.cc: "proc", "var", "docker", "kubepods", "system.slice" ..), the endings of
//    units (".slice", ".scope" ..), "docker-", "cri-containerd-", "crio-", "libpod-", "lxc.payload.", "machine-" before
//    an id or a name, "pod" before a UID; that there is a point in a component, or a run of 64 hexadecimal digits
//  - "(deleted)", sockets, pipes, namespaces and anonymous inodes ("socket:[4711]")
// A name that is cut at 256 bytes where it is shown may be shown whole afterwards, since it is shorter.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/file_tree.h"
#include "capture/pseudonyms.h"

namespace defused {

class Redactor {
 public:
  /// A look: proc/, sys/, bpf/, errors, look.json. Anything else is dropped.
  FileTree redact(const FileTree& look);

  /// For names elsewhere: what `name` - of a process, a host - is called in what was redacted.
  std::string name(std::string_view name) { return names_.name(name); }
  std::string path(std::string_view path) { return names_.path(path); }

  /// How many files were dropped because nobody knows what they hold. Empty ones are not counted.
  [[nodiscard]] std::uint64_t dropped() const { return dropped_; }

 private:
  Pseudonyms names_;
  std::uint64_t dropped_ = 0;
};

}  // namespace defused
