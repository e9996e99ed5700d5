// SPDX-License-Identifier: Apache-2.0
#include "daemon/ask_daemon.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/text.h"
#include "base/unique_fd.h"
#include "daemon/build_identity.h"
#include "daemon/channel.h"
#include "daemon/report_socket.h"
#include "model/codec.h"

namespace defused {

namespace {

Failure no_answer() { return fail(ErrorKind::timeout, "the daemon does not answer on its socket"); }

Failure refused(int error, const std::string& path) {
  // ENOENT, ENOTDIR: never started, or stopped. ECONNREFUSED: killed, its socket's file is left.
  if (error == ENOENT || error == ENOTDIR || error == ECONNREFUSED) {
    return fail(ErrorKind::gone, "no daemon listens on " + path);
  }
  if (error == EAGAIN) return no_answer();
  return fail_errno(error, "connecting to " + path);
}

// A connect() to a full backlog waits; SO_SNDTIMEO bounds that (net/unix/af_unix.c, unix_stream_connect).
Result<UniqueFd> connect_within(const std::string& path, Nanoseconds patience) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    return fail(ErrorKind::gone, path + ": longer than the path of a socket may be, so no daemon listens there");
  }
  std::memcpy(static_cast<char*>(address.sun_path), path.c_str(), path.size() + 1);
  UniqueFd channel(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (!channel) return fail_errno(errno, "socket");
  timeval limit{};
  limit.tv_sec = std::chrono::duration_cast<std::chrono::seconds>(patience).count();
  limit.tv_usec = std::chrono::duration_cast<std::chrono::microseconds>(patience % std::chrono::seconds(1)).count();
  setsockopt(channel.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-reinterpret-cast): connect() wants it so
  const auto* target = reinterpret_cast<const sockaddr*>(&address);
  if (connect(channel.get(), target, sizeof address) < 0) return refused(errno, path);
  ucred peer{};
  socklen_t size = sizeof peer;
  // Of a listener, the one who called listen().
  if (getsockopt(channel.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0) return fail_errno(errno, "SO_PEERCRED");
  if (peer.uid != 0) {
    return fail(ErrorKind::denied, "who listens on " + path + " is not root but user " + std::to_string(peer.uid));
  }
  return channel;
}

Result<void> wait_readable(int channel, Nanoseconds until) {
  pollfd ready{channel, POLLIN, 0};
  while (true) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - SystemClock().now().boottime).count();
    const int found = poll(&ready, 1, static_cast<int>(std::max<std::int64_t>(left, 0)));
    if (found > 0) return {};
    if (found == 0) return no_answer();
    if (errno != EINTR) return fail_errno(errno, "poll");
  }
}

// Who closes without a word is no daemon that hangs: it ends, or takes us for somebody else.
Failure hung_up(int error) {
  if (error != 0 && error != ECONNRESET) return fail_errno(error, "reading from the daemon's socket");
  return fail(ErrorKind::gone, "the daemon closed its socket without an answer");
}

Result<void> check_greeting(int channel) {
  std::array<char, 512> packet{};
  const ssize_t got = recv(channel, packet.data(), packet.size(), MSG_DONTWAIT);
  if (got <= 0) return hung_up(got < 0 ? errno : 0);
  const std::string_view greeting(packet.data(), static_cast<std::size_t>(got));
  if (greeting == build_identity()) return {};
  return fail(ErrorKind::unsupported, "the daemon is another build: " + sanitize(greeting));
}

Result<PassResult> take_report(int memfd) {
  constexpr int kSealed = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW;
  if ((fcntl(memfd, F_GET_SEALS) & kSealed) != kSealed) {
    return fail(ErrorKind::malformed, "it is not sealed");
  }
  return decode_memfd(memfd, &decode_pass);
}

}  // namespace

Result<DaemonAnswer> ask_daemon(const std::string& runtime_directory, Nanoseconds patience) {
  const Nanoseconds until = SystemClock().now().boottime + patience;
  const auto channel = connect_within(report_socket_path(runtime_directory), patience);
  if (!channel) return Failure(channel.error());
  if (auto ready = wait_readable(channel->get(), until); !ready) return Failure(ready.error());
  if (auto same = check_greeting(channel->get()); !same) return Failure(same.error());
  if (auto ready = wait_readable(channel->get(), until); !ready) return Failure(ready.error());
  const auto received = receive_message(channel->get(), false);
  if (!received && received.error().kind == ErrorKind::gone) return hung_up(0);
  if (!received) return prepend("the answer of the daemon", received.error());
  if (!*received || (*received)->message.type != MessageType::view) {
    return fail(ErrorKind::malformed, "the answer of the daemon is not a report");
  }
  DaemonAnswer answer;
  answer.status = (*received)->message.status;
  answer.report_age = std::chrono::milliseconds((*received)->message.max_ms);
  if (!(*received)->descriptor) return answer;
  auto pass = take_report((*received)->descriptor.get());
  if (!pass) return prepend("the report of the daemon", pass.error());
  answer.pass = *std::move(pass);
  return answer;
}

}  // namespace defused
