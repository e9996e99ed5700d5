// SPDX-License-Identifier: Apache-2.0
// The channel between the supervisor and its two children: a SOCK_SEQPACKET socket pair, one fixed-size message a
// packet, descriptors beside it by SCM_RIGHTS. Sends never block (MSG_DONTWAIT): a full channel drops the message and
// says so, the latest report wins. The supervisor parses nothing of what the descriptors hold.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "daemon/bar.h"
#include "exporters/exporter.h"
#include "model/ids.h"

namespace defused {

enum class MessageType : std::uint32_t {
  // supervisor -> prober
  settings,    ///< descriptor: memfd with encode_settings(); first message, and again on HUP; to the front too
  seed,        ///< descriptor: memfd of the last report; a fresh prober starts from its Memory. None: empty
  start_pass,  ///< one pass, now; `bar`, `readers`
  stop,        ///< end after the current step
  // prober -> supervisor
  lost_gone,    ///< of the lost probers given, `process` is not there any more
  ready,        ///< started
  phase,        ///< the next step: `phase` and how long it may take, `max_ms`. 0: idle, no deadline
  report,       ///< descriptor: sealed memfd with encode_pass(); `pass`; `usage`
  recording,    ///< descriptor: sealed memfd with encode_tree() of what pass `pass` was read from; after its report
  left_behind,  ///< descriptor: pidfd of a child of it, `process`, that does not die of SIGKILL
  // supervisor -> front: settings begin a service, the last listener puts all that came since into effect
  textfile,  ///< descriptor: directory of the textfile, or none; a front keeps the first one that it gets
  web,       ///< descriptor: memfd with encode_web_config()
  listener,  ///< descriptor: a bound, listening socket; `count` listeners in all, sent one by one
  /// Descriptor: the last report (or none before the first); `status`. Over report.sock (report_socket.h) also
  /// `max_ms`: how
  /// long ago the report came.
  view,
  // front -> supervisor
  alive,  ///< the front's loop turned
};

/// What goes over the wire. Plain data, same binary at both ends.
struct Message {
  MessageType type{};
  Bar bar = Bar::none;
  std::uint32_t readers = 0;  ///< children that may be lost by reading what hangs
  std::uint32_t count = 0;
  std::uint64_t pass = 0;
  std::uint64_t max_ms = 0;
  char phase[32] = {};  // NOLINT(modernize-avoid-c-arrays): fixed wire form; NUL-terminated
  ProcessId process;
  ProcessUsage usage;
  SupervisorStatus status;
};

struct Received {
  Message message;
  UniqueFd descriptor;
};

/// A connected pair, both ends close-on-exec and non-blocking for sends.
Result<std::pair<UniqueFd, UniqueFd>> make_channel();

/// Sends without blocking. timeout: the channel is full, nothing was sent; gone: the other end is closed.
Result<void> send_message(int channel, const Message& message, int descriptor = -1);

/// Receives one message; blocks only if `wait`. nullopt: nothing there (without `wait`). gone: the other end is closed.
Result<std::optional<Received>> receive_message(int channel, bool wait);

/// A sealed memfd (F_SEAL_WRITE|SHRINK|GROW|SEAL) with `bytes`.
Result<UniqueFd> make_sealed_memfd(const char* name, const std::vector<std::uint8_t>& bytes);

/// Tells one memfd from another while both exist (its inode); 0 where that cannot be told.
std::uint64_t identify_memfd(int descriptor);

/// The whole content of a memfd made by make_sealed_memfd, read with pread (the offset is shared between processes).
Result<std::vector<std::uint8_t>> read_memfd(int descriptor);

/// What `decode` makes of that content.
template <typename T>
Result<T> decode_memfd(int descriptor, Result<T> (*decode)(const std::vector<std::uint8_t>&)) {
  const auto bytes = read_memfd(descriptor);
  if (!bytes) return Failure(bytes.error());
  return decode(*bytes);
}

}  // namespace defused
