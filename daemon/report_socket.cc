// SPDX-License-Identifier: Apache-2.0
#include "daemon/report_socket.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "daemon/build_identity.h"

namespace defused {

namespace {

// Clients that wait to be accepted; more of them wait in their connect(), which check bounds.
constexpr int kReportBacklog = 64;
// Where no descriptor is free: the listener stays readable, and polling it would make the loop spin.
constexpr Nanoseconds kRest = std::chrono::seconds(1);

// Nothing there is well; what is no socket is not ours to remove.
Result<void> remove_stale(const std::string& path) {
  struct stat status {};
  if (lstat(path.c_str(), &status) < 0) {
    if (errno == ENOENT) return {};
    return fail_errno(errno, "looking at " + path);
  }
  if (!S_ISSOCK(status.st_mode)) return fail(ErrorKind::io, path + " is there and is not a socket");
  if (unlink(path.c_str()) < 0) return fail_errno(errno, "removing " + path);
  return {};
}

bool is_root(int client) {
  ucred peer{};
  socklen_t size = sizeof peer;
  return getsockopt(client, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && peer.uid == 0;
}

// Two packets into a fresh socket fit; a client that made them not fit is closed without.
void answer(int client, const Message& view, int memfd) {
  const std::string greeting = build_identity();
  if (send(client, greeting.data(), greeting.size(), MSG_DONTWAIT | MSG_NOSIGNAL) < 0) return;
  [[maybe_unused]] const auto sent = send_message(client, view, memfd);
}

}  // namespace

std::string report_socket_path(const std::string& runtime_directory) { return runtime_directory + "/report.sock"; }

Result<void> ReportSocket::open(const std::string& runtime_directory) {
  const std::string path = report_socket_path(runtime_directory);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    return fail(ErrorKind::unsupported, path + ": longer than the path of a socket may be");
  }
  std::memcpy(static_cast<char*>(address.sun_path), path.c_str(), path.size() + 1);
  if (auto removed = remove_stale(path); !removed) return removed;
  UniqueFd listener(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!listener) return fail_errno(errno, "socket");
  // Before the file is there, so that it never has another mode (net/unix/af_unix.c, unix_bind_bsd takes it from here).
  if (fchmod(listener.get(), S_IRUSR | S_IWUSR) < 0) return fail_errno(errno, "fchmod of a socket");
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-reinterpret-cast): bind() wants it so
  if (bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) < 0) {
    return fail_errno(errno, "binding " + path);
  }
  struct stat status {};
  if (lstat(path.c_str(), &status) < 0) return fail_errno(errno, "looking at " + path);
  if (listen(listener.get(), kReportBacklog) < 0) {
    const int error = errno;
    unlink(path.c_str());
    return fail_errno(error, "listening on " + path);
  }
  listener_ = std::move(listener);
  path_ = path;
  device_ = status.st_dev;
  inode_ = status.st_ino;
  return {};
}

void ReportSocket::close() {
  if (!listener_) return;
  struct stat status {};
  const bool ours = lstat(path_.c_str(), &status) == 0 && status.st_dev == device_ && status.st_ino == inode_;
  if (ours) unlink(path_.c_str());
  listener_.reset();
}

void ReportSocket::add_polls(std::vector<pollfd>& polls) const {
  if (listener_ && !resting_) polls.push_back({listener_.get(), POLLIN, 0});
}

void ReportSocket::turn(Nanoseconds now, int memfd, const std::function<Message()>& make_view) {
  if (!listener_ || (resting_ && now < next_accept_)) return;
  resting_ = false;
  for (int i = 0; i < kClientsPerTurn; ++i) {
    const UniqueFd client(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!client) {
      if (errno == EINTR || errno == ECONNABORTED) continue;
      resting_ = errno != EAGAIN;
      next_accept_ = now + kRest;
      return;
    }
    if (is_root(client.get())) answer(client.get(), make_view(), memfd);
  }
}

}  // namespace defused
