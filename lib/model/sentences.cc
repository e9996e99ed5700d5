// SPDX-License-Identifier: Apache-2.0
#include "model/sentences.h"

namespace defused {

std::string number(ConnectionId id) { return std::to_string(id.kernel_dev); }

std::string count_of(std::size_t count, std::string_view one, std::string_view many) {
  return std::to_string(count) + " " + std::string(count == 1 ? one : many);
}

std::string_view verdict_in_words(Verdict verdict) {
  switch (verdict) {
    case Verdict::deadlocked:
      return "It is a deadlock in FUSE: what was told to die waits for an answer that nobody alive can give. It will "
             "not end by itself, and no signal ends it.";
    case Verdict::waiting_on_live_server:
      return "It waits for a FUSE server that is alive. That is no deadlock: it ends when the server answers.";
    case Verdict::not_fuse: return "FUSE is not what holds it.";
    case Verdict::undetermined: return "What holds it is not certain.";
  }
  return "";
}

std::string_view state_in_words(DyingState state) {
  switch (state) {
    case DyingState::reaping:
      return "Its init is dead but for one thing: it waits until every process in it is dead too.";
    case DyingState::draining:
      return "Its init waits; of its own children none is left, but a process that was put into it from outside is not "
             "taken away.";
    case DyingState::init_blocked:
      return "Its init itself was told to die and cannot; the other processes in it were not even told.";
  }
  return "";
}

std::string_view wait_in_words(WaitClass wait_class, bool dead) {
  switch (wait_class) {
    case WaitClass::fuse_flush: return "It closes a file on FUSE and waits until the server has answered that (FLUSH).";
    case WaitClass::fuse_writeback: return "It waits until the server has taken changed pages of a file on FUSE.";
    case WaitClass::fuse_request: return "It waits for the answer of a FUSE server to a request.";
    case WaitClass::fuse_lock: return "It waits for a lock, held by somebody who waits for a FUSE server.";
    case WaitClass::aio: return "It waits until its asynchronous I/O (AIO) in flight is done.";
    case WaitClass::io_uring: return "It waits until its io_uring requests in flight are done.";
    case WaitClass::nfs: return "It waits for an NFS server.";
    case WaitClass::cifs: return "It waits for an SMB (CIFS) server.";
    case WaitClass::ceph: return "It waits for a Ceph server.";
    case WaitClass::p9: return "It waits for a 9p server (the host of a virtual machine, say).";
    case WaitClass::block_io: return "It waits for a block device (a disk).";
    case WaitClass::unreaped_child: return "It is dead already; its parent has not taken it away (by wait).";
    case WaitClass::ptrace:
      return dead ? "It is dead already; the debugger that traces it has not taken notice."
                  : "It is stopped on its way out for the debugger that traces it.";
    case WaitClass::coredump: return "It writes its core dump, or waits for the thread that writes it.";
    case WaitClass::freezer: return "Its control group is frozen: it cannot run, not even to die.";
    case WaitClass::other: return "No function on its stack belongs to FUSE.";
    case WaitClass::unknown: return "Its stack does not say what it waits for.";
  }
  return "";
}

std::string_view blind_in_words(std::string_view what) {
  if (what == "fusectl") return "The FUSE control file system is not mounted, so no connection can be read.";
  if (what == "stack") {
    return "Kernel stacks cannot be read (CAP_SYS_ADMIN is needed): what a thread waits for is told from wchan alone.";
  }
  if (what == "bpf") {
    return "The kernel itself could not be asked (BPF; it needs Linux 5.17 with BTF, x86-64, CAP_BPF and CAP_PERFMON): "
           "which connection a thread waits for, and who left by exit_group, is told by /proc alone.";
  }
  if (what == "processes") return "The processes of this host could not be read: what is stuck is not known.";
  return "";
}

}  // namespace defused
