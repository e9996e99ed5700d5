// SPDX-License-Identifier: Apache-2.0
#include "guardian.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string_view>
#include <vector>

#include "proc_files.h"

namespace lab {

Fusectl::Fusectl() {
  const int context = fsopen("fusectl", FSOPEN_CLOEXEC);
  if (context < 0) return;
  if (fsconfig(context, FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) == 0) mount_ = fsmount(context, FSMOUNT_CLOEXEC, 0);
  close(context);
}

Fusectl::~Fusectl() {
  if (mount_ >= 0) close(mount_);
}

int Fusectl::open_abort(long connection) const {
  return openat(mount_, (std::to_string(connection) + "/abort").c_str(), O_WRONLY | O_CLOEXEC);
}

int Fusectl::open_waiting(long connection) const {
  return openat(mount_, (std::to_string(connection) + "/waiting").c_str(), O_PATH | O_CLOEXEC);
}

long read_waiting(int file) {
  // A description of this file can be read once and not be sought in (fs/fuse/control.c: nonseekable_open).
  const int again = file < 0 ? -1 : open(("/proc/self/fd/" + std::to_string(file)).c_str(), O_RDONLY | O_CLOEXEC);
  std::array<char, 32> text{};
  const ssize_t got = again < 0 ? -1 : read(again, text.data(), text.size() - 1);
  if (again >= 0) close(again);
  return got <= 0 ? -1 : std::strtol(text.data(), nullptr, 10);
}

namespace {

struct Charges {
  std::vector<int> aborts;
  std::vector<int> pidfds;
  std::vector<int> frozen;
};

template <typename IsOver>
void close_those(std::vector<int>& files, IsOver is_over) {
  const auto over = std::stable_partition(files.begin(), files.end(), [&](int file) { return !is_over(file); });
  std::for_each(over, files.end(), close);
  files.erase(over, files.end());
}

// Who makes thousands, one after the other, hands over more than can be held. An ended process needs no signal, and the
// abort file of a connection that is gone has no name any more (6.18: simple_recursive_removal) and no effect.
void let_go_of_what_is_over(Charges& charges) {
  close_those(charges.pidfds, [](int pidfd) {
    pollfd ended{pidfd, POLLIN, 0};
    return poll(&ended, 1, 0) > 0;
  });
  close_those(charges.aborts, [](int file) {
    struct stat status {};
    return fstat(file, &status) == 0 && status.st_nlink == 0;
  });
}

// Receives descriptors until the other end closes or time is up.
void collect(int socket, int seconds, Charges& charges) {
  const std::time_t end = std::time(nullptr) + seconds;
  int received = 0;
  while (std::time(nullptr) < end) {
    pollfd ready{socket, POLLIN, 0};
    if (poll(&ready, 1, 1000) <= 0) continue;
    char kind = 0;
    iovec part{&kind, 1};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
    msghdr packet{};
    packet.msg_iov = &part;
    packet.msg_iovlen = 1;
    packet.msg_control = control.data();
    packet.msg_controllen = control.size();
    if (recvmsg(socket, &packet, MSG_CMSG_CLOEXEC) <= 0) return;
    const cmsghdr* header = CMSG_FIRSTHDR(&packet);
    if (header == nullptr) continue;
    int descriptor = -1;
    std::memcpy(&descriptor, CMSG_DATA(header), sizeof descriptor);
    (kind == 'a' ? charges.aborts : kind == 't' ? charges.frozen : charges.pidfds).push_back(descriptor);
    constexpr int kBatch = 64;
    if (++received % kBatch == 0) let_go_of_what_is_over(charges);
  }
}

void write_to(const std::vector<int>& files, std::string_view text) {
  for (const int file : files) {
    if (write(file, text.data(), text.size()) < 0) continue;
  }
}

}  // namespace

void run_guardian(int socket, const std::string& work_directory, const std::string& mount_point, int seconds) {
  setsid();
  for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGPIPE}) signal(number, SIG_IGN);
  // Standard streams belong to whoever waits for the lab's output to end.
  const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  for (int fd = 0; fd <= 2; ++fd) dup2(null, fd);
  Charges charges;
  collect(socket, seconds, charges);
  for (const int pidfd : charges.pidfds) syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, nullptr, 0);
  write_to(charges.frozen, "THAWED");
  write_to(charges.aborts, "1");
  for (const int pidfd : charges.pidfds) {
    pollfd gone{pidfd, POLLIN, 0};
    poll(&gone, 1, 5000);
  }
  umount2(mount_point.c_str(), MNT_DETACH);
  rmdir(mount_point.c_str());
  rmdir(work_directory.c_str());
  _exit(0);
}

Guardian::Guardian(const std::string& work_directory, const std::string& mount_point, int seconds) {
  std::array<int, 2> ends{};
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) < 0) std::abort();
  pid_ = fork();
  if (pid_ == 0) {
    close(ends[0]);
    run_guardian(ends[1], work_directory, mount_point, seconds);
  }
  close(ends[1]);
  socket_ = ends[0];
}

void Guardian::send(char kind, int descriptor) {
  iovec part{&kind, 1};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  msghdr packet{};
  packet.msg_iov = &part;
  packet.msg_iovlen = 1;
  packet.msg_control = control.data();
  packet.msg_controllen = control.size();
  cmsghdr* header = CMSG_FIRSTHDR(&packet);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof descriptor);
  std::memcpy(CMSG_DATA(header), &descriptor, sizeof descriptor);
  if (sendmsg(socket_, &packet, MSG_NOSIGNAL) < 0) std::perror("defused-lab: the guardian");
  close(descriptor);
}

void Guardian::watch(pid_t pid) { send('p', static_cast<int>(syscall(SYS_pidfd_open, pid, 0))); }
void Guardian::arm(int abort_file) { send('a', abort_file); }

void Guardian::forget() {
  close(socket_);
  socket_ = -1;
  pid_ = -1;
}

Guardian::~Guardian() {
  if (socket_ >= 0) close(socket_);
  if (pid_ <= 0) return;
  wait_until([this] { return waitpid(pid_, nullptr, WNOHANG) != 0; }, 8);
}

}  // namespace lab
