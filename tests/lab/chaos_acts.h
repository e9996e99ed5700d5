// SPDX-License-Identifier: Apache-2.0
// Acts of an actor for the randomized harness (chaos.py): who sees a mount comes and goes, and a server hands its
// /dev/fuse over.
#pragma once

#include "size_acts.h"

namespace lab {

/// hold_ns PID KIND: opens a namespace of another process, and does not enter it. join FD: enters one. A descriptor
/// that comes with an order is the last of its words, here SOCKET:
/// send FD SOCKET: puts an open file on its way over SOCKET; it stays open here as well. take SOCKET: takes it from
/// there and answers its number. serve FD: FD is the /dev/fuse of a server that is gone. Has the kernel ask again what
/// that one had not answered, and answers all: with success where that needs no more than a number, else with EIO.
void add_chaos_acts(Acts& acts);

}  // namespace lab
