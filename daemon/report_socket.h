// SPDX-License-Identifier: Apache-2.0
// ReportSocket: where `defused check` gets the newest report from the supervisor, <runtime_directory>/report.sock
// (docs/decisions/0008). Who connects, and is root, gets one packet with build_identity(), one Message of type `view`
// with the descriptor of the report, and is closed. Must not: read or parse anything, wait for a client. One thread.
#pragma once

#include <poll.h>
#include <sys/types.h>

#include <functional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "daemon/channel.h"

namespace defused {

/// The path of the socket of the daemon with this runtime directory.
std::string report_socket_path(const std::string& runtime_directory);

class ReportSocket {
 public:
  /// Clients that are answered in one turn; the others wait for the next one.
  static constexpr int kClientsPerTurn = 8;

  ReportSocket() = default;
  ReportSocket(const ReportSocket&) = delete;
  ReportSocket& operator=(const ReportSocket&) = delete;
  ~ReportSocket() { close(); }

  /// Listens below `runtime_directory`, whose lock the caller holds: a socket that is there is of a service that is no
  /// more, and is replaced. Errors: one sentence; then there is none, and turn() does nothing.
  Result<void> open(const std::string& runtime_directory);
  /// Removes it, unless another one stands there by now.
  void close();

  void add_polls(std::vector<pollfd>& polls) const;
  /// Answers who is there: `make_view` gives the message (of type `view`), asked for only where somebody is; `memfd` is
  /// the newest report, -1 for none. A client that does not take it at once gets none.
  void turn(Nanoseconds now, int memfd, const std::function<Message()>& make_view);

 private:
  UniqueFd listener_;
  std::string path_;
  dev_t device_ = 0;  ///< of the socket's file, to know it again
  ino_t inode_ = 0;
  Nanoseconds next_accept_{0};  ///< no descriptor was free
  bool resting_ = false;
};

}  // namespace defused
