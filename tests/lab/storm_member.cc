// SPDX-License-Identifier: Apache-2.0
#include "storm_member.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>

#include "muted_server.h"

namespace lab {

namespace {

constexpr std::size_t kPage = 4096;
// Of the server itself. No client makes these dirty: who closes a file writes back what others wrote to it.
constexpr const char* kOwnFile = "/f9";
constexpr const char* kTaughtFile = "/f8";

class Member {
 public:
  explicit Member(const Place& place) : place_(place) {}

  // False with errno.
  bool perform(char letter, const std::string& name) {
    const std::string path = place_.mount_point + "/f" + name;
    switch (letter) {
      case order::kMount: return (place_.inside > 0 ? mount_inside() : mount()) && serve();
      case order::kTeach: return open_and_close(place_.mount_point + kTaughtFile);
      case order::kOwn: return own(place_.mount_point + kOwnFile);
      case order::kOwnOnce: return write_and_close(place_.mount_point + kOwnFile);
      case order::kHold: return hold(path) >= 0;
      case order::kWrite: return write_some(hold(path));
      case order::kMap: return map_dirty(hold(path), false);
      case order::kMapClosed: return map_dirty(hold(path), true);
      case order::kMute: server_->mute({"read"}); return true;
      case order::kRead: return read_some(open(path.c_str(), O_RDONLY | O_CLOEXEC));
      case order::kReadDirect: return read_some(open(path.c_str(), O_RDONLY | O_DIRECT | O_CLOEXEC));
      case order::kExit: _exit(0);
      default: errno = EINVAL; return false;
    }
  }

 private:
  bool mount() {
    MountOptions options;
    options.mount_point = place_.mount_point;
    options.subtype = "defusedstorm";
    options.source = "storm";
    options.writeback_cache = place_.writeback_cache;
    options.has_flush = place_.has_flush;
    server_ = MutedServer::mount(options);
    return server_ != nullptr;
  }

  // A process with threads cannot change its mount namespace, so serving begins when it is back.
  bool mount_inside() {
    const int home = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
    const int other = open(("/proc/" + std::to_string(place_.inside) + "/ns/mnt").c_str(), O_RDONLY | O_CLOEXEC);
    const bool mounted = setns(other, CLONE_NEWNS) == 0 && mount();
    const int error = errno;
    if (setns(home, CLONE_NEWNS) < 0) _exit(1);
    close(home);
    close(other);
    errno = error;
    return mounted;
  }

  bool serve() {
    server_->serve();
    return true;
  }

  static int hold(const std::string& path) { return open(path.c_str(), O_RDWR | O_CLOEXEC); }
  static bool open_and_close(const std::string& path) {
    const int file = hold(path);
    return file >= 0 && close(file) == 0;
  }

  static bool own(const std::string& path) {
    const int file = hold(path);
    const void* page = mmap(nullptr, kPage, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (page == MAP_FAILED) return false;
    return *static_cast<const volatile char*>(page) == 0;  // read, never written: it stays clean
  }

  static bool write_some(int file) {
    std::array<char, kPage + kPage / 2> text{};
    text.fill('w');
    return pwrite(file, text.data(), text.size(), kPage) == static_cast<ssize_t>(text.size());
  }

  static bool write_and_close(const std::string& path) {
    const int file = hold(path);
    return write_some(file) && close(file) == 0;
  }

  static bool map_dirty(int file, bool closed) {
    void* pages = mmap(nullptr, 2 * kPage, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (pages == MAP_FAILED) return false;
    if (closed) close(file);
    for (std::size_t at = 0; at < 2 * kPage; at += kPage) static_cast<volatile char*>(pages)[at] = 'p';
    return true;
  }

  // Far from what others have read or written.
  static bool read_some(int file) {
    constexpr off_t kAt = 1 << 19;
    alignas(kPage) static std::array<char, kPage> text{};
    return pread(file, text.data(), text.size(), kAt) >= 0;
  }

  const Place& place_;
  std::unique_ptr<MutedServer> server_;
};

void answer(int socket, const std::string& text) {
  if (send(socket, text.data(), text.size(), MSG_NOSIGNAL) < 0) _exit(1);
}

}  // namespace

void run_member(int socket, const Place& place) {
  if (socket > 3) close_range(3, static_cast<unsigned>(socket) - 1, 0);
  close_range(static_cast<unsigned>(socket) + 1, ~0U, 0);
  answer(socket, "k");
  Member member(place);
  while (true) {
    std::array<char, 8> text{};
    const ssize_t got = recv(socket, text.data(), text.size(), 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) _exit(0);
    const bool done = member.perform(text[0], std::string(text.data() + 1, static_cast<std::size_t>(got) - 1));
    const int error = errno;
    if (text[0] == order::kRead || text[0] == order::kReadDirect) continue;
    answer(socket, done ? "k" : std::strerror(error));
  }
}

}  // namespace lab
